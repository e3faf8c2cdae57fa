using System.Diagnostics;
using System.Text.Json.Nodes;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Faults;

/// <summary>Nodes, the registry that they read from, and a client of each: what all tests of faults need.</summary>
internal sealed class FaultMesh : IAsyncDisposable
{
    private const int MiB = 1 << 20;

    // A lone reader may have asked for a piece that is dealt to another one as well.
    private const int Piece = 64 * 1024;
    private const double OnceMore = 1.05;

    /// <summary>Connections that stay open for a while, to the registry and to each other.</summary>
    private const int SpareHandles = 16;

    /// <summary>A member that a node did not know before: connections of both kinds to it and from it, and a few for a while.</summary>
    private const int HandlesOfMember = 6;

    /// <summary>The last contents of a cache keep their files open, two each.</summary>
    private const int MostCacheFiles = 2 * 64;

    /// <summary>Threads come with work, and go when they have had none for 20 s.</summary>
    private const int SpareThreads = 16;
    private const long MostMemory = 384L * MiB;

    private static readonly TimeSpan SettleTime = TimeSpan.FromSeconds(40);

    private static int _lastSeed = 5000;

    private readonly BlobReader[] _readers;
    private readonly SlowLink? _link;
    private Dictionary<string, (int Handles, int Threads)> _uses = [];

    private FaultMesh(FaultOrigin origin, SlowLink? link, LabHost[] hosts, PeerdNode[] nodes)
    {
        Origin = origin;
        _link = link;
        Hosts = hosts;
        Nodes = nodes;
        _readers = [.. nodes.Select((node, i) => new BlobReader(hosts.Length > 0 ? hosts[i].CreateClient() : NewClient(), node.Facade))];
    }

    /// <summary>The registry.</summary>
    public FaultOrigin Origin { get; }

    /// <summary>The nodes, running or not.</summary>
    public PeerdNode[] Nodes { get; }

    /// <summary>Where the nodes run; empty when all of them are on loopback.</summary>
    public LabHost[] Hosts { get; }

    /// <summary>Starts nodes on loopback.</summary>
    /// <param name="lab">Owns them.</param>
    /// <param name="nodes">How many.</param>
    /// <param name="change">Changes the section Peerd of what a node is started with.</param>
    /// <param name="prepare">Prepares a node, such as its cache folder, before it is started.</param>
    /// <param name="members">Members besides the nodes, which do not run.</param>
    /// <param name="originRate">Bytes per second from the registry, all together; null is no limit.</param>
    public static async Task<FaultMesh> StartAsync(
        Lab lab,
        int nodes,
        Action<PeerdNode, JsonObject>? change = null,
        Func<PeerdNode, Task>? prepare = null,
        IReadOnlyList<PeerdNode>? members = null,
        long? originRate = null)
    {
        var origin = await FaultOrigin.StartAsync();
        var link = originRate is { } rate ? new SlowLink(origin.Upstream.Endpoint, rate) : null;
        var mesh = new FaultMesh(origin, link, [], PeerdNode.CreateMany(lab, nodes));
        await mesh.StartNodesAsync(change, prepare, members ?? []);
        return mesh;
    }

    /// <summary>Starts nodes on hosts of their own.</summary>
    /// <param name="lab">Owns them.</param>
    /// <param name="nodes">How many.</param>
    /// <param name="rate">Bits per second of their links, each way; the registry has as much for each of two.</param>
    public static async Task<FaultMesh> StartOnHostsAsync(Lab lab, int nodes, long rate)
    {
        var network = await LabNetwork.CreateAsync(lab);
        var origin = await FaultOrigin.StartAsync(await network.AddHostAsync("registry", 2 * rate));
        var hosts = new LabHost[nodes];
        for (var i = 0; i < nodes; i++)
        {
            hosts[i] = await network.AddHostAsync($"n{i + 1}", rate);
        }

        var mesh = new FaultMesh(origin, null, hosts, Array.ConvertAll(hosts, host => PeerdNode.Create(lab, host)));
        await mesh.StartNodesAsync(null, null, []);
        return mesh;
    }

