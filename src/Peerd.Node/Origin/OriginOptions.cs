namespace Peerd.Node.Origin;

/// <summary>
/// Section <c>Peerd:Origin</c>, as it is written there. All values are text so that a bad one is reported with all
/// others and with what is allowed; <see cref="OriginSettings"/> is the checked form.
/// </summary>
internal sealed class OriginOptions
{
    public const string Section = "Peerd:Origin";

    /// <summary>The registries of which no configuration is needed.</summary>
    public static readonly IReadOnlyList<string> DefaultRegistries =
        ["docker.io", "ghcr.io", "quay.io", "mcr.microsoft.com", "registry.k8s.io", "gcr.io", "public.ecr.aws"];

    /// <summary>The only registries that are contacted. Empty: <see cref="DefaultRegistries"/>.</summary>
    public List<OriginRegistryOptions> Registries { get; set; } = [];

    /// <summary>
    /// With whose credentials registries are read: <c>relay</c>, with those that the client brings, which is handed what the
    /// registry asks for; <c>anonymous</c>, with tokens that everybody gets; <c>static</c>, with those of
    /// <see cref="CredentialsFile"/>. Default relay.
    /// </summary>
    public string Auth { get; set; } = "relay";

    /// <summary>
    /// Hand on a registry's demand for a password, too (Basic), if the client is on this machine. It then sends the password
    /// of the registry to this node in clear text. true or false; default false: such a client reads the registry itself.
    /// </summary>
    public string RelayBasic { get; set; } = "false";

    /// <summary>File with the credentials of <c>static</c> registries, in the form of Docker's <c>config.json</c>; read again when it changes. Default none.</summary>
    public string CredentialsFile { get; set; } = string.Empty;

    /// <summary>Longest time to connect, TLS included. Duration, 10ms to 10m; default 5s.</summary>
    public string ConnectTimeout { get; set; } = "5s";

    /// <summary>Longest time from sending a request (connecting included) to the headers of its answer. Duration, 10ms to 10m; default 10s.</summary>
    public string HeaderTimeout { get; set; } = "10s";

    /// <summary>Longest time without a byte of a body that is being read. Duration, 10ms to 10m; default 15s.</summary>
    public string IdleTimeout { get; set; } = "15s";

    /// <summary>How often a request is repeated after a failure that may pass. 0 to 10; default 3; after a 5xx twice at most.</summary>
    public string Retries { get; set; } = "3";

    /// <summary>Pause before the first repetition; it doubles each time, with jitter, up to 2s. Duration, 1ms to 10s; default 200ms.</summary>
    public string RetryDelay { get; set; } = "200ms";

    /// <summary>How many redirects of one request are followed. 0 to 20; default 5.</summary>
    public string MaxRedirects { get; set; } = "5";

    /// <summary>
    /// How many blobs of one registry are read at once; manifests and size requests have as many slots of their own. The same
    /// for each host that blobs are read from by URLs of clients, where what a container waits for has 16 times as many of its own, too.
    /// 1 to 1024; default 16.
    /// </summary>
    public string MaxConcurrentRequests { get; set; } = "16";

    /// <summary>
    /// How many requests for blobs are sent to one registry in a second, after a burst of five times as many; manifests and
    /// size requests have as many of their own. What goes to the store that a registry redirects to does not count, for
    /// that takes the load off the registry. Hosts that blobs are read from by URLs of clients are asked no faster either, each
    /// sort of <see cref="MaxConcurrentRequests"/> by itself; for what a container waits for it is 16 times as many. 1 to 10000; default 200.
    /// </summary>
    /// <remarks>
    /// The default stops what runs away, never a pull. Four layers that are read at once from a registry without a store,
    /// in the smallest requests there are (ranges of 1 MiB), need 119 requests a second to fill a link of 1 Gbit/s, and the
    /// burst is a whole GiB at any speed; as a rule a pull needs far fewer, for contiguous ranges are read with one request.
    /// Registries that count requests for an account (the least of them 16 a second) ask for less: divide by the nodes.
    /// </remarks>
    public string RequestsPerSecond { get; set; } = "200";

    /// <summary>How long a 404 or 410 for a digest is believed without asking again. Duration, 0s (not at all) to 1m; default 5s.</summary>
    public string NotFoundFor { get; set; } = "5s";
}

/// <summary>One registry of <see cref="OriginOptions.Registries"/>.</summary>
internal sealed class OriginRegistryOptions
{
    /// <summary>What images call it and clients send as <c>ns</c>: host and optional port, lower-case, for example <c>docker.io</c>.</summary>
    public string Name { get; set; } = string.Empty;

    /// <summary>Where it is: <c>https://host[:port][/path]</c>. Clear text only when <c>http://</c> is written here. Default: <c>https://&lt;name&gt;</c>.</summary>
    public string? Endpoint { get; set; }

    /// <summary>As <see cref="OriginOptions.Auth"/>, for this registry. Default: what is said there.</summary>
    public string? Auth { get; set; }

    /// <summary>
    /// Hosts that may get this registry's static credentials besides its own and those below it: the token server when it is
    /// elsewhere. Host, or host:port if the port is not the usual one.
    /// </summary>
    public List<string> TokenServers { get; set; } = [];
}
