using System.Diagnostics.CodeAnalysis;

namespace Peerd.Node.Origin;

/// <summary>URLs that we send requests to: checked here, sent byte by byte as they came (a signature covers each of them), shown without what may be a signature.</summary>
internal static class OriginUrl
{
    private const int MaxLength = 16 * 1024;
    private const int MaxShownPath = 256;

    /// <summary>
    /// Reads an absolute http or https URL without user info, of printable ASCII without backslash. Path and query stay
    /// exactly as written; a fragment is cut off.
    /// </summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out Uri? url)
    {
        url = null;
        if (text is null || text.Length > MaxLength || text.AsSpan().ContainsAnyExceptInRange('!', '~') || text.Contains('\\', StringComparison.Ordinal))
        {
            return false;
        }

        var fragment = text.IndexOf('#', StringComparison.Ordinal);
        text = fragment >= 0 ? text[..fragment] : text;
        var start = text.StartsWith("https://", StringComparison.OrdinalIgnoreCase) ? 8 : text.StartsWith("http://", StringComparison.OrdinalIgnoreCase) ? 7 : 0;
        if (start == 0)
        {
            return false;
        }

        var length = text.AsSpan(start).IndexOfAny('/', '?');
        var authority = length < 0 ? text.AsSpan(start) : text.AsSpan(start, length);
        if (authority.IsEmpty || authority.Contains('@') || authority.Contains('%'))
        {
            return false;
        }

        // Without canonicalization nobody adds the slash that a request line needs.
        var end = start + authority.Length;
        if (end == text.Length || text[end] == '?')
        {
            text = text.Insert(end, "/");
        }

        var exact = new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true };
        if (!Uri.TryCreate(text, in exact, out var parsed) || parsed.UserInfo.Length > 0 || parsed.Port is <= 0 or > 65535
            || parsed.HostNameType is not (UriHostNameType.Dns or UriHostNameType.IPv4 or UriHostNameType.IPv6))
        {
            return false;
        }

        url = parsed;
        return true;
    }

    /// <summary>True when scheme, host and port are the same.</summary>
    public static bool IsSameOrigin(Uri left, Uri right) =>
        left.Scheme == right.Scheme && left.Port == right.Port && string.Equals(left.IdnHost, right.IdnHost, StringComparison.OrdinalIgnoreCase);

    /// <summary>The form in which a URL may be logged or told: scheme, host, port, and of the path what <see cref="BlobPath.Show"/> leaves. The rest may be a signature.</summary>
    public static string Redact(Uri url) => Host(url) + BlobPath.Show(url);

    /// <summary>
    /// The same with the path, to its 256th character, for URLs that a registry tells everybody who asks: those of token servers. The
    /// query may hold more.
    /// </summary>
    public static string RedactQuery(Uri url)
    {
        var path = BlobPath.Of(url);
        return Host(url) + (path.Length <= MaxShownPath ? path : path[..MaxShownPath] + '…');
    }

    private static string Host(Uri url) => $"{url.Scheme}://{url.Host}{(url.IsDefaultPort ? string.Empty : $":{url.Port}")}";
}
