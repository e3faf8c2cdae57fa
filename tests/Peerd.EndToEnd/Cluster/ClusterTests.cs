using System.Text.Json.Nodes;
using Grpc.Net.Client;
using Peerd.Contracts.V1;
using Peerd.EndToEnd.Faults;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Cluster;

/// <summary>Nodes as the pods of a cluster: their members are the cluster's nodes, and what becomes of them are events of the pods.</summary>
public sealed class ClusterTests : LabTest
{
    private const int Size = 2 << 20;

    /// <summary>Contents of this size are copied.</summary>
    private const int SmallSize = 256 << 10;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly HttpClient _client = new() { Timeout = PullTimeout };
    private ClusterApi _api = null!;
    private FaultOrigin _origin = null!;
    private PeerdNode[] _nodes = [];
    private int _seed = 700;

    public override async ValueTask InitializeAsync()
    {
        _api = await ClusterApi.StartAsync(Lab, "cluster");
        _origin = await FaultOrigin.StartAsync();

        // As in a cluster, where each node has an address and all have the same port.
        var port = FreePorts.Take();
        _nodes = [.. Enumerable.Range(1, 3).Select(i => PeerdNode.Create(Lab, $"node-{i}", new Uri($"http://127.0.0.{i}:{port}/")))];
        foreach (var node in _nodes)
        {
            _api.Server.Set(node.Name, node.Mesh.Host);
        }
    }

    [Fact]
    public async Task Pods_AsTheClusterChanges_FollowItsNodesAndTellOnlyWhatIsTrue()
    {
        await using var api = _api;
        await using var origin = _origin;
        using var client = _client;
        var (first, second, third) = (_nodes[0], _nodes[1], _nodes[2]);
        await Task.WhenAll(_nodes.Select(StartAsync));
        await RingsAsync(_nodes, first, second, third);
        await EventsAsync("node-1 P2PConnected 1", "node-2 P2PConnected 1", "node-3 P2PConnected 1");
        AssertIsOfThePod(first, "P2PConnected", "Normal", "Ready: connected to the mesh of 2 other nodes.");

        // Who is responsible for what the first one has read keeps a copy of it: nobody reads an image there.
        Assert.Null(await TryReadAsync(first, NewBlob(SmallSize)));
        await Wait.UntilAsync("it is copied", first.Process, async () => (await Task.WhenAll(MetricsAsync(second), MetricsAsync(third))).Any(counted => counted.Sum("peerd_peer_received_bytes_total") > 0), Patience);
        await EventsAsync("node-1 P2PConnected 1", "node-2 P2PConnected 1", "node-3 P2PConnected 1");

        // The second one reads from the first.
        var blob = await ReadAsync(first);
        Assert.Null(await TryReadAsync(second, blob));
        Assert.Equal(SmallSize + Size, _origin.Bytes);
        await EventsAsync("node-1 P2PConnected 1", "node-2 P2PActive 1", "node-2 P2PConnected 1", "node-3 P2PConnected 1");
        AssertIsOfThePod(second, "P2PActive", "Normal", "Reading an image from other nodes of the mesh.");
        Assert.Null(await TryReadAsync(second, await ReadAsync(first)));

        _api.Server.Nodes.Remove(third.Name);
        await RingsAsync(_nodes, first, second);
        await Wait.UntilAsync("the list is saved", second.Process, async () => !(await File.ReadAllTextAsync(ListOf(second))).Contains(third.Name, StringComparison.Ordinal), Patience);

        // From here on the first one is alone, with a registry that is gone.
        await Task.WhenAll(second.Process.KillAsync(), third.Process.KillAsync(), _origin.FailAsync(OriginFault.Down));
        Assert.Null(await TryReadAsync(first, blob));
        Assert.NotNull(await TryReadAsync(first, NewBlob()));
        await EventsAsync("node-1 P2PConnected 1", "node-1 P2PDisconnected 1", "node-1 P2PFailed 1", "node-2 P2PActive 1", "node-2 P2PConnected 1", "node-3 P2PConnected 1");
        AssertIsOfThePod(first, "P2PFailed", "Warning", "1 request of containerd or overlaybd could be served by neither the mesh nor the registry; the log of this pod says why.");
        AssertIsOfThePod(first, "P2PDisconnected", "Warning", "The only other node of the mesh does not answer that it serves; reading from the registries meanwhile. Do the nodes reach each other at the mesh port?");

        // The second one is back, with the list that it had, while the API server is of no use; what its new process tells is an event of its own.
        _api.Server.Status = 503;
        await StartAsync(second);
        await RingsAsync([first, second], first, second);
        await Wait.UntilAsync("the API server is missed", second.Process, () => Task.FromResult(second.Process.Output.Any(line => line.Contains("answered 503", StringComparison.Ordinal))), Patience);
        _api.Server.Status = 0;
        await EventsAsync(
            "node-1 P2PConnected 2", "node-1 P2PDisconnected 1", "node-1 P2PFailed 1", "node-2 P2PActive 1", "node-2 P2PConnected 1", "node-2 P2PConnected 1", "node-3 P2PConnected 1");
        AssertIsOfThePod(first, "P2PConnected", "Normal", "Ready: connected to the mesh of 1 other node.");
        Assert.True((await MetricsAsync(first)).Has("peerd_events_dropped_total"));
    }

