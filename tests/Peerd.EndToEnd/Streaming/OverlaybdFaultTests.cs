using System.Diagnostics;
using System.Net.Sockets;
using Peerd.Contracts;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Streaming;

/// <summary>A store that fails while the node has nothing else to read from: the client is told so, at once and truly.</summary>
public sealed class OverlaybdFaultTests : LabTest
{
    private const int MiB = 1 << 20;
    private const int Odd = 12_345;

    /// <summary>The promise: of the 30 s that a read may take, an answer leaves time for another try.</summary>
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(10);

    private static readonly ByteRange FirstByte = new(0, 1);

    [Theory]
    [InlineData(403)]
    [InlineData(404)]
    [InlineData(410)]
    [InlineData(416)]
    [InlineData(429)]
    [InlineData(500)]
    [InlineData(503)]
    public async Task Read_StoreRefuses_SameStatusComesThrough(int status)
    {
        GeneratedBlob[] blobs = [new(MiB, seed: 71), new(80 * MiB + Odd, seed: 72)];
        await using var site = await StreamingSite.StartAsync(Lab, 1, blobs);
        using var deadline = new CancellationTokenSource(PullTimeout);
        var client = site.CreateClient(site.Nodes[0]);
        var urls = blobs.Select(site.Registry.UrlOf).ToArray();

        // The second blob is known by then, but not its end.
        Assert.Equal(206, (await client.TryAsync(urls[1], FirstByte, null, deadline.Token)).Status);
        site.Store.AnswerWith(status);
        var requests = site.Store.Requests;

        var open = await client.TryAsync(urls[0], FirstByte, null, deadline.Token);
        var read = await client.TryAsync(urls[1], new(blobs[1].Size - 1, 1), blobs[1].Size, deadline.Token);

        TestContext.Current.TestOutputHelper?.WriteLine($"requests to the store: {site.Store.Requests - requests}");
        Assert.Equal((status, status), (open.Status, read.Status));
    }

    [Fact]
    public async Task Read_StoreRefusesOnce_NextTryWithNewSignatureSucceeds()
    {
        var blob = new GeneratedBlob(MiB, seed: 73);
        await using var site = await StreamingSite.StartAsync(Lab, 1, [blob]);
        using var deadline = new CancellationTokenSource(PullTimeout);
        var stream = site.CreateStream(site.Nodes[0], blob);
        site.Store.AnswerWith(403, times: 1);

        await stream.RunAsync(deadline.Token);

        Assert.Equal((2, 1), (stream.Client.Resolutions, stream.Client.FailedTries));
    }

    [Fact]
    public async Task Read_StoreSilent_IsAnsweredInTime()
    {
        GeneratedBlob[] blobs = [new(80 * MiB + Odd, seed: 74), new(80 * MiB + Odd, seed: 75)];
        await using var site = await StreamingSite.StartAsync(Lab, 1, blobs);
        using var deadline = new CancellationTokenSource(PullTimeout);
        var client = site.CreateClient(site.Nodes[0]);
        Assert.Equal(206, (await client.TryAsync(site.Registry.UrlOf(blobs[1]), FirstByte, null, deadline.Token)).Status);

        // At the same time, for they take long: opening a blob, and reading one that is known.
        foreach (var fault in (StoreFault[])[StoreFault.Silent, StoreFault.StallBody])
        {
            site.Store.Fail(fault);
            var times = await Task.WhenAll(
                MeasureFailureAsync(client, site.Registry.UrlOf(blobs[0]), FirstByte, null, deadline.Token),
                MeasureFailureAsync(client, site.Registry.UrlOf(blobs[1]), new(50 * MiB, ReadPattern.Usual), blobs[1].Size, deadline.Token));

            Assert.All(times, time => Assert.True(time < AnswerLimit, $"{fault}: {time.TotalSeconds:0.0} s"));
        }
    }

    [Theory]
    [InlineData(StoreFault.CutBody)]
    [InlineData(StoreFault.ResetBody)]
    public async Task Read_StoreCutsBodies_NoAnswerIsShort(StoreFault fault)
    {
        const int Cuts = 5;
        GeneratedBlob[] blobs = [new(20 * MiB + Odd, seed: 76), new(20 * MiB + Odd, seed: 77)];
        await using var site = await StreamingSite.StartAsync(Lab, 1, blobs);
        using var deadline = new CancellationTokenSource(PullTimeout);
        site.Store.Fail(fault, Cuts);
        var stream = site.CreateStream(site.Nodes[0], blobs[0]);
        await stream.RunAsync(deadline.Token);

        // It cuts each and every one from now on: a read may fail, but it must say so.
        site.Store.Fail(fault);
        var client = site.CreateClient(site.Nodes[0]);
        var reads = ReadPattern.Cover(blobs[1].Size, ReadPattern.Large, seed: 0).Take(OverlaybdClient.MaxReads);
        var failed = await Task.WhenAll(reads.Select(range => FailsAsync(client, site.Registry.UrlOf(blobs[1]), blobs[1], range, deadline.Token)));

        TestContext.Current.TestOutputHelper?.WriteLine($"failed tries: {stream.Client.FailedTries} with {Cuts} cuts; {failed.Count(it => it)} of {failed.Length} with nothing but cuts");
    }

    // How long a try takes that must fail, with an answer or without one.
    private static async Task<TimeSpan> MeasureFailureAsync(OverlaybdClient client, string url, ByteRange range, long? size, CancellationToken cancellationToken)
    {
        var start = Stopwatch.GetTimestamp();
        var status = 0;
        try
        {
            status = (await client.TryAsync(url, range, size, cancellationToken)).Status;
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            // The connection ended: an error, too.
        }

        Assert.NotEqual(206, status);
        TestContext.Current.TestOutputHelper?.WriteLine($"{status} after {Stopwatch.GetElapsedTime(start).TotalSeconds:0.0} s");
        return Stopwatch.GetElapsedTime(start);
    }

    private static async Task<bool> FailsAsync(OverlaybdClient client, string url, GeneratedBlob blob, ByteRange range, CancellationToken cancellationToken)
    {
        try
        {
            var answer = await client.TryAsync(url, range, blob.Size, cancellationToken);
            if (answer.Status == 206)
            {
                blob.Demand(range.Offset, answer.Body);
            }

            return answer.Status != 206;
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            return true;
        }
    }
}
