using Microsoft.Extensions.Options;
using Peerd.Contracts;

namespace Peerd.Node.Hosting;

/// <summary>Settings of the handover from one process of a node to the next, section <c>Peerd:Handover</c>.</summary>
internal sealed class HandoverOptions
{
    public const string Section = "Peerd:Handover";

    /// <summary>
    /// A process that is started with the cache directory and the addresses of a running one takes over from it. Both
    /// processes must have it. Default false: the second one is refused.
    /// </summary>
    public bool Enabled { get; set; }

    /// <summary>How long requests of local clients may take to end when the process is stopped, 1s to 10m. Default <c>5s</c>.</summary>
    public string DrainTime { get; set; } = "5s";

    /// <summary>
    /// A Unix socket at which this process answers probes from when it listens, see <see cref="Hosting.ProbeSocket"/>: its own word, where
    /// another process of the node may answer at the ports. In a folder of this process alone; what is there is replaced. Default empty: none.
    /// </summary>
    public string ProbeSocket { get; set; } = string.Empty;

    internal TimeSpan DrainTimeValue => Duration.TryParse(DrainTime, out var time) ? time : TimeSpan.Zero;
}

/// <summary>Checks <see cref="HandoverOptions"/> at start; tells all faults at once.</summary>
internal sealed class HandoverOptionsValidator : IValidateOptions<HandoverOptions>
{
    public ValidateOptionsResult Validate(string? name, HandoverOptions options)
    {
        var faults = new SettingFaults(HandoverOptions.Section);
        faults.ReadDuration(nameof(options.DrainTime), options.DrainTime, TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(10));
        if (options.ProbeSocket.Length > 0 && !Hosting.ProbeSocket.IsPath(options.ProbeSocket))
        {
            faults.Add(nameof(options.ProbeSocket), options.ProbeSocket, $"an absolute path of at most {Hosting.ProbeSocket.LongestPath} bytes, or empty");
        }

        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);
    }
}
