using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;

namespace Peerd.Node.Origin;

/// <summary>
/// The grammar of what names a registry and the things in it (OCI distribution specification 1.1, "Pulling manifests").
/// What passes here can be put in a URL as it is.
/// </summary>
internal static partial class RegistryName
{
    private const int MaxLength = 255;

    /// <summary>
    /// True for <c>host</c> or <c>host:port</c> in lower case, where the host is a DNS name, an IPv4 address or an IPv6
    /// address in brackets. No scheme, user, path or query.
    /// </summary>
    public static bool IsValid(string? name)
    {
        if (string.IsNullOrEmpty(name) || name.Length > MaxLength)
        {
            return false;
        }

        var end = name[0] == '[' ? name.IndexOf(']', StringComparison.Ordinal) + 1 : name.IndexOf(':', StringComparison.Ordinal);
        var host = end > 0 ? name[..end] : name;
        return (end <= 0 || end == name.Length || (name[end] == ':' && IsPort(name.AsSpan(end + 1)))) && (host[0] == '[' ? IsIPv6(host) : DnsName().IsMatch(host));
    }

    /// <summary>True for a repository such as <c>library/alpine</c>.</summary>
    public static bool IsRepository(string? name) => name is { Length: > 0 and <= MaxLength } && Repository().IsMatch(name);

    /// <summary>True for a tag such as <c>v1.2</c>.</summary>
    public static bool IsTag(string? tag) => tag is not null && Tag().IsMatch(tag);

    private static bool IsPort(ReadOnlySpan<char> port) =>
        port is { Length: > 0 and <= 5 } && port[0] != '0' && int.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number <= 65535;

    private static bool IsIPv6(string host) =>
        !host.ContainsAny('%', '/') && host.Length > 2 && host[^1] == ']'
        && IPAddress.TryParse(host.AsSpan(1, host.Length - 2), out var address) && address.AddressFamily == AddressFamily.InterNetworkV6
        && string.Equals(host, host.ToLowerInvariant(), StringComparison.Ordinal);

    [GeneratedRegex(@"\A[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex DnsName();

    [GeneratedRegex(@"\A[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Repository();

    [GeneratedRegex(@"\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Tag();
}
