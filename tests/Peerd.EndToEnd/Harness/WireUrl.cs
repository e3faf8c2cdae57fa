namespace Peerd.EndToEnd.Harness;

/// <summary>A URL in two parts, neither of them touched: where to connect, and what to ask for there.</summary>
/// <param name="Authority">Host and port.</param>
/// <param name="Target">Path and query.</param>
internal readonly record struct WireUrl(string Authority, string Target)
{
    private const string Scheme = "http://";

    /// <summary>Cuts a URL behind its host.</summary>
    public static WireUrl Split(string url)
    {
        if (!url.StartsWith(Scheme, StringComparison.Ordinal))
        {
            throw new ArgumentException($"'{url}' does not begin with {Scheme}");
        }

        var path = url.IndexOf('/', Scheme.Length);
        return path < 0 ? new WireUrl(url[Scheme.Length..], "/") : new WireUrl(url[Scheme.Length..path], url[path..]);
    }
}
