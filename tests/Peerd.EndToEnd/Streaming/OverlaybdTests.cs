using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Time.Testing;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Streaming;

/// <summary>Containers on several nodes stream blobs, each with signed URLs of its own.</summary>
public sealed class OverlaybdTests : LabTest
{
    private const int MiB = 1 << 20;
    private const int Odd = 12_345;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Stream_NodeKilledInTheMiddle_OthersReadEveryByteRight(bool isOwner)
    {
        var blob = new GeneratedBlob(300 * MiB + Odd, seed: 61);
        await using var site = await StreamingSite.StartAsync(Lab, 3, [blob]);
        var owner = PeerdNode.FindOwner(site.Nodes, blob.Digest);
        var victim = isOwner ? owner : site.Nodes.First(node => node != owner);
        using var deadline = new CancellationTokenSource(PullTimeout);
        using var killed = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token);

        var containers = site.Nodes.Select((node, i) => (Node: node, Container: site.CreateContainer(node, blob, seed: i))).ToArray();
        var lost = containers.Single(it => it.Node == victim).Container.RunAsync(killed.Token);
        var kept = containers.Where(it => it.Node != victim).Select(it => (it.Container, Run: it.Container.RunAsync(deadline.Token))).ToArray();
        await Wait.UntilAsync(
            "a third of all reads is done",
            victim.Process,
            () => Task.FromResult(kept.Any(it => it.Run.IsCompleted) || containers.Sum(it => it.Container.ReadBytes) > blob.Size),
            PullTimeout);
        Assert.All(kept, it => Assert.False(it.Run.IsCompleted, $"{it.Run.Exception}"));
        Assert.False(lost.IsCompleted);
        await victim.Process.KillAsync();
        await killed.CancelAsync();

