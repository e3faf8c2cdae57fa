namespace Peerd.EndToEnd.Harness;

/// <summary>A user of a private registry.</summary>
internal sealed record RegistryLogin(string User, string Password);
