using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace Peerd.Node.Cli.Fetch;

/// <summary>What an image runs on, in the words of the OCI image specification: <c>linux/arm64/v8</c>.</summary>
internal sealed record Platform(string Os, string Architecture, string? Variant = null)
{
    /// <summary>Linux with the architecture of this machine.</summary>
    public static Platform Local => new("linux", RuntimeInformation.OSArchitecture switch
    {
        System.Runtime.InteropServices.Architecture.X64 => "amd64",
        System.Runtime.InteropServices.Architecture.X86 => "386",
        var other => other.ToString().ToLowerInvariant(),
    });

    public static bool TryParse(string text, [NotNullWhen(true)] out Platform? platform)
    {
        var parts = text.Split('/');
        platform = parts.Length is 2 or 3 && parts.All(part => part.Length is > 0 and <= 32 && part.All(char.IsAsciiLetterOrDigit))
            ? new Platform(parts[0], parts[1], parts.ElementAtOrDefault(2))
            : null;
        return platform is not null;
    }

    /// <summary>True when an image for the other platform serves. A variant counts only when this one names it.</summary>
    public bool Accepts(Platform other) => other.Os == Os && other.Architecture == Architecture && (Variant is null || other.Variant == Variant);

    public override string ToString() => Variant is null ? $"{Os}/{Architecture}" : $"{Os}/{Architecture}/{Variant}";
}
