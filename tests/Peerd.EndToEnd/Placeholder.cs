namespace Peerd.EndToEnd;

internal static class Placeholder;