    /// <summary>A blob at the registry that no other test has.</summary>
    public GeneratedBlob AddBlob(long size)
    {
        var blob = NewBlob(size);
        Origin.Add(blob, NewBlob(size));
        return blob;
    }

    /// <summary>A blob at the registry for which the ring of these nodes makes one of them responsible.</summary>
    public GeneratedBlob AddBlobOwnedBy(long size, PeerdNode owner, IReadOnlyList<PeerdNode> members)
    {
        GeneratedBlob blob;
        do
        {
            blob = NewBlob(size);
        }
        while (PeerdNode.FindOwner(members, blob.Digest) != owner);
        Origin.Add(blob, NewBlob(size));
        return blob;
    }

    /// <summary>The client of a node.</summary>
    public BlobReader ReaderOf(PeerdNode node) => _readers[Array.IndexOf(Nodes, node)];

    /// <summary>Reads through a node, once.</summary>
    /// <inheritdoc cref="BlobReader.TryReadAsync"/>
    public Task<string?> TryReadAsync(PeerdNode node, GeneratedBlob blob, CancellationToken cancellationToken) =>
        ReaderOf(node).TryReadAsync(blob, Origin.PathOf(blob), cancellationToken);

    /// <summary>Reads through these nodes at the same moment; all must succeed without another try.</summary>
    public async Task ReadAsync(IEnumerable<PeerdNode> nodes, params GeneratedBlob[] blobs)
    {
        using var deadline = new CancellationTokenSource(LabTest.PullTimeout);
        var failures = await Task.WhenAll(nodes.SelectMany(node => blobs.Select(blob => TryReadAsync(node, blob, deadline.Token))));
        Assert.All(failures, Assert.Null);
    }

    /// <summary>Starts <see cref="ReadAsync"/> and returns its task when one of the nodes has so many bytes, which must be before the end.</summary>
    public async Task<Task> ReadInTheMiddleAsync(IReadOnlyList<PeerdNode> nodes, GeneratedBlob blob, long bytes)
    {
        Array.ForEach(_readers, reader => reader.StartCounting());
        var reading = ReadAsync(nodes, blob);
        await Wait.UntilAsync($"{bytes} bytes are read", null, () => Task.FromResult(reading.IsCompleted || nodes.Any(node => ReaderOf(node).ReadBytes >= bytes)), LabTest.PullTimeout);
        Assert.False(reading.IsCompleted, "it was read too fast for a fault in the middle");
        return reading;
    }

    /// <summary>Reads through a node until it succeeds.</summary>
    /// <param name="node">The node.</param>
    /// <param name="blob">What is read.</param>
    /// <param name="mayBeCutWhenWrong">As of <see cref="BlobReader.TryReadAsync"/>.</param>
    /// <returns>How long that took.</returns>
    public async Task<TimeSpan> ReadUntilDoneAsync(PeerdNode node, GeneratedBlob blob, bool mayBeCutWhenWrong = false)
    {
        var start = Stopwatch.GetTimestamp();
        using var deadline = new CancellationTokenSource(LabTest.PullTimeout);
        await ReaderOf(node).ReadUntilDoneAsync(blob, Origin.PathOf(blob), deadline.Token, mayBeCutWhenWrong);
        return Stopwatch.GetElapsedTime(start);
    }

    /// <summary>
    /// Returns when all nodes that read a new blob at the same moment make the registry send it once: when the mesh is whole.
    /// </summary>
    /// <param name="limit">How long it may take.</param>
    /// <returns>How long it took.</returns>
    public async Task<TimeSpan> UntilWholeAsync(TimeSpan limit)
    {
        const int Size = 2 * MiB;
        var start = Stopwatch.GetTimestamp();
        while (true)
        {
            var (blob, before) = (AddBlob(Size), Origin.Bytes);
            await ReadAsync(Nodes, blob);
            var sent = Origin.Bytes - before;
            if (sent <= (OnceMore * Size) + Piece)
            {
                return Stopwatch.GetElapsedTime(start);
            }

            Assert.True(Stopwatch.GetElapsedTime(start) < limit, $"after {limit.TotalSeconds} s the registry still sends {(double)sent / Size:0.00} times a blob that all nodes read");
        }
    }

