using System.Net;
using Microsoft.Extensions.Options;
using Peerd.Contracts;

namespace Peerd.Node.Origin;

/// <summary>Section <c>Peerd:Blobs</c>: reads below <c>/blobs/&lt;absolute URL&gt;</c>, as overlaybd sends them.</summary>
internal sealed class BlobOptions
{
    public const string Section = "Peerd:Blobs";

    /// <summary>
    /// Hosts that may be read from, and whose URLs are believed to name what they hold: <c>https://host[:port]</c>,
    /// <c>http://host[:port]</c> for clear text, or <c>.suffix</c> for every host below a domain, by https. Empty: the
    /// stores of well-known registries. The registries of <c>Peerd:Origin</c> are always among them.
    /// </summary>
    public List<string> Hosts { get; set; } = [];

    /// <summary>The same, besides those of <see cref="Hosts"/>, or of the stores of well-known registries. Default: none.</summary>
    public List<string> MoreHosts { get; set; } = [];

    /// <summary>
    /// Networks (CIDR) in which such hosts may be although they are usually forbidden: this machine's own addresses,
    /// link-local ones, metadata services, multicast. Default: none.
    /// </summary>
    public List<string> AllowedNetworks { get; set; } = [];

    /// <summary>Time until the head of an answer must be known. Duration, 1s to 10s; default 9s: overlaybd gives up a read after 30, all its tries together.</summary>
    public string AnswerTimeout { get; set; } = "9s";

    /// <summary>How much is fetched ahead of a container that reads in order, or as others have read. Size, 0 (nothing) to 256MiB; default 16MiB.</summary>
    public string ReadAhead { get; set; } = "16MiB";

    /// <summary>Fetch ahead what other nodes needed next when they started the same image. true or false; default true.</summary>
    public string LearnedOrder { get; set; } = "true";

    internal TimeSpan AnswerTimeoutValue => Duration.Parse(AnswerTimeout);

    /// <summary>How much of it the mesh has: then the given URL is read.</summary>
    internal TimeSpan MeshTime => AnswerTimeoutValue * 0.6;

    internal long ReadAheadValue => ByteSize.TryParse(ReadAhead, out var size) ? size.Bytes : 0;

    internal bool LearnedOrderValue => bool.Parse(LearnedOrder);
}

/// <summary>Checks <see cref="BlobOptions"/> at start; tells all faults at once.</summary>
internal sealed class BlobOptionsValidator : IValidateOptions<BlobOptions>
{
    private static readonly ByteSize MostAhead = new(256L << 20);

    public ValidateOptionsResult Validate(string? name, BlobOptions options)
    {
        var faults = new SettingFaults(BlobOptions.Section);
        CheckHosts(nameof(options.Hosts), options.Hosts, faults);
        CheckHosts(nameof(options.MoreHosts), options.MoreHosts, faults);
        for (var i = 0; i < options.AllowedNetworks.Count; i++)
        {
            if (!IPNetwork.TryParse(options.AllowedNetworks[i], out _))
            {
                faults.Add($"AllowedNetworks:{i}", options.AllowedNetworks[i], "a network such as 10.1.0.0/16 or fd00::/8");
            }
        }

        faults.ReadDuration(nameof(options.AnswerTimeout), options.AnswerTimeout, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(10));
        faults.ReadSize(nameof(options.ReadAhead), options.ReadAhead, new ByteSize(0), MostAhead);
        faults.ReadFlag(nameof(options.LearnedOrder), options.LearnedOrder);
        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);
    }

    private static void CheckHosts(string key, List<string> hosts, SettingFaults faults)
    {
        for (var i = 0; i < hosts.Count; i++)
        {
            if (!BlobHost.TryParse(hosts[i], out _))
            {
                faults.Add($"{key}:{i}", hosts[i], BlobHost.Allowed);
            }
        }
    }
}
