using System.Globalization;
using Microsoft.Extensions.Options;
using Peerd.Contracts;

namespace Peerd.Node.Limits;

/// <summary>Section <c>Peerd:Limits</c>: how much of the machine and its links the node may take. 0 is no limit wherever it is allowed.</summary>
internal sealed class LimitOptions
{
    public const string Section = "Peerd:Limits";

    /// <summary>Bytes a second that are sent to other nodes. 0, or 64KiB and more; default 0.</summary>
    public string Upload { get; set; } = "0";

    /// <summary>Bytes a second that are read from other nodes. 0, or 64KiB and more; default 0.</summary>
    public string Download { get; set; } = "0";

    /// <summary>Bytes a second that are read from registries and stores. 0, or 64KiB and more; default 0.</summary>
    public string Origin { get; set; } = "0";

    /// <summary>
    /// Requests of local clients that are answered at one time, 0 to 65536; default 512. What is more goes to the registry:
    /// below <c>/v2</c> by a 503, below <c>/blobs</c> by reading the URL itself.
    /// </summary>
    public string Requests { get; set; } = "512";

    /// <summary>Requests after which a connection of a local client is closed, 0 to 1000000; default 0.</summary>
    public string RequestsPerConnection { get; set; } = "0";

    /// <summary>
    /// Bytes of contents in the buffers of what is under way, all together, above which nothing new is begun: requests of local
    /// clients go the way of <see cref="Requests"/>, other nodes are told that this one is busy. What the cache keeps in memory has
    /// its own limit. 0, or 16MiB and more; default 192MiB.
    /// </summary>
    public string Memory { get; set; } = "192MiB";

    /// <summary>Connections to the mesh listener at one time, 1 to 65536; more are closed at once. Default 16384.</summary>
    public string MeshConnections { get; set; } = "16384";

    /// <summary>The same of one IP address, or of the addresses of a /64 network of IPv6 that are no members', this machine's loopback addresses aside, 1 to 65536. Default 64.</summary>
    public string MeshConnectionsPerAddress { get; set; } = "64";

    /// <summary>Streams on one connection to the mesh listener, 16 to 4096. Default 256.</summary>
    public string StreamsPerConnection { get; set; } = "256";

    /// <summary>
    /// Connections to the listener of metrics and probes at one time, 4 to 65536, an eighth of them (4 at least) of one IP
    /// address, this machine's loopback addresses aside; more are closed at once. Default 128.
    /// </summary>
    public string MetricsConnections { get; set; } = "128";

    internal long UploadValue => Bytes(Upload);

    internal long DownloadValue => Bytes(Download);

    internal long OriginValue => Bytes(Origin);

    internal int RequestsValue => Number(Requests);

    internal int RequestsPerConnectionValue => Number(RequestsPerConnection);

    internal long MemoryValue => Bytes(Memory);

    internal int MeshConnectionsValue => Number(MeshConnections);

    internal int MeshConnectionsPerAddressValue => Number(MeshConnectionsPerAddress);

    internal int StreamsPerConnectionValue => Number(StreamsPerConnection);

    internal int MetricsConnectionsValue => Number(MetricsConnections);

    // Checked before.
    private static long Bytes(string value) => ByteSize.TryParse(value, out var size) ? size.Bytes : 0;

    private static int Number(string value) => int.Parse(value, CultureInfo.InvariantCulture);
}

/// <summary>Checks <see cref="LimitOptions"/> at start; tells all faults at once.</summary>
internal sealed class LimitOptionsValidator : IValidateOptions<LimitOptions>
{
    /// <summary>Slower than this a single block would take seconds.</summary>
    private const long LeastRate = 64 * 1024;

    /// <summary>With less there is no room for the blocks of one download.</summary>
    private const long LeastMemory = 16 * 1024 * 1024;

    private const int MostConnections = 65536;

    public ValidateOptionsResult Validate(string? name, LimitOptions options)
    {
        var faults = new SettingFaults(LimitOptions.Section);
        CheckAmount(nameof(options.Upload), options.Upload, LeastRate, "64KiB (a second)");
        CheckAmount(nameof(options.Download), options.Download, LeastRate, "64KiB (a second)");
        CheckAmount(nameof(options.Origin), options.Origin, LeastRate, "64KiB (a second)");
        CheckAmount(nameof(options.Memory), options.Memory, LeastMemory, "16MiB");
        faults.ReadNumber(nameof(options.Requests), options.Requests, 0, MostConnections);
        faults.ReadNumber(nameof(options.RequestsPerConnection), options.RequestsPerConnection, 0, 1_000_000);
        faults.ReadNumber(nameof(options.MeshConnections), options.MeshConnections, 1, MostConnections);
        faults.ReadNumber(nameof(options.MeshConnectionsPerAddress), options.MeshConnectionsPerAddress, 1, MostConnections);
        faults.ReadNumber(nameof(options.StreamsPerConnection), options.StreamsPerConnection, 16, 4096);
        faults.ReadNumber(nameof(options.MetricsConnections), options.MetricsConnections, 4, MostConnections);
        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);

        void CheckAmount(string key, string value, long least, string shown)
        {
            if (!ByteSize.TryParse(value, out var size) || (size.Bytes != 0 && size.Bytes < least))
            {
                faults.Add(key, value, $"0 for no limit, or a size of {shown} or more, such as 100MiB or 12500000 (bytes)");
            }
        }
    }
}
