using System.Globalization;
using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>Settings of the HTTP/1.1 server on loopback, section <c>Peerd:Facade</c>.</summary>
internal sealed class FacadeOptions
{
    public const string Section = "Peerd:Facade";

    /// <summary>
    /// Largest manifest that is served, by the size it claims and the size it has. Registries and containerd draw the
    /// line at the same place.
    /// </summary>
    public const long MaxManifestSize = 4 * 1024 * 1024;

    /// <summary>Registry that is meant when a request carries no <c>ns</c>. Default <c>docker.io</c>; it must be configured like any other.</summary>
    public string DefaultRegistry { get; set; } = "docker.io";

    /// <summary>
    /// Time until the head of an answer must be known, 1s to 10m; then the client is told 504. Default <c>25s</c>:
    /// containerd 2.3 gives up after 30, older ones wait for ever.
    /// </summary>
    public string AnswerTimeout { get; set; } = "25s";

    /// <summary>Time for a client to send the head of its request, 1s to 1m. Default <c>15s</c>.</summary>
    public string RequestHeadersTimeout { get; set; } = "15s";

    /// <summary>Connections of clients at one time, 1 to 65536; more are closed at once. Default 1024.</summary>
    public string MaxConnections { get; set; } = "1024";

    /// <summary>
    /// Who may have what this node serves: <c>node</c>, whoever reaches the listener; <c>upstream</c>, whom the origin allows
    /// that very content, with what the client brings. Default node.
    /// </summary>
    public string Access { get; set; } = "node";

    /// <summary>How long the origin's yes counts in the mode upstream. Duration, 1s to 1h; default 5m.</summary>
    public string AccessLifetime { get; set; } = "5m";

    /// <summary>When the origin cannot be asked in the mode upstream: <c>deny</c> everybody, or believe those that are <c>known</c>. Default deny.</summary>
    public string AccessWhenDown { get; set; } = "deny";

    /// <summary>How long the origin's yes counts while it cannot be asked, if those that are known are believed. Duration, 1s to 7d; default 24h.</summary>
    public string AccessKnownFor { get; set; } = "24h";

    internal bool AsksUpstream => IsWord(Access, "upstream");

    internal TimeSpan AccessLifetimeValue => Duration.Parse(AccessLifetime);

    internal bool KnowsWhenDown => IsWord(AccessWhenDown, "known");

    internal TimeSpan AccessKnownForValue => Duration.Parse(AccessKnownFor);

    internal static bool IsWord(string value, string word) => string.Equals(value, word, StringComparison.OrdinalIgnoreCase);

    internal TimeSpan AnswerTimeoutValue => Duration.Parse(AnswerTimeout);

    internal TimeSpan RequestHeadersTimeoutValue => Duration.Parse(RequestHeadersTimeout);

    internal int MaxConnectionsValue => int.Parse(MaxConnections, CultureInfo.InvariantCulture);
}

/// <summary>Checks <see cref="FacadeOptions"/> at start; tells all faults at once.</summary>
internal sealed class FacadeOptionsValidator : IValidateOptions<FacadeOptions>
{
    private static readonly TimeSpan Least = TimeSpan.FromSeconds(1);

    public ValidateOptionsResult Validate(string? name, FacadeOptions options)
    {
        var faults = new SettingFaults(FacadeOptions.Section);
        if (!RegistryName.IsValid(options.DefaultRegistry))
        {
            faults.Add(nameof(options.DefaultRegistry), options.DefaultRegistry, RegistryName.Allowed);
        }

        faults.ReadDuration(nameof(options.AnswerTimeout), options.AnswerTimeout, Least, TimeSpan.FromMinutes(10));
        faults.ReadDuration(nameof(options.RequestHeadersTimeout), options.RequestHeadersTimeout, Least, TimeSpan.FromMinutes(1));
        faults.ReadNumber(nameof(options.MaxConnections), options.MaxConnections, 1, 65536);
        if (!FacadeOptions.IsWord(options.Access, "node") && !options.AsksUpstream)
        {
            faults.Add(nameof(options.Access), options.Access, "node or upstream");
        }

        if (!FacadeOptions.IsWord(options.AccessWhenDown, "deny") && !options.KnowsWhenDown)
        {
            faults.Add(nameof(options.AccessWhenDown), options.AccessWhenDown, "deny or known");
        }

        faults.ReadDuration(nameof(options.AccessLifetime), options.AccessLifetime, Least, TimeSpan.FromHours(1));
        faults.ReadDuration(nameof(options.AccessKnownFor), options.AccessKnownFor, Least, TimeSpan.FromDays(7));
        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);
    }
}
