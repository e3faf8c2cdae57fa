using System.Diagnostics.CodeAnalysis;
using System.Net;
using Peerd.Contracts;

namespace Peerd.Node.Origin;

/// <summary>Where a configured registry is. Immutable.</summary>
internal sealed class RegistryEndpoint
{
    private static readonly Dictionary<string, string> WellKnownTokenServers = new(StringComparer.Ordinal)
    {
        ["docker.io"] = "auth.docker.io",
        ["registry.gitlab.com"] = "gitlab.com",
    };

    private readonly string _base;

    private RegistryEndpoint(string name, Uri address)
    {
        Name = name;
        Address = address;
        _base = address.GetLeftPart(UriPartial.Path).TrimEnd('/');
        IsLocal = (IPAddress.TryParse(address.IdnHost, out var literal) && AddressPolicy.IsForbidden(literal))
            || string.Equals(address.IdnHost, "localhost", StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>The registry's name, as in <see cref="OriginReference.Registry"/>.</summary>
    public string Name { get; }

    public Uri Address { get; }

    /// <summary>True when the operator put it in clear text; then its redirects and token servers may be, too.</summary>
    public bool IsClearText => Address.Scheme == Uri.UriSchemeHttp;

    /// <summary>True for a registry on this very machine, whose redirects may stay here.</summary>
    public bool IsLocal { get; }

    /// <summary>With whose credentials it is read.</summary>
    public RegistryAuth Auth { get; private init; }

    /// <summary>Further hosts that may get the credentials of the operator.</summary>
    public IReadOnlyList<string> TokenServers { get; private init; } = [];

    /// <summary>The same registry, read in this way.</summary>
    public RegistryEndpoint With(RegistryAuth auth, IReadOnlyList<string> tokenServers) => new(Name, Address) { Auth = auth, TokenServers = tokenServers };

    /// <summary>
    /// True when a token server may get the operator's credentials: on the registry's own host or below it, where that
    /// well-known registry has it, or one that the operator named.
    /// </summary>
    public bool IsTokenServer(Uri url)
    {
        var host = url.IdnHost;
        return IsOrBelow(host, Address.IdnHost) || IsOrBelow(host, Name.Split(':')[0])
            || (WellKnownTokenServers.TryGetValue(Name, out var known) && string.Equals(host, known, StringComparison.OrdinalIgnoreCase) && url.IsDefaultPort)
            || TokenServers.Contains(url.IsDefaultPort ? host : $"{host}:{url.Port}", StringComparer.OrdinalIgnoreCase);
    }

    /// <summary>An endpoint as configured; without <paramref name="address"/> the usual one of the registry.</summary>
    public static bool TryCreate(string name, string? address, [NotNullWhen(true)] out RegistryEndpoint? endpoint)
    {
        endpoint = null;
        address = string.IsNullOrEmpty(address) ? name == "docker.io" ? "https://registry-1.docker.io" : $"https://{name}" : address;
        if (address.AsSpan().ContainsAny('?', '#') || !OriginUrl.TryParse(address, out var uri))
        {
            return false;
        }

        endpoint = new RegistryEndpoint(name, uri);
        return true;
    }

    /// <summary>True when the URL is on the endpoint's scheme, host and port: only there may its credentials go.</summary>
    public bool IsOriginOf(Uri url) => OriginUrl.IsSameOrigin(Address, url);

    /// <summary>The URL of a thing; false when its names do not follow the grammar.</summary>
    public bool TryLocate(OriginReference reference, [NotNullWhen(true)] out Uri? url)
    {
        url = null;
        var isAllowed = reference.Kind switch
        {
            OriginKind.Manifest => Digest.TryParse(reference.Reference, out _) || RegistryName.IsTag(reference.Reference),
            OriginKind.Tags => reference.Reference == "list",
            _ => Digest.TryParse(reference.Reference, out _),
        };
        if (!isAllowed || !RegistryName.IsRepository(reference.Repository))
        {
            return false;
        }

        var kind = reference.Kind switch
        {
            OriginKind.Manifest => "manifests",
            OriginKind.Tags => "tags",
            OriginKind.Referrers => "referrers",
            _ => "blobs",
        };
        var query = reference.Query.Length > 0 ? $"?{reference.Query}" : string.Empty;
        return OriginUrl.TryParse($"{_base}/v2/{reference.Repository}/{kind}/{reference.Reference}{query}", out url);
    }

    private static bool IsOrBelow(string host, string parent) =>
        string.Equals(host, parent, StringComparison.OrdinalIgnoreCase) || host.EndsWith('.' + parent, StringComparison.OrdinalIgnoreCase);
}
