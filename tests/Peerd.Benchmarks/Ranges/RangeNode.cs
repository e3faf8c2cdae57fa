using System.Text.Json.Nodes;
using Peerd.Benchmarks.Servers;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Ranges;

/// <summary>A node of the benchmark, with where it runs and whom it may read from.</summary>
/// <param name="site">Has the store that URLs lead to.</param>
/// <param name="node">The node.</param>
/// <param name="host">Where it runs; null for loopback.</param>
internal sealed class RangeNode(RangeSite site, PeerdNode node, LabHost? host)
{
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(600);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private IReadOnlyList<PeerdNode> _members = [];

    public PeerdNode Node => node;

    public LabHost? Host => host;

    /// <summary>The file as its clients ask for it: at the store's URL, behind the node's own address.</summary>
    public RangeServer Serving(BenchmarkFile file) => new(node.Name, new Uri(node.Facade, $"blobs/{site.UrlOf(file)}"), host);

    /// <summary>Starts the node.</summary>
    /// <param name="members">All nodes of the mesh.</param>
    /// <param name="usesLearnedOrder">It fetches ahead what other nodes needed next.</param>
    /// <param name="registries">Where else it can read from.</param>
    public Task StartAsync(IReadOnlyList<PeerdNode> members, bool usesLearnedOrder = true, params Upstream[] registries)
    {
        _members = members;
        var configuration = node.Configure(members, registries);
        configuration["Peerd"]!["Blobs"] = new JsonObject
        {
            ["Hosts"] = new JsonArray(site.Store.Endpoint.GetLeftPart(UriPartial.Authority)),
            ["AllowedNetworks"] = new JsonArray("127.0.0.0/8"),
            ["LearnedOrder"] = usesLearnedOrder ? "true" : "false",
        };
        return node.StartAsync(configuration);
    }

    /// <summary>Stops the node as an upgrade does: it says goodbye to its peers.</summary>
    public Task StopAsync() => node.Process.StopAsync(StopTimeout);

    /// <summary>Stops the node, removes all that it has kept, and starts it again.</summary>
    public async Task StartEmptyAsync()
    {
        await StopAsync();
        System.IO.Directory.Delete(node.CacheFolder, recursive: true);
        await StartAsync(_members);
    }

    /// <summary>Has the node keep the whole of a file.</summary>
    public async Task FillAsync(BenchmarkFile file, Upstream registry, CancellationToken cancellationToken)
    {
        using var client = host?.CreateClient() ?? new HttpClient();
        using var answer = await client.GetAsync(
            new Uri(node.Facade, $"{file.UrlPath}?ns={Uri.EscapeDataString(registry.Name)}"), HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        answer.EnsureSuccessStatusCode();
        await answer.Content.CopyToAsync(Stream.Null, cancellationToken);
    }

    /// <summary>
    /// Reads another content in the way that will be measured, then again from the node's cache: the runtime compiles what is
    /// used for the first time, and once more what is used much.
    /// </summary>
    public async Task WarmUpAsync(CancellationToken cancellationToken)
    {
        var @case = new RangeCase(RangeKind.Peer, 64 << 10, RangePattern.Random);
        await RangeClient.RunAsync(Serving(site.WarmUp), site.WarmUp, ReadPlan.Once(@case, site.WarmUp.Size).Again(), WarmUp, pace: null, cancellationToken);
        await RestAsync(cancellationToken);
    }

    /// <summary>What the node has counted so far.</summary>
    public async Task<ReadCounts> CountAsync(CancellationToken cancellationToken) => ReadCounts.From(await NodeMetrics.ReadAsync(node, host, cancellationToken));

    /// <summary>Waits until the node fetches nothing more, and returns what it has counted by then.</summary>
    public async Task<ReadCounts> RestAsync(CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(Patience);
        var counts = await CountAsync(cancellationToken);
        while (!patience.IsCancellationRequested)
        {
            await Task.Delay(Pause, cancellationToken);
            var former = counts;
            counts = await CountAsync(cancellationToken);
            if (counts.FetchedBytes == former.FetchedBytes)
            {
                break;
            }
        }

        return counts;
    }
}
