using System.Text;

namespace Peerd.Node.Facade;

/// <summary>
/// The query of a list (OCI distribution specification 1.1, "Listing Tags", "Listing Referrers"): what is not known is
/// left out, what is known is written anew, so that nothing of a client's spelling reaches the registry.
/// </summary>
internal static class ListQuery
{
    public const string Allowed = "parameters of a list may be given once: n, a number of at most 9 digits; last, next_page and artifactType, 1 to 1024 visible characters";

    private const int LongestValue = 1024;

    /// <param name="query">As a client or a registry wrote it, without the question mark.</param>
    /// <param name="kind">The list; all others have no parameters.</param>
    /// <param name="escaped">The known parameters; empty when there are none.</param>
    public static bool TryParse(ReadOnlySpan<char> query, RequestKind kind, out string escaped)
    {
        escaped = string.Empty;
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var text = new StringBuilder();
        foreach (var part in query.Split('&'))
        {
            var pair = query[part];
            var equals = pair.IndexOf('=');
            var key = Uri.UnescapeDataString(equals < 0 ? pair : pair[..equals]);
            if (!IsKnown(key, kind))
            {
                continue;
            }

            var value = equals < 0 ? string.Empty : Uri.UnescapeDataString(pair[(equals + 1)..]);
            if (!seen.Add(key) || !IsValue(key, value))
            {
                return false;
            }

            text.Append(text.Length > 0 ? "&" : string.Empty).Append(key).Append('=').Append(Uri.EscapeDataString(value));
        }

        escaped = text.ToString();
        return true;
    }

    // next_page is not in the specification: quay.io continues its lists with it.
    private static bool IsKnown(string key, RequestKind kind) => kind switch
    {
        RequestKind.Tags => key is "n" or "last" or "next_page",
        RequestKind.Referrers => key is "artifactType" or "n" or "last" or "next_page",
        _ => false,
    };

    private static bool IsValue(string key, string value) => key == "n"
        ? value.Length is > 0 and <= 9 && value.All(char.IsAsciiDigit)
        : value.Length is > 0 and <= LongestValue && !value.AsSpan().ContainsAnyExceptInRange('!', '~');
}
