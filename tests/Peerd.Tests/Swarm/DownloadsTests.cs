using System.Net;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Limits;
using Peerd.Node.Origin;
using Peerd.Node.Storage;
using Peerd.Node.Swarm;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Swarm;

public sealed class DownloadsTests
{
    private const int Size = 300_000;

    [Fact]
    public async Task TryAddClient_OthersWereToldThatNobodyHasIt_ComesTooLateAndBeginsAnew()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(Size);
        var downloads = mesh.Node.Get<Downloads>();
        using var copy = downloads.Join(sample.Digest, OriginReference.None, isWhole: true);
        Assert.NotNull(await copy.Download.OpenedAsync);
        var origin = new OriginReference(TestNode.Registry, "library/test", OriginKind.Blob, sample.Digest.ToString());

        Assert.False(copy.Download.TryAddClient(origin, isWhole: true));

        using var client = downloads.Join(sample.Digest, origin, isWhole: true);
        Assert.NotSame(copy.Download, client.Download);
        Assert.Null(await client.Download.OpenedAsync);
    }

    [Fact]
    public async Task Pushed_SizesDiffer_NothingIsKeptOfWhatIsSaidAfterwards()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(Size);
        using var copy = mesh.Node.Get<Downloads>().Join(sample.Digest, OriginReference.None, isWhole: true);
        Assert.NotNull(await copy.Download.OpenedAsync);
        using var open = mesh.Node.Get<PieceCache>().Open(sample.Digest, Size, mediaType: null);
        var hearing = (IOwnerLinkUser)copy.Download;

        Assert.False(hearing.Pushed(new LookupResponse { Size = Size + 1 }));
        Assert.False(hearing.Pushed(new LookupResponse { Size = Size + 1 }));
        Assert.True(copy.Download.GaveUpAsync.IsCompleted);
    }

    [Fact]
    public async Task Pushed_TheSizeBecomesKnown_WhatWasSaidBeforeIsKeptNoLonger()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(Size);
        using var copy = mesh.Node.Get<Downloads>().Join(sample.Digest, OriginReference.None, isWhole: true);
        Assert.NotNull(await copy.Download.OpenedAsync);
        var hearing = (IOwnerLinkUser)copy.Download;
        var early = new LookupResponse { Gone = { "long" } };
        Assert.True(hearing.Pushed(early));

        hearing.Pushed(new LookupResponse { Size = Size });

        Assert.Empty(early.Gone);
    }

    // Files may go with it, and whoever joins another download waits for the lock under which one is begun.
    [Fact]
    public async Task Join_NoRoomForWhatIsHereInPart_TheLeaseIsGivenBackWhenTheDownloadIsClosed()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(Size);
        var (downloads, cache) = (mesh.Node.Get<Downloads>(), mesh.Node.Get<PieceCache>());
        var origin = new OriginReference(TestNode.Registry, "library/test", OriginKind.Blob, sample.Digest.ToString());
        using var open = cache.Open(sample.Digest, Size, mediaType: null);
        var content = open.Content;
        content.WriteFrame(0, sample.Frame(0), FrameChecksum.Compute(sample.Frame(0)));
        Assert.True(downloads.ToldSizes.TryTake("others", downloads.ToldSizes.Most * 3 / 4));
        while (downloads.ToldSizes.TryTake(string.Empty, 1024))
        {
        }

        using (var refused = downloads.Join(sample.Digest, origin, isWhole: true))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, (await refused.Download.OpenedAsync)?.Status);
            Assert.Equal(2, content.Entry.Pins);
        }

        await Wait.UntilAsync(() => content.Entry.Pins == 1, "the lease of the refused download is given back");
    }

    [Fact]
    public async Task Leave_OthersUseADownloadWhosePlaceAnotherHasTaken_TheyGoOn()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(Size);
        var downloads = mesh.Node.Get<Downloads>();
        var origin = new OriginReference(TestNode.Registry, "library/test", OriginKind.Blob, sample.Digest.ToString());
        var (first, second) = (downloads.Join(sample.Digest, origin, isWhole: true), downloads.Join(sample.Digest, origin, isWhole: true));
        Assert.Same(first.Download, second.Download);
        Assert.Null(await first.Download.OpenedAsync);
        using (first.AddReader(new ByteRange(0, Size), int.MaxValue))
        {
            Assert.True(await first.Download.FinishedAsync);
        }

        var third = downloads.Join(sample.Digest, origin, isWhole: true);
        Assert.NotSame(second.Download, third.Download);
        first.Dispose();

        // Waits for all that is being closed; what somebody uses besides the newest is not among it.
        third.Dispose();
        await downloads.DisposeAsync();
        Assert.False(second.Download.GaveUpAsync.IsCompleted);
        second.Dispose();
        await second.Download.GaveUpAsync.WaitAsync(TestContext.Current.CancellationToken);
    }

    // More than any content has: nothing may be made of it, nor kept.
    [Theory]
    [InlineData((1L << 40) + 1, true)]
    [InlineData((1L << 40) + (100L << 30), true)]
    [InlineData(1L << 50, true)]
    [InlineData(long.MaxValue, true)]
    [InlineData((1L << 40) + (100L << 30), false)]
    [InlineData(1L << 50, false)]
    public async Task Pull_OriginTellsAnImpossibleSize_FailsEachTimeAndLeavesNothing(long size, bool isUnknown)
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = isUnknown ? mesh.BlobOwnedBy(Size, mesh.Node.Name) : mesh.BlobOwnedBy(Size, mesh.Peer.Name);
        mesh.Peer.AnswerLookup = async (_, answers, call) =>
        {
            await answers.WriteAsync(new LookupResponse { State = LookupState.Available, Size = Size, Granted = { new SegmentRun { Count = uint.MaxValue } } }, call.CancellationToken);
            await mesh.Peer.NeverAsync(call);
        };
        mesh.Registry.Intercept = async context =>
        {
            context.Response.StatusCode = 206;
            context.Response.Headers.ContentRange = $"bytes 0-9/{size}";
            await context.Response.Body.WriteAsync(new byte[10]);
            return true;
        };

        for (var i = 0; i < 3; i++)
        {
            var status = (await mesh.Node.GetAsync(sample.Digest)).Status;
            Assert.True(status is HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable, $"answered {status}");
        }

        await Wait.UntilAsync(() => mesh.Node.Downloads.Count == 0, "nothing is under way any more");
        await Wait.UntilAsync(() => mesh.Node.Downloads.ToldSizes.Bytes == 0, "the room is given back");
        Assert.DoesNotContain(mesh.Node.Logs.GetSnapshot(), record => record.Level >= LogLevel.Error);

        // It may be mended.
        mesh.Registry.Intercept = null;
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    [Fact]
    public async Task Join_ItCannotBegin_NextOneBeginsAnew()
    {
        await using var mesh = await TestMesh.StartAsync(time: new FailingTime());
        var sample = mesh.Blob(Size);
        FailingTime.Fails = true;
        try
        {
            Assert.Throws<InvalidOperationException>(() => mesh.Node.Downloads.Join(sample.Digest, OriginReference.None, isWhole: true));
        }
        finally
        {
            FailingTime.Fails = false;
        }

        Assert.Equal(0, mesh.Node.Downloads.Count);
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    // Somebody has it open with the size that was wrong.
    [Fact]
    public async Task Pull_ContentIsOpenWithAnotherSizeThanTheOriginTold_FailsAndLeavesNothing()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy(Size, mesh.Peer.Name);
        mesh.Peer.AnswerLookup = async (_, answers, call) =>
        {
            await answers.WriteAsync(new LookupResponse { State = LookupState.Available, Size = Size + 1, Granted = { new SegmentRun { Count = uint.MaxValue } } }, call.CancellationToken);
            await mesh.Peer.NeverAsync(call);
        };
        var origin = new OriginReference(TestNode.Registry, "library/test", OriginKind.Blob, sample.Digest.ToString());
        using (var disputed = mesh.Node.Downloads.Join(sample.Digest, origin, isWhole: true))
        {
            Assert.Null(await disputed.Download.OpenedAsync);
            using var reader = disputed.AddReader(new ByteRange(0, Size), int.MaxValue);
            await disputed.Download.GaveUpAsync.WaitAsync(Wait.Longest);
        }

        await Wait.UntilAsync(() => mesh.Node.Downloads.Count == 0, "nothing is under way any more");
        using (mesh.Node.Cache.Open(sample.Digest, Size + 1, mediaType: null))
        {
            Assert.Equal(HttpStatusCode.BadGateway, (await mesh.Node.GetAsync(sample.Digest)).Status);
            await Wait.UntilAsync(() => mesh.Node.Downloads.Count == 0, "nothing is under way any more");
        }

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    // Who reads a frame may be done with it before its writer has said that it came: here it is written besides, and the writer never says so.
    [Fact]
    public async Task Leave_LastPieceWasReadBeforeItWasToldOf_OwnerHearsOfItAllTheSame()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy(Size, mesh.Peer.Name);
        var heard = new PieceSet(sample.Layout.PieceCount);
        var told = new List<uint>();
        var left = new TaskCompletionSource();
        mesh.Peer.AnswerLookup = async (requests, answers, call) =>
        {
            await answers.WriteAsync(new LookupResponse { State = LookupState.Available, Granted = { SizeProbes.Run } }, call.CancellationToken);
            await foreach (var request in requests.ReadAllAsync(call.CancellationToken))
            {
                heard.AddRuns(request.Report?.Arrived ?? []);
                told.AddRange(request.Report?.Checksums.Select(static checksums => checksums.Piece) ?? []);
            }

            left.SetResult();
        };
        var last = sample.Layout.FrameCount - 1;
        mesh.Registry.Intercept = async context =>
        {
            context.Response.StatusCode = 206;
            context.Response.Headers.ContentRange = $"bytes 0-{Size - 1}/{Size}";
            await context.Response.Body.WriteAsync(sample.Bytes.AsMemory(0, (int)sample.Layout.Frame(last).Offset));
            await context.Response.Body.FlushAsync();
            await Task.Delay(Timeout.Infinite, context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            return true;
        };
        var origin = new OriginReference(TestNode.Registry, "library/test", OriginKind.Blob, sample.Digest.ToString());
        using (var client = mesh.Node.Downloads.Join(sample.Digest, origin, isWhole: true))
        {
            Assert.Null(await client.Download.OpenedAsync);
            using var reader = client.AddReader(new ByteRange(0, Size), int.MaxValue);
            client.Download.Content.WriteFrame(last, sample.Frame(last), FrameChecksum.Compute(sample.Frame(last)));
            Assert.True(await client.Download.FinishedAsync.WaitAsync(Wait.Longest));
        }

        await left.Task.WaitAsync(Wait.Longest);
        Assert.True(heard.IsFull, $"the owner has heard of {heard.Count} of {heard.Capacity} pieces");

        // Of what the origin did not send, others are not told what it would have to be.
        Assert.Equal(Enumerable.Range(0, sample.Layout.PieceCount - 1).Select(static piece => (uint)piece), told.Order());
    }

    [Fact]
    public async Task Read_APieceIsNotAllFromTheOrigin_OwnerIsToldItsArrivalAndNoChecksums()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy(32 << 20, mesh.Peer.Name);
        Assert.Equal(2, sample.Layout.FramesPerPiece);
        var pieces = ProtocolConstants.ProbeBytes / sample.Layout.PieceSize;
        var (heard, told) = (new PieceSet(sample.Layout.PieceCount), new List<uint>());
        var areAllHeard = new TaskCompletionSource();
        mesh.Peer.AnswerLookup = async (requests, answers, call) =>
        {
            await answers.WriteAsync(new LookupResponse { State = LookupState.Available, Granted = { SizeProbes.Run } }, call.CancellationToken);
            await foreach (var request in requests.ReadAllAsync(call.CancellationToken))
            {
                heard.AddRuns(request.Report?.Arrived ?? []);
                told.AddRange(request.Report?.Checksums.Select(static checksums => checksums.Piece) ?? []);
                if (heard.Count == pieces)
                {
                    areAllHeard.TrySetResult();
                }
            }
        };
        var origin = new OriginReference(TestNode.Registry, "library/test", OriginKind.Blob, sample.Digest.ToString());
        using var held = mesh.Registry.HoldBodies();
        using var client = mesh.Node.Downloads.Join(sample.Digest, origin, isWhole: false);
        Assert.Null(await client.Download.OpenedAsync);

        // The last frame of the piece is the origin's, as when a peer sends the first of them meanwhile.
        var first = sample.Layout.FirstFrameOf(pieces - 1);
        client.Download.Content.WriteFrame(first, sample.Frame(first), FrameChecksum.Compute(sample.Frame(first)));
        held.Dispose();

        await areAllHeard.Task.WaitAsync(Wait.Longest);
        Assert.Equal(ByteSource.Origin, client.Download.SourceOf(first + 1));
        Assert.Equal(Enumerable.Range(0, pieces - 1).Select(static piece => (uint)piece), told.Order());
    }

    // Two accounts may have other bytes under one digest; where reads of the origin stand in line it is the same.
    [Fact]
    public async Task FetchUrgently_AContentWithinAnAccount_WhatIsReadAheadOfItGoesBeforePulls()
    {
        const int Short = 1000;
        const int Much = 1 << 30;
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Limits:Origin=64KiB"]);
        var sample = mesh.Blob(Short);
        var (name, rate) = (sample.Digest.Within("https://account.test:443"), mesh.Node.Get<Bandwidth>().Origin!);
        var origin = new OriginReference(TestNode.Registry, "library/test", OriginKind.Blob, sample.Digest.ToString());
        rate.Owe(Much);
        using var open = mesh.Node.Cache.Open(name, Short, mediaType: null);
        using var use = mesh.Node.Downloads.Join(name, origin, isWhole: false);
        Assert.Null(await use.Download.OpenedAsync);
        use.Download.SetBackground([new BackgroundDemand(new Demand(0, 1, 1), origin)]);
        await Wait.UntilAsync(() => rate.Waiting == 1, "it is read ahead");
        var pull = rate.TakeAsync(Much, Urgency.Pull, Digest.OfSha256([1]), TestContext.Current.CancellationToken);

        use.Download.FetchUrgently(0, 1);
        rate.GiveBack(Much);

        // The pull takes more than comes back in hours.
        await open.Content.WaitForFrameAsync(0, TestContext.Current.CancellationToken).AsTask().WaitAsync(Wait.Longest);
        await pull.WaitAsync(Wait.Longest);
    }

    /// <summary>The system's clock, which fails this thread when it is told to.</summary>
    private sealed class FailingTime : TimeProvider
    {
        [ThreadStatic]
        private static bool _fails;

        public static bool Fails
        {
            get => _fails;
            set => _fails = value;
        }

        public override long GetTimestamp() => Fails ? throw new InvalidOperationException("no time") : base.GetTimestamp();
    }
}
