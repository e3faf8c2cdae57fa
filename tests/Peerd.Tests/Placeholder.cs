namespace Peerd.Tests;

internal static class Placeholder;
