using System.Diagnostics.CodeAnalysis;

namespace Peerd.Node.Origin;

/// <summary>One entry of the list of hosts that blobs may be read from. Immutable.</summary>
internal sealed class BlobHost
{
    public const string Allowed = "https://host[:port], http://host[:port], or .suffix such as .data.example.com, of at least two labels";

    private readonly Uri? _address;
    private readonly string _suffix;

    private BlobHost(Uri? address, string suffix)
    {
        _address = address;
        _suffix = suffix;
    }

    /// <summary>Reads an entry.</summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out BlobHost? host)
    {
        host = null;
        if (text is ['.', ..])
        {
            // A single label would be a whole top-level domain.
            var isDomain = Uri.CheckHostName(text[1..]) == UriHostNameType.Dns && text[^1] != '.' && text.AsSpan(1).Contains('.');
            host = isDomain ? new BlobHost(null, text.ToLowerInvariant()) : null;
        }
        else if (OriginUrl.TryParse(text, out var url) && url.PathAndQuery == "/" && !text!.AsSpan().ContainsAny('?', '#'))
        {
            host = new BlobHost(url, string.Empty);
        }

        return host is not null;
    }

    /// <summary>An entry for where a registry is.</summary>
    public static BlobHost Of(RegistryEndpoint registry) => new(registry.Address, string.Empty);

    /// <summary>True when the URL is at this host: same scheme, host and port, or below the domain with https at its usual port.</summary>
    public bool Matches(Uri url) => _address is not null
        ? OriginUrl.IsSameOrigin(_address, url)
        : url.Scheme == Uri.UriSchemeHttps && url.IsDefaultPort && url.HostNameType == UriHostNameType.Dns
            && url.IdnHost.Length > _suffix.Length && url.IdnHost.EndsWith(_suffix, StringComparison.OrdinalIgnoreCase);
}
