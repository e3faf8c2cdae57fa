using System.Net;

namespace Peerd.Node.Origin;

/// <summary>
/// From which hosts blobs may be read whose URLs clients give, which of them are believed that a URL of theirs names what
/// they send, and which addresses these may have. Immutable.
/// </summary>
internal sealed class BlobHosts
{
    // Where S3 keeps the layers of ECR: a bucket of its own in each region.
    private static readonly string[] Regions =
    [
        "af-south-1", "ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2",
        "ap-southeast-3", "ap-southeast-4", "ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1",
        "eu-west-2", "eu-west-3", "il-central-1", "me-central-1", "me-south-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
        "ap-east-2", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "mx-central-1", "us-gov-east-1", "us-gov-west-1",
    ];

    private static readonly string[] ChinaRegions = ["cn-north-1", "cn-northwest-1"];

    // Where registry.k8s.io has a bucket of its own: a name that it has not taken anybody could.
    private static readonly string[] KubernetesRegions =
    [
        "af-south-1", "ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2",
        "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2",
        "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3", "il-central-1", "me-central-1", "me-south-1", "mx-central-1", "sa-east-1",
        "us-east-1", "us-east-2", "us-west-1", "us-west-2",
    ];

    private static readonly BlobHost[] KnownRegistries = [.. WellKnownRegistries.Select(Parse)];
    private static readonly BlobHost[] KnownStores = [.. WellKnownStores.Select(Parse)];

    private readonly BlobHost[] _stores;
    private readonly BlobHost[] _registryHosts;
    private readonly BlobHost[] _accounts;
    private readonly BlobHost[] _rented;
    private readonly IPNetwork[] _networks;
    private readonly HashSet<(string Host, int Port)> _registries;

    private BlobHosts(
        IEnumerable<BlobHost> stores, IEnumerable<BlobHost> otherRegistries, IEnumerable<BlobHost> accounts, IEnumerable<BlobHost> rented, IEnumerable<IPNetwork> networks, IReadOnlyCollection<RegistryEndpoint> registries)
    {
        _stores = [.. stores];
        _registryHosts = [.. registries.Select(BlobHost.Of), .. otherRegistries];
        _accounts = [.. accounts];
        _rented = [.. rented];
        _networks = [.. networks];
        _registries = [.. registries.Select(registry => (registry.Address.IdnHost, registry.Address.Port))];
    }

    // Where the well-known registries keep their blobs.
    private static IEnumerable<string> WellKnownStores =>
    [
        // The data endpoints of Azure Container Registry.
        ".data.azurecr.io",
        ".data.azurecr.us",
        ".data.azurecr.cn",

        // Microsoft Artifact Registry.
        ".data.mcr.microsoft.com",

        // Docker Hub; from within AWS the bucket.
        "https://production.cloudflare.docker.com",
        "https://production.cloudfront.docker.com",
        "https://docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com",
        "https://docker-images-prod.s3.amazonaws.com",
        "https://docker-images-prod.s3.us-east-1.amazonaws.com",
        "https://docker-images-prod.s3.dualstack.us-east-1.amazonaws.com",

        // GitHub Container Registry.
        "https://pkg-containers.githubusercontent.com",

        // Quay.
        ".quay.io",

        // Elastic Container Registry.
        "https://d2glxqk2uabbnd.cloudfront.net",
        "https://d5l0dvt14r5h8.cloudfront.net",
        .. Regions.Select(region => $"https://prod-{region}-starport-layer-bucket.s3.{region}.amazonaws.com"),
        .. Regions.Select(region => $"https://prod-{region}-starport-layer-bucket.s3.dualstack.{region}.amazonaws.com"),
        .. ChinaRegions.Select(region => $"https://prod-{region}-starport-layer-bucket.s3.{region}.amazonaws.com.cn"),
        .. ChinaRegions.Select(region => $"https://prod-{region}-starport-layer-bucket.s3.dualstack.{region}.amazonaws.com.cn"),

        // The registry of Kubernetes; elsewhere it leads to .pkg.dev.
        .. KubernetesRegions.Select(region => $"https://prod-registry-k8s-io-{region}.s3.dualstack.{region}.amazonaws.com"),
        "https://767373bbdcb8270361b96548387bf2a9ad0d48758c35-eu-west-2.s3.dualstack.eu-west-2.amazonaws.com",
        "https://d39mqg4b1dx9z1.cloudfront.net",
        "https://d1be1w964nk82h.cloudfront.net",
        "https://cdn.registry.k8s.io",
    ];

