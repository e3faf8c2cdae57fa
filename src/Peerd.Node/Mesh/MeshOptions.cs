using System.Globalization;
using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Node.Membership;

namespace Peerd.Node.Mesh;

/// <summary>Section <c>Peerd:Mesh</c>: talking with the other nodes.</summary>
internal sealed class MeshOptions
{
    public const string Section = "Peerd:Mesh";

    /// <summary>
    /// Address and port of the gRPC listener. Default <c>0.0.0.0:30001</c>: who wants IPv6 says <c>[::]</c>, for its addresses are often
    /// reachable from everywhere.
    /// </summary>
    public string Listen { get; set; } = "0.0.0.0:30001";

    /// <summary>
    /// Ranges that are served to peers at the same moment, over all contents; of one content at most
    /// <see cref="RangeServer.UploadsPerContent"/>. More are answered "busy". 1 to 1024, default 64.
    /// </summary>
    public string Uploads { get; set; } = "64";

    /// <summary>A connection to a peer that takes longer than this has failed. 10ms to 1h, default <c>2s</c>.</summary>
    public string ConnectTimeout { get; set; } = "2s";

    /// <summary>A peer that sends nothing of a range for this long has failed; one that waits for bytes itself says so every second. 10ms to 1h, default <c>5s</c>.</summary>
    public string IdleTimeout { get; set; } = "5s";

    /// <summary>Longest time that one range is served, or read from a peer. 10ms to 1h, default <c>60s</c>.</summary>
    public string RangeDeadline { get; set; } = "60s";

    internal int UploadsValue => int.Parse(Uploads, CultureInfo.InvariantCulture);

    internal TimeSpan ConnectTimeoutValue => Duration.Parse(ConnectTimeout);

    internal TimeSpan IdleTimeoutValue => Duration.Parse(IdleTimeout);

    internal TimeSpan RangeDeadlineValue => Duration.Parse(RangeDeadline);
}

/// <summary>Checks <see cref="MeshOptions"/> at start; tells all faults at once.</summary>
internal sealed class MeshOptionsValidator : IValidateOptions<MeshOptions>
{
    private static readonly TimeSpan Least = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan Most = TimeSpan.FromHours(1);

    public ValidateOptionsResult Validate(string? name, MeshOptions options)
    {
        var faults = new SettingFaults(MeshOptions.Section);
        if (!ListenAddress.TryParse(options.Listen, out _))
        {
            faults.Add(nameof(options.Listen), options.Listen, ListenAddress.Allowed);
        }

        faults.ReadNumber(nameof(options.Uploads), options.Uploads, 1, 1024);
        faults.ReadDuration(nameof(options.ConnectTimeout), options.ConnectTimeout, Least, Most);
        faults.ReadDuration(nameof(options.IdleTimeout), options.IdleTimeout, Least, Most);
        faults.ReadDuration(nameof(options.RangeDeadline), options.RangeDeadline, Least, Most);
        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);
    }
}
