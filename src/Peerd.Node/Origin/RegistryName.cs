using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;

namespace Peerd.Node.Origin;

/// <summary>
/// The grammar of what names a registry and the things in it (OCI distribution specification 1.1, "Pulling manifests").
/// What passes here is safe in a URL, a header and a log as it is.
/// </summary>
internal static partial class RegistryName
{
    /// <summary>What <see cref="IsValid"/> accepts, for error texts.</summary>
    public const string Allowed = "a registry as images name it, host or host:port in lower case, such as docker.io or reg.example:5000";

    private const int MaxLength = 255;
    private const int MatchTimeout = 2000;

    /// <summary>
    /// True for <c>host</c> or <c>host:port</c> in lower case, where the host is a DNS name, an IPv4 address or an IPv6
    /// address in brackets. No scheme, user, path or query.
    /// </summary>
    public static bool IsValid(string? name) => TryParse(name, out var registry) && registry == name;

    /// <summary>Reads a registry as people and clients write it: letters become lower case, as host names know no case.</summary>
    public static bool TryParse(string? text, out string registry)
    {
        registry = string.Empty;

        // Checked before the change of case, which turns some letters outside ASCII into letters inside it.
        if (text is null || text.Length is 0 or > MaxLength || !Ascii.IsValid(text))
        {
            return false;
        }

        var lower = text.ToLowerInvariant();
        var match = Registry.Match(lower);
        if (!match.Success
            || (match.Groups["six"] is { Success: true } six && !IsIPv6(six.ValueSpan))
            || (match.Groups["port"] is { Success: true } port && !IsPort(port.ValueSpan)))
        {
            return false;
        }

        registry = lower;
        return true;
    }

    /// <summary>True for a repository such as <c>library/alpine</c>.</summary>
    public static bool IsRepository(string? name) => name is { Length: > 0 and <= MaxLength } && Repository.IsMatch(name);

    /// <summary>True for a tag such as <c>v1.2</c>.</summary>
    public static bool IsTag(string? tag) => tag is not null && Tag.IsMatch(tag);

    private static bool IsPort(ReadOnlySpan<char> digits) =>
        digits[0] != '0' && ushort.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out _);

    private static bool IsIPv6(ReadOnlySpan<char> text) =>
        IPAddress.TryParse(text, out var address) && address.AddressFamily == AddressFamily.InterNetworkV6;

    // The alternatives of each pattern begin with different characters, so none of them backtracks far.
    [GeneratedRegex(@"\A(\[(?<six>[0-9a-f:.]{2,45})\]|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*)(:(?<port>[0-9]{1,5}))?\z", RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex Registry { get; }

    [GeneratedRegex(@"\A[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*\z", RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex Repository { get; }

    [GeneratedRegex(@"\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\z", RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex Tag { get; }
}