    private static IEnumerable<string> WellKnownRegistries =>
    [
        ".azurecr.io",
        ".azurecr.us",
        ".azurecr.cn",
        "https://mcr.microsoft.com",
        "https://registry-1.docker.io",
        "https://ghcr.io",
        "https://gcr.io",
        ".gcr.io",
        ".pkg.dev",
        "https://quay.io",
        "https://public.ecr.aws",
        "https://registry.k8s.io",
        .. Regions.Select(region => $".dkr.ecr.{region}.amazonaws.com"),
        .. Regions.Select(region => $".dkr-ecr.{region}.on.aws"),
        .. ChinaRegions.Select(region => $".dkr.ecr.{region}.amazonaws.com.cn"),
    ];

    /// <summary>
    /// Where registries keep blobs, too, but anybody can rent an account, whose name is that of the host: a URL is believed to
    /// name what it leads to among those who read the same account. Who knows the account lists it.
    /// </summary>
    private static IEnumerable<string> AccountStores => [".blob.core.windows.net", ".blob.core.usgovcloudapi.net", ".blob.core.chinacloudapi.cn"];

    /// <summary>The same where the host does not tell the account: read for who brings a URL, and not shared.</summary>
    private static IEnumerable<string> RentedStores => ["https://storage.googleapis.com"];

    /// <summary>The list that the options tell; they were validated before.</summary>
    /// <exception cref="ArgumentException">A value is not allowed.</exception>
    public static BlobHosts From(BlobOptions options, OriginSettings settings) => new(
        (options.Hosts.Count > 0 ? options.Hosts : WellKnownStores).Concat(options.MoreHosts).Select(Parse),
        options.Hosts.Count > 0 ? [] : KnownRegistries,
        options.Hosts.Count > 0 ? [] : AccountStores.Select(Parse),
        options.Hosts.Count > 0 ? [] : RentedStores.Select(Parse),
        options.AllowedNetworks.Select(text => IPNetwork.Parse(text)),
        settings.Registries.Values);

    /// <summary>True when the URL may be read. Its addresses are checked when they are known, see <see cref="IsAllowed(IPAddress)"/>.</summary>
    public bool Allows(Uri url) => TrustIn(url) != HostTrust.None || Array.Exists(_rented, host => host.Matches(url));

    /// <summary>How far a URL of this host is believed to name what it leads to, so that it may be shared.</summary>
    public HostTrust TrustIn(Uri url) =>
        Array.Exists(_stores, host => host.Matches(url)) ? (IsKnownRegistry(url) ? HostTrust.Registry : HostTrust.Any)
        : Array.Exists(_registryHosts, host => host.Matches(url)) ? HostTrust.Registry
        : Array.Exists(_accounts, host => host.Matches(url)) ? HostTrust.Account
        : HostTrust.None;

    /// <summary>True for the host and port of a configured registry, which the operator may have put anywhere.</summary>
    public bool IsRegistry(DnsEndPoint target) => _registries.Contains((target.Host, target.Port));

    /// <summary>True when a host of the list may have this address.</summary>
    public bool IsAllowed(IPAddress address)
    {
        var plain = address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
        return !AddressPolicy.IsForbidden(address) || Array.Exists(_networks, network => network.Contains(plain));
    }

    // A store of one may be below its domain, and shows no pages.
    private static bool IsKnownRegistry(Uri url) => Array.Exists(KnownRegistries, host => host.Matches(url)) && !Array.Exists(KnownStores, host => host.Matches(url));

    private static BlobHost Parse(string text) => BlobHost.TryParse(text, out var host) ? host : throw new ArgumentException($"'{text}' is no host of blobs");
}

/// <summary>Which URLs of a host are believed to name what they lead to.</summary>
internal enum HostTrust
{
    /// <summary>None: anybody can put things there.</summary>
    None,

    /// <summary>Whatever has a digest in it, by those who read the same host: it is of one account, which anybody can rent.</summary>
    Account,

    /// <summary>Those that every registry knows, <c>/v2/&lt;name&gt;/blobs/&lt;digest&gt;</c>: with any other it may show a page of its own, say.</summary>
    Registry,

    /// <summary>Whatever has a digest in it.</summary>
    Any,
}
