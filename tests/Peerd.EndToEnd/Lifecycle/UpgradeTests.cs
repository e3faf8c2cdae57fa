using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Peerd.EndToEnd.Faults;
using Peerd.EndToEnd.Harness;
using Peerd.EndToEnd.Streaming;

namespace Peerd.EndToEnd.Lifecycle;

/// <summary>One process of a node follows another while its clients read.</summary>
public sealed class UpgradeTests : LabTest
{
    private const int MiB = 1 << 20;

    /// <summary>Reads before, between and after the restarts.</summary>
    private const int SomeReads = 1500;

    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(30);

    private readonly ConcurrentDictionary<string, GeneratedBlob> _blobs = new(StringComparer.Ordinal);
    private LabServer _registry = null!;
    private StreamingSite _site = null!;

    /// <summary>A registry that asks nobody for a token, with the blobs of the store.</summary>
    public override async ValueTask InitializeAsync() => _registry = await LabServer.StartAsync(async context =>
    {
        if (_blobs.TryGetValue(context.Request.Path.Value!.Split('/')[^1], out var blob))
        {
            await _site.Store.SendAsync(context, blob);
        }
        else
        {
            context.Response.StatusCode = StatusCodes.Status404NotFound;
        }
    });

    // However many reads this machine has time for, beside other tests: some are made at every step, and none fails.
    [Fact]
    public Task Upgrade_TwiceUnderReads_NoReadFails() => UpgradeTwiceAsync(leastShare: null);

    // A handover that stalls is found only by a machine that has time for all reads.
    [Fact]
    [Trait(FaultTraits.Length, FaultTraits.Long)]
    public Task Upgrade_TwiceUnderReadsAndNothingElse_KeepsThePace() => UpgradeTwiceAsync(RangeReaders.Enough);

    [Fact]
    public async Task Upgrade_NewProcessDies_OldOneGoesOnAndCaches()
    {
        var blobs = Enumerable.Range(0, 2).Select(i => new GeneratedBlob(8 * MiB, seed: 95 + i)).ToArray();
        await using var site = _site = await StreamingSite.StartAsync(Lab, 1, blobs, change: HandOver);
        var node = site.Nodes[0];
        var old = node.Process;
        var next = await node.LaunchAsync();
        await Wait.UntilAsync("the new process serves", old, () => Said(old, "A new process of this node serves"), PullTimeout);

        await next.KillAsync();
        await Wait.UntilAsync("the old process goes on", old, () => Said(old, "The new process of this node is gone"), PullTimeout);
        await ReadAllAsync(node, Mirrored(blobs[0]));
        var third = await node.LaunchAsync();
        await Wait.UntilAsync("the third process serves", old, () => Said(old, "A new process of this node serves", times: 2), PullTimeout);
        Assert.Equal(0, await old.StopAsync(StopLimit));
        var before = site.Store.Bytes;
        await ReadAllAsync(node, Mirrored(blobs[0]));

        Assert.Equal(before, site.Store.Bytes);
        Assert.False(third.HasExited);
    }

    // What is told of one process is of that one, whoever has the ports: else a new version that hangs would end the old one, too.
    [Fact]
    public async Task Upgrade_NewProcessHangs_OldOneIsLiveAndReady()
    {
        var node = PeerdNode.Create(Lab, "n1");
        var configuration = node.Configure([node]);
        var (old, next) = (Path.Combine(Lab.CreateFolder("old"), "probe"), Path.Combine(Lab.CreateFolder("new"), "probe"));
        configuration["Peerd"]!["Handover"] = new JsonObject { ["Enabled"] = true, ["ProbeSocket"] = old };
        await node.StartAsync(configuration);
        await Wait.UntilAsync("the old process is ready", node.Process, async () => await AskAsync(old) == (0, 0), PullTimeout);
        configuration["Peerd"]!["Handover"]!["ProbeSocket"] = next;
        node.WriteConfiguration(configuration);
        var process = await node.LaunchAsync();
        await Wait.UntilAsync("the new process is ready", process, async () => await AskAsync(next) == (0, 0), PullTimeout);

        process.Freeze();

        Assert.Equal((1, 1), await AskAsync(next));
        Assert.Equal((0, 0), await AskAsync(old));
        process.Thaw();
        await Wait.UntilAsync("the new process is ready again", process, async () => await AskAsync(next) == (0, 0), PullTimeout);

        async Task<(int Live, int Ready)> AskAsync(string socket) =>
            ((await PeerdCommand.RunAsync(Lab, "probe", socket)).ExitCode, (await PeerdCommand.RunAsync(Lab, "probe", "--ready", socket)).ExitCode);
    }

    [Fact]
    public async Task Serve_SecondTimeWithoutHandover_IsRefusedAndTheFirstGoesOn()
    {
        var node = PeerdNode.Create(Lab, "n1");
        await node.StartAsync([node]);
        var first = node.Process;

        var second = await node.LaunchAsync();

        Assert.NotEqual(0, await second.WaitForExitAsync(StopLimit));
        Assert.Contains("in use", Assert.Single(second.Errors), StringComparison.OrdinalIgnoreCase);
        Assert.False(first.HasExited);
    }

