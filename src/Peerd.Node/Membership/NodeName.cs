using System.Buffers;

namespace Peerd.Node.Membership;

/// <summary>The rule for names of nodes and zones: what Kubernetes allows, and capitals and underscores besides.</summary>
internal static class NodeName
{
    /// <summary>What <see cref="IsValid"/> accepts, for error texts.</summary>
    public const string Allowed = "1 to 253 letters, digits, '-', '_' and '.'";

    private static readonly SearchValues<char> Characters =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.");

    /// <summary>True for a name that a node may have.</summary>
    public static bool IsValid(string? name) => name is { Length: >= 1 and <= 253 } && !name.AsSpan().ContainsAnyExcept(Characters);

    /// <summary>True for a zone that a node may have; empty means none.</summary>
    public static bool IsValidZone(string? zone) => zone is "" || IsValid(zone);
}