    /// <summary>Remembers what the nodes hold that know each other, for <see cref="DemandNothingLeftAsync"/>.</summary>
    public async Task RememberUseAsync()
    {
        // Each of them reads from, and serves, some of the others.
        await ReadAsync(Nodes, [.. Nodes.Select(node => AddBlobOwnedBy(MiB, node, Nodes))]);
        _uses = Nodes.ToDictionary(node => node.Name, node => (HandlesOf(node).Others, ThreadsOf(node)));
    }

    /// <summary>Demands that no download goes on, and that no node holds more than before the fault but connections that are kept for a while.</summary>
    /// <param name="newMembers">Members that a node may have got to know since <see cref="RememberUseAsync"/>.</param>
    public async Task DemandNothingLeftAsync(int newMembers = 0)
    {
        foreach (var (i, node) in Nodes.Index())
        {
            var host = Hosts.Length > 0 ? Hosts[i] : null;
            using var deadline = new CancellationTokenSource(LabTest.PullTimeout);
            await Wait.UntilAsync(
                $"{node.Name} has no download", node.Process, async () => (await NodeMetrics.ReadAsync(node, host, deadline.Token)).Sum("peerd_downloads") == 0, SettleTime);
            var before = _uses.GetValueOrDefault(node.Name);
            var most = before.Handles + SpareHandles + (newMembers * HandlesOfMember);
            await Wait.UntilAsync(
                $"{node.Name} has {most} handles at most, and {MostCacheFiles} files of its cache",
                node.Process,
                () => Task.FromResult(HandlesOf(node) is var (files, others) && files <= MostCacheFiles && others <= most),
                SettleTime);
            var mostThreads = before.Threads + SpareThreads;
            await Wait.UntilAsync($"{node.Name} has {mostThreads} threads at most", node.Process, () => Task.FromResult(ThreadsOf(node) <= mostThreads), SettleTime);
            var use = ProcessUse.Of(node.Process.Id)!;
            var (cacheFiles, now) = HandlesOf(node);
            Print($"{node.Name}: {before.Handles} handles before, {now} after, and {cacheFiles} files of the cache; {before.Threads} threads before, {use.Threads} after; {use.ResidentBytes / MiB} MiB");
            Assert.InRange(use.ResidentBytes, 1, MostMemory);
        }
    }

    private static int ThreadsOf(PeerdNode node) => UseOf(node).Threads;

    private static ProcessUse UseOf(PeerdNode node) => ProcessUse.Of(node.Process.Id) ?? throw new InvalidOperationException($"{node.Name} has ended");

    private static (int CacheFiles, int Others) HandlesOf(PeerdNode node)
    {
        var use = UseOf(node);
        var files = ProcessUse.HandlesIn(node.Process.Id, node.CacheFolder);
        return (files, use.Handles - files);
    }

    /// <summary>Tells people how it went.</summary>
    public static void Print(string line) => TestContext.Current.TestOutputHelper?.WriteLine(line);

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        Array.ForEach(_readers, reader => reader.Dispose());
        await Origin.DisposeAsync();
        if (_link is not null)
        {
            await _link.DisposeAsync();
        }
    }

    private async Task StartNodesAsync(Action<PeerdNode, JsonObject>? change, Func<PeerdNode, Task>? prepare, IReadOnlyList<PeerdNode> members)
    {
        try
        {
            await Task.WhenAll(Nodes.Select(async node =>
            {
                await (prepare?.Invoke(node) ?? Task.CompletedTask);
                var upstream = _link is null ? Origin.Upstream : Origin.Upstream with { Endpoint = _link.Endpoint };
                var configuration = node.Configure([.. Nodes, .. members], upstream);
                change?.Invoke(node, configuration["Peerd"]!.AsObject());
                await node.StartAsync(configuration);
            }));
        }
        catch
        {
            await DisposeAsync();
            throw;
        }
    }

    private static GeneratedBlob NewBlob(long size) => new(size, Interlocked.Increment(ref _lastSeed));

    private static HttpClient NewClient() => new(new SocketsHttpHandler { UseProxy = false, UseCookies = false }) { Timeout = Timeout.InfiniteTimeSpan };
}
