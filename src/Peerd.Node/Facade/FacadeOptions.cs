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
        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);
    }
}