    [Fact]
    public async Task Serve_HandoverWithAnotherCacheOnTheSamePort_IsRefused()
    {
        var node = PeerdNode.Create(Lab, "n1");
        var configuration = node.Configure([node]);
        HandOver(configuration["Peerd"]!.AsObject());
        await node.StartAsync(configuration);
        configuration["Peerd"]!["Cache"]!["Directory"] = Lab.CreateFolder("another");
        node.WriteConfiguration(configuration);

        var second = await node.LaunchAsync();

        Assert.NotEqual(0, await second.WaitForExitAsync(StopLimit));
        Assert.Contains(node.Facade.Authority, Assert.Single(second.Errors), StringComparison.Ordinal);
    }

    private async Task UpgradeTwiceAsync(double? leastShare)
    {
        var blobs = Enumerable.Range(0, 4).Select(i => new GeneratedBlob(24 * MiB + i, seed: 90 + i)).ToArray();
        await using var site = _site = await StreamingSite.StartAsync(Lab, 2, blobs, change: HandOver);
        var node = site.Nodes[0];
        ReadBlob[] asked = [Mirrored(blobs[0]), Signed(site, blobs[1]), Mirrored(blobs[2]), Signed(site, blobs[3])];

        var readers = new RangeReaders(node.Facade.Authority, clients: 20, perSecond: 1000);
        var neighbour = new RangeReaders(site.Nodes[1].Facade.Authority, clients: 2, perSecond: 50);
        readers.Read(asked[..2]);
        neighbour.Read(asked[..2]);
        using var end = new CancellationTokenSource();
        var running = Task.WhenAll(readers.RunAsync(end.Token), neighbour.RunAsync(end.Token));
        await readers.MoreAsync(SomeReads, node.Process);

        // The old one is told to stop when the new one serves, as the kubelet does; and the next time too early.
        foreach (var (sign, news) in new[] { ("serves", 3), ("is starting", 4) })
        {
            var old = node.Process;
            readers.Read(asked[..news]);
            neighbour.Read(asked[..news]);
            await node.LaunchAsync();
            await Wait.UntilAsync($"'{sign}'", old, () => Task.FromResult(old.Output.Any(line => line.Contains($"A new process of this node {sign}", StringComparison.Ordinal))), PullTimeout);
            var before = readers.Reads;
            Assert.Equal(0, await old.StopAsync(StopLimit));
            Assert.False(node.Process.HasExited, node.Process.Tail());
            Assert.NotEqual(before, readers.Reads);
            await readers.MoreAsync(SomeReads, node.Process);
        }

        await end.CancelAsync();
        await running;
        var rate = readers.DescribeRate();
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{rate}; {readers.Reads} over {readers.Connections} connections, and {neighbour.Reads} at another node; origin: {site.Store.Bytes} of {blobs.Sum(blob => blob.Size)} bytes");
        Assert.True(readers.Failures.Count + neighbour.Failures.Count == 0, string.Join('\n', readers.Failures.Concat(neighbour.Failures)));
        if (leastShare is { } share)
        {
            Assert.True(readers.Share >= share && neighbour.Share >= share, $"{rate}; at the other node {neighbour.DescribeRate()}");
        }
    }

    private void HandOver(JsonObject settings)
    {
        settings["Handover"] = new JsonObject { ["Enabled"] = true, ["DrainTime"] = "25s" };
        settings["Origin"]!["Registries"]!.AsArray().Add(new JsonObject { ["Name"] = new Uri(_registry.Url).Authority, ["Endpoint"] = _registry.Url });
    }

    private ReadBlob Mirrored(GeneratedBlob blob)
    {
        _blobs[$"{blob.Digest}"] = blob;
        return ReadBlob.Of($"/v2/team/app/blobs/{blob.Digest}?ns={new Uri(_registry.Url).Authority}", blob);
    }

    private static ReadBlob Signed(StreamingSite site, GeneratedBlob blob) =>
        ReadBlob.Of($"/blobs/{site.Store.Url}{site.Store.Sign(blob.Digest)}", blob);

    private static Task<bool> Said(RunningProcess process, string text, int times = 1) =>
        Task.FromResult(process.Output.Count(line => line.Contains(text, StringComparison.Ordinal)) >= times);

    private static async Task ReadAllAsync(PeerdNode node, ReadBlob blob)
    {
        using var deadline = new CancellationTokenSource(PullTimeout);
        using var connection = await WireConnection.ConnectAsync(node.Facade.Authority, deadline.Token);
        var head = await connection.AskAsync(blob.Target, [], deadline.Token);
        Assert.Equal(200, head.Status);
        Assert.True((await connection.ReadBodyAsync(head, blob.Bytes.Length, deadline.Token)).AsSpan().SequenceEqual(blob.Bytes));
    }
}
