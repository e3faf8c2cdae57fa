using System.Diagnostics;
using System.Net.Sockets;
using Microsoft.Extensions.Time.Testing;
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

        Print($"requests to the store: {site.Store.Requests - requests}");
        Assert.Equal((status, status), (open.Status, read.Status));
    }

    [Fact]
    public async Task Read_SignatureOver_NextTryWithANewOneSucceeds()
    {
        var blob = new GeneratedBlob(80 * MiB + Odd, seed: 73);
        var time = new FakeTimeProvider(TimeProvider.System.GetUtcNow());
        await using var site = await StreamingSite.StartAsync(Lab, 1, [blob], time);
        using var deadline = new CancellationTokenSource(PullTimeout);
        var client = site.CreateClient(site.Nodes[0]);
        var file = await client.OpenAsync(site.Registry.UrlOf(blob), deadline.Token);
        time.Advance(site.Store.Lifetime);

        var last = new ByteRange(blob.Size - 1000, 1000);
        blob.Demand(last.Offset, await file.ReadAsync(last, deadline.Token));

        Print($"refused by the store: {site.Store.Forbidden}");
        Assert.Equal((2, 1), (client.Resolutions, client.FailedTries));
    }

    [Fact]
    public async Task Read_BehindTheEnd_IsRefusedAndNeverTheWholeBlob()
    {
        const int MaxErrorText = 64 * 1024;
        var blob = new GeneratedBlob(MiB + Odd, seed: 78);
        await using var site = await StreamingSite.StartAsync(Lab, 1, [blob]);
        using var deadline = new CancellationTokenSource(PullTimeout);
        using var connection = await WireConnection.ConnectAsync(site.Nodes[0].Facade.Authority, deadline.Token);
        var target = $"/blobs/{site.Store.Url}{site.Store.Sign(blob.Digest)}";

        // What overlaybd makes of a read behind the end when it knows the size, and when it does not.
        foreach (var range in (string[])[$"{blob.Size}-{blob.Size - 1}", "1000-0", $"{blob.Size}-{blob.Size + 999}"])
        {
            var head = await connection.AskAsync(target, [$"Range: bytes={range}"], deadline.Token);

            Assert.Equal(416, head.Status);
            await connection.ReadBodyAsync(head, MaxErrorText, deadline.Token);
        }
    }

    [Fact]
    public async Task Read_StoreSilent_IsAnsweredInTime()
    {
        // At the same time, for each takes nearly as long as it may.
        var outcomes = await Task.WhenAll(((StoreFault[])[StoreFault.Silent, StoreFault.StallBody]).Select(async fault =>
        {
            GeneratedBlob[] blobs = [new(80 * MiB + Odd, seed: 74), new(80 * MiB + Odd, seed: 75)];
            await using var site = await StreamingSite.StartAsync(Lab, 1, blobs, name: $"{fault}");
            var client = site.CreateClient(site.Nodes[0]);
            var (unknown, known) = (site.Registry.UrlOf(blobs[0]), site.Registry.UrlOf(blobs[1]));
            Assert.Equal(206, (await client.TryAsync(known, FirstByte, null, TestContext.Current.CancellationToken)).Status);
            site.Store.Fail(fault);

            using var patience = new CancellationTokenSource(2 * AnswerLimit);
            return await Task.WhenAll(
                ObserveAsync($"{fault}, opening", client.TryAsync(unknown, FirstByte, null, patience.Token)),
                ObserveAsync($"{fault}, reading", client.TryAsync(known, new(50 * MiB, ReadPattern.Usual), blobs[1].Size, patience.Token)));
        }));

        Assert.All(outcomes.SelectMany(it => it), it => Assert.True(it.IsError && it.Time < AnswerLimit, $"{it}"));
    }

    [Theory]
    [InlineData(StoreFault.CutBody, ReadPattern.Usual)]
    [InlineData(StoreFault.CutBody, ReadPattern.Large)]
    [InlineData(StoreFault.ResetBody, ReadPattern.Usual)]
    [InlineData(StoreFault.ResetBody, ReadPattern.Large)]
    public async Task Read_StoreCutsBodies_NoAnswerIsShort(StoreFault fault, int largest)
    {
        const int Cuts = 5;
        GeneratedBlob[] blobs = [new(20 * MiB + Odd, seed: 76), new(20 * MiB + Odd, seed: 77)];
        await using var site = await StreamingSite.StartAsync(Lab, 1, blobs);
        using var deadline = new CancellationTokenSource(PullTimeout);
        site.Store.Fail(fault, Cuts);
        var container = site.CreateContainer(site.Nodes[0], blobs[0]);
        await container.RunAsync(deadline.Token, largest);

        // It cuts each and every one from now on: a read may fail, but it must say so.
        site.Store.Fail(fault);
        var client = site.CreateClient(site.Nodes[0]);
        var reads = ReadPattern.Cover(blobs[1].Size, largest, seed: 0).Take(OverlaybdClient.MaxReads);
        var failed = await Task.WhenAll(reads.Select(range => FailsAsync(client, site.Registry.UrlOf(blobs[1]), blobs[1], range, deadline.Token)));

        Print($"failed tries: {container.Client.FailedTries} with {Cuts} cuts; {failed.Count(it => it)} of {failed.Length} with nothing but cuts");
    }

    private static async Task<Outcome> ObserveAsync(string what, Task<OverlaybdAnswer> asked)
    {
        var start = Stopwatch.GetTimestamp();
        var (result, isError) = ("no answer", true);
        try
        {
            var status = (await asked).Status;
            (result, isError) = ($"{status}", status >= 400);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            // The connection ended: an error, too.
        }
        catch (Exception e) when (e is BrokenAnswerException or OperationCanceledException)
        {
            (result, isError) = (e.Message, false);
        }

        var outcome = new Outcome(what, result, isError, Stopwatch.GetElapsedTime(start));
        Print($"{outcome}");
        return outcome;
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

    private static void Print(string line) => TestContext.Current.TestOutputHelper?.WriteLine(line);

    /// <summary>How a try ended.</summary>
    private sealed record Outcome(string What, string Result, bool IsError, TimeSpan Time);
}