        await Task.WhenAll(kept.Select(it => it.Run));
        await Assert.ThrowsAnyAsync<Exception>(() => lost);
        Assert.All(kept, it => Assert.Equal(blob.Size, it.Container.ReadBytes));
        Print($"failed tries: {string.Join(", ", kept.Select(it => it.Container.Client.FailedTries))}");
        DemandFewBytes(site.Store, blob, 2);
    }

    [Fact]
    public async Task Stream_StoreCannotBeReached_OtherNodesHaveAllOfIt()
    {
        var blob = new GeneratedBlob(40 * MiB + Odd, seed: 62);
        await using var site = await StreamingSite.StartAsync(Lab, 3, [blob]);
        using var deadline = new CancellationTokenSource(PullTimeout);
        await site.CreateContainer(site.Nodes[0], blob).RunAsync(deadline.Token);
        await DirectoryProbe.UntilCompleteAsync(site.Nodes, blob.Digest, site.Nodes[0], PullTimeout);

        await site.Store.StopAsync();
        var refused = site.CreateContainer(site.Nodes[1], blob);
        await refused.RunAsync(deadline.Token);
        site.Registry.StoreUrl = StreamingSite.UnknownStore;
        var unknown = site.CreateContainer(site.Nodes[2], blob);
        await unknown.RunAsync(deadline.Token);

        Assert.Equal((0, 0), (refused.Client.FailedTries, unknown.Client.FailedTries));
        DemandFewBytes(site.Store, blob, 1.05);
    }

    // Idle ones of others included, which have all places at first.
    [Fact]
    public async Task Stream_MoreReadsThanThereMayBeConnections_NoneFails()
    {
        const int Most = 4;
        var blob = new GeneratedBlob(40 * MiB + Odd, seed: 66);
        await using var site = await StreamingSite.StartAsync(Lab, 1, [blob], change: peerd => peerd["Facade"]!["MaxConnections"] = Most);
        var node = site.Nodes[0];
        using var deadline = new CancellationTokenSource(PullTimeout);
        var idle = Enumerable.Range(0, Most).Select(_ => new TcpClient()).ToList();
        try
        {
            foreach (var client in idle)
            {
                await client.ConnectAsync(node.Facade.Host, node.Facade.Port, deadline.Token);
            }

            var container = site.CreateContainer(node, blob);
            await container.RunAsync(deadline.Token);

            Assert.InRange(OverlaybdClient.MaxReads, 2 * Most, int.MaxValue);
            Assert.Equal(blob.Size, container.ReadBytes);
            Print($"failed tries: {container.Client.FailedTries}");
        }
        finally
        {
            idle.ForEach(client => client.Dispose());
        }
    }

    [Theory]
    [InlineData(ReadPattern.Usual)]
    [InlineData(ReadPattern.Large)]
    public async Task Stream_SignaturesExpireInTheMiddle_EveryByteIsRight(int largest)
    {
        const int Expiries = 3;
        var blob = new GeneratedBlob(96 * MiB + Odd, seed: 63);
        var time = new FakeTimeProvider(TimeProvider.System.GetUtcNow());
        await using var site = await StreamingSite.StartAsync(Lab, 2, [blob], time);
        using var deadline = new CancellationTokenSource(PullTimeout);
        var containers = site.Nodes.Select((node, i) => site.CreateContainer(node, blob, seed: i)).ToArray();
        var runs = containers.Select(container => container.RunAsync(deadline.Token, largest)).ToArray();

        for (var i = 1; i <= Expiries; i++)
        {
            await Wait.UntilAsync(
                $"the store has sent {i} of {Expiries + 1} parts",
                null,
                () => Task.FromResult(runs.Any(run => run.IsCompleted) || site.Store.Bytes > i * blob.Size / (Expiries + 1)),
                PullTimeout);
            time.Advance(site.Store.Lifetime);
        }

        await Task.WhenAll(runs);
        Assert.NotEqual(0, site.Store.Forbidden);
        Print($"refused by the store: {site.Store.Forbidden}; failed tries: {string.Join(", ", containers.Select(container => container.Client.FailedTries))}");
        DemandFewBytes(site.Store, blob, 2);
    }

    [Fact]
    public async Task Stream_OtherSignatureOfTheSameBlob_ReadsNothingFromTheStore()
    {
        var blob = new GeneratedBlob(20 * MiB + Odd, seed: 64);
        await using var site = await StreamingSite.StartAsync(Lab, 2, [blob]);
        using var deadline = new CancellationTokenSource(PullTimeout);
        var first = site.CreateContainer(site.Nodes[0], blob);
        await first.RunAsync(deadline.Token);
        DemandFewBytes(site.Store, blob, 1.05);
        var (requests, bytes) = (site.Store.Requests, site.Store.Bytes);

        var sameNode = site.CreateContainer(site.Nodes[0], blob, seed: 1);
        await sameNode.RunAsync(deadline.Token, ReadPattern.Large);
        await DirectoryProbe.UntilCompleteAsync(site.Nodes, blob.Digest, site.Nodes[0], PullTimeout);
        var otherNode = site.CreateContainer(site.Nodes[1], blob, seed: 2);
        await otherNode.RunAsync(deadline.Token);

        Assert.Equal((requests, bytes), (site.Store.Requests, site.Store.Bytes));
        Assert.All([first, sameNode, otherNode], container => Assert.Equal((1, 0), (container.Client.Resolutions, container.Client.FailedTries)));
    }

    [Fact]
    public async Task Stream_RegistryServesByItself_TokenGoesThereAndNotToTheStore()
    {
        GeneratedBlob[] blobs = [new(5 * MiB + Odd, seed: 65), new(5 * MiB + Odd, seed: 66)];
        await using var site = await StreamingSite.StartAsync(Lab, 1, blobs);
        using var deadline = new CancellationTokenSource(PullTimeout);
        site.Registry.Redirects = false;

        await site.CreateContainer(site.Nodes[0], blobs[0]).RunAsync(deadline.Token);

        Assert.Equal(0, site.Store.Requests);

        // The client has learned that the registry serves by itself; now it does not any more, and the store takes no tokens.
        var client = site.CreateClient(site.Nodes[0]);
        Assert.Equal(206, (await client.TryAsync(site.Registry.UrlOf(blobs[1]), new(0, 1), null, deadline.Token)).Status);
        site.Registry.Redirects = true;
        await new StreamingContainer(client, site.Registry.UrlOf(blobs[1]), blobs[1], seed: 0).RunAsync(deadline.Token);

        Assert.Equal((1, 0), (client.Resolutions, client.FailedTries));
        Assert.NotEqual(0, site.Store.Requests);
    }

    [Fact]
    public async Task Read_RangeFarBehindTheEndOfAGibibyte_AllOfItComesAndMemoryStaysFlat()
    {
        // What the promise allows with many times as much under way, and what more may be in use at the end than after an eighth.
        const long MostMemory = 256L * MiB;
        const long MostGrowth = 128L * MiB;
        var blob = new GeneratedBlob(1024 * MiB + Odd, seed: 67);
        await using var site = await StreamingSite.StartAsync(Lab, 1, [blob]);
        var node = site.Nodes[0];
        using var client = new HttpClient { Timeout = PullTimeout };
        using var request = new HttpRequestMessage(
            HttpMethod.Get, new Uri($"{node.Facade}blobs/{site.Store.Url}{site.Store.Sign(blob.Digest)}", new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true }));
        request.Headers.TryAddWithoutValidation("Range", "bytes=0-99999999999");

        using var answer = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);

        Assert.Equal((HttpStatusCode.PartialContent, $"bytes 0-{blob.Size - 1}/{blob.Size}"), (answer.StatusCode, $"{answer.Content.Headers.ContentRange}"));
        await using var body = await answer.Content.ReadAsStreamAsync(TestContext.Current.CancellationToken);
        var buffer = new byte[MiB];
        var (offset, early, most) = (0L, 0L, 0L);
        int read;
        while ((read = await body.ReadAtLeastAsync(buffer, MiB, throwOnEndOfStream: false, TestContext.Current.CancellationToken)) > 0)
        {
            blob.Demand(offset, buffer.AsSpan(0, read));
            offset += read;
            most = Math.Max(most, ResidentMemory.Of(node.Process));
            early = offset <= blob.Size / 8 ? most : early;
        }

        Print($"at most {early / MiB} MiB resident until an eighth was read, {most / MiB} MiB until the end");
        Assert.Equal(blob.Size, offset);
        Assert.InRange(most, 1, Math.Min(MostMemory, early + MostGrowth));
    }

    private static void DemandFewBytes(SignedStore store, GeneratedBlob blob, double limit)
    {
        Print($"the store has sent {store.Bytes} bytes with {store.Requests} requests, {(double)store.Bytes / blob.Size:0.000} times the blob");
        Assert.InRange((double)store.Bytes / blob.Size, 1, limit);
    }

    private static void Print(string line) => TestContext.Current.TestOutputHelper?.WriteLine(line);
}