    [Fact]
    public async Task Restart_ApiServerGone_ServesWithTheListThatItHadAndANewNodeAlone()
    {
        await using var origin = _origin;
        using var client = _client;
        var (first, second, third) = (_nodes[0], _nodes[1], _nodes[2]);
        await using (_api)
        {
            await Task.WhenAll(StartAsync(first), StartAsync(second));
            await RingsAsync([first, second], _nodes);
            await Wait.UntilAsync("the list is saved", second.Process, () => Task.FromResult(File.Exists(ListOf(second))), Patience);
        }

        // Nobody listens there any more. What the first one has read comes from there, as it did before.
        var blob = await ReadAsync(first);
        await second.Process.KillAsync();
        await Task.WhenAll(StartAsync(second), StartAsync(third));
        await Wait.UntilAsync("the API server is missed", second.Process, () => Task.FromResult(second.Process.Output.Any(line => line.Contains("The API server cannot be asked", StringComparison.Ordinal))), Patience);
        await RingsAsync([first, second], _nodes);
        Assert.Null(await TryReadAsync(second, blob));
        Assert.Equal(Size, _origin.Bytes);

        // It never knew of others, and reads the registry itself.
        await RingsAsync([third], third);
        Assert.Null(await TryReadAsync(third, blob));
        Assert.Equal(2 * Size, _origin.Bytes);
    }

    // As the chart does: the name of the node, and the pod, are in the environment.
    private Task StartAsync(PeerdNode node)
    {
        var configuration = node.Configure([], _origin.Upstream);
        var settings = configuration["Peerd"]!.AsObject();
        settings.Remove("Node");
        settings["Membership"] = new JsonObject { ["Source"] = "kubernetes", ["StateFile"] = ListOf(node) };
        node.Program = _api.Account.Wrap(Repository.Peerd);
        node.Environment = new Dictionary<string, string>(_api.Account.Environment)
        {
            ["Peerd__Node__Name"] = node.Name,
            ["Peerd__Events__Pod"] = PodOf(node),
            ["Peerd__Events__Namespace"] = ServiceAccount.Namespace,
            ["Peerd__Events__Uid"] = UidOf(node),
        };
        return node.StartAsync(configuration);
    }

    private string ListOf(PeerdNode node) => Path.Combine(Lab.Folder, node.Name, "members.json");

    private static string PodOf(PeerdNode node) => $"peerd-of-{node.Name}";

    private static string UidOf(PeerdNode node) => $"uid-of-{node.Name}";

    /// <summary>Waits until these nodes agree that these are the members.</summary>
    private static Task RingsAsync(PeerdNode[] nodes, params PeerdNode[] members)
    {
        var expected = members.Select(member => $"{member.Name} {member.Mesh.Authority}").ToArray();
        return Task.WhenAll(nodes.Select(node => Wait.UntilAsync($"{node.Name} knows {members.Length} members", node.Process, async () => (await RingOfAsync(node)).SequenceEqual(expected), Patience)));
    }

    private static async Task<string[]> RingOfAsync(PeerdNode node)
    {
        using var channel = GrpcChannel.ForAddress(node.Mesh);
        var ring = await new NodeService.NodeServiceClient(channel).GetRingAsync(new GetRingRequest(), deadline: TimeProvider.System.GetUtcNow().UtcDateTime + Patience);
        return [.. ring.Members.Select(member => $"{member.Node} {member.Address}").Order(StringComparer.Ordinal)];
    }

    private static async Task<NodeMetrics> MetricsAsync(PeerdNode node)
    {
        using var deadline = new CancellationTokenSource(Patience);
        return await NodeMetrics.ReadAsync(node, host: null, deadline.Token);
    }

    private GeneratedBlob NewBlob(int size = Size)
    {
        var blob = new GeneratedBlob(size, ++_seed);
        _origin.Add(blob, blob);
        return blob;
    }

    /// <summary>Has a node read a new blob.</summary>
    private async Task<GeneratedBlob> ReadAsync(PeerdNode node)
    {
        var blob = NewBlob();
        Assert.Null(await TryReadAsync(node, blob));
        return blob;
    }

    private async Task<string?> TryReadAsync(PeerdNode node, GeneratedBlob blob)
    {
        using var deadline = new CancellationTokenSource(PullTimeout);
        return await new BlobReader(_client, node.Facade).TryReadAsync(blob, _origin.PathOf(blob), deadline.Token);
    }

    /// <summary>Waits until these are all events, each with the node that tells it and how often it has happened; there may be no others meanwhile.</summary>
    private Task EventsAsync(params string[] expected) => Wait.UntilAsync(
        $"the events are {string.Join(", ", expected)}",
        _nodes[0].Process,
        () =>
        {
            string[] told = [.. _api.Server.PodEvents.Select(item => $"{item["source"]!["host"]} {item["reason"]} {item["count"]}").Order(StringComparer.Ordinal)];
            Assert.True(told.Length <= expected.Length, string.Join(", ", told));
            return Task.FromResult(told.SequenceEqual(expected));
        },
        Patience);

    private void AssertIsOfThePod(PeerdNode node, string reason, string type, string message)
    {
        var told = Assert.Single(_api.Server.PodEvents, item => $"{item["source"]!["host"]} {item["reason"]}" == $"{node.Name} {reason}");
        Assert.Equal((type, message), ($"{told["type"]}", $"{told["message"]}"));
        Assert.Equal(
            $$"""{"apiVersion":"v1","kind":"Pod","name":"{{PodOf(node)}}","namespace":"{{ServiceAccount.Namespace}}","uid":"{{UidOf(node)}}"}""", told["involvedObject"]!.ToJsonString());
        Assert.Equal("peerd", $"{told["source"]!["component"]}");
    }
}
