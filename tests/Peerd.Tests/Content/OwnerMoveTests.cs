using System.Collections.Concurrent;
using System.Net;
using Peerd.Contracts.V1;
using Peerd.Node.Swarm;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Content;

/// <summary>What an owner hears that the ring names no more, and what becomes of who asks it.</summary>
public sealed class OwnerMoveTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Pull_OwnerLeavesTheRing_HearsLastThatTheReaderGoes(bool isDeaf)
    {
        await using var mesh = await TestMesh.StartAsync(peers: 2);
        var (former, next) = (mesh.Peers[0], mesh.Peers[1]);
        var sample = mesh.BlobOwnedBy(200_001, former.Name, next.Name);
        var heard = new ConcurrentQueue<LookupRequest>();
        former.AnswerLookup = async (asked, answers, call) =>
        {
            await answers.WriteAsync(new LookupResponse { State = LookupState.Available, Size = sample.Bytes.Length }, call.CancellationToken);
            while (await asked.MoveNext(call.CancellationToken))
            {
                heard.Enqueue(asked.Current);
            }

            if (isDeaf)
            {
                await former.NeverAsync(call);
            }
        };
        next.AnswerLookup = async (_, answers, call) =>
        {
            var all = new SegmentRun { Count = (uint)sample.Layout.SegmentCount };
            await answers.WriteAsync(new LookupResponse { State = LookupState.Available, Size = sample.Bytes.Length, Granted = { all } }, call.CancellationToken);
            await next.NeverAsync(call);
        };
        var pull = mesh.Node.GetAsync(sample.Digest);
        await Wait.UntilAsync(() => !heard.IsEmpty, "the owner is asked");

        mesh.Leave(former.Name);

        (await pull).ShouldBe(sample.Bytes);
        await Wait.UntilAsync(() => heard.Last().Report is { Moving: true }, "the former owner hears of it");
        Assert.Single(heard, static request => request.Report is { Moving: true });
        Assert.Equal((1, 1), (former.LookupsAsked, next.LookupsAsked));
        Assert.Equal(sample.Bytes.Length, mesh.Registry.BytesOf(sample.Digest));
    }

    // Its connection had to go, and it goes on.
    [Fact]
    public async Task Pull_OwnerEndsTheSessionWithoutAWord_IsAskedAgainBeforeTheReplica()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 2);
        var (owner, replica) = (mesh.Peers[0], mesh.Peers[1]);
        var sample = mesh.BlobOwnedBy(200_001, owner.Name, replica.Name);
        owner.AnswerLookup = async (asked, answers, call) =>
        {
            // Who could not even ask takes it for dead.
            Assert.True(await asked.MoveNext(call.CancellationToken));
            var isFirst = owner.LookupsAsked == 1;
            var granted = new SegmentRun { Count = (uint)sample.Layout.SegmentCount };
            await answers.WriteAsync(new LookupResponse { State = LookupState.Available, Size = sample.Bytes.Length, Granted = { isFirst ? [] : [granted] } }, call.CancellationToken);
            if (!isFirst)
            {
                await owner.NeverAsync(call);
            }
        };

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        Assert.Equal((2, 0), (owner.LookupsAsked, replica.LookupsAsked));
    }

    // The same, and what was reported on the session last was never read: that is not told again, for it is all in what is asked then.
    [Fact]
    public async Task Pull_OwnerEndsTheSessionWithReportsUnread_KnowsAllWhenItIsAskedAgain()
    {
        const int Half = 4;
        var time = new ArmedTime();
        await using var mesh = await TestMesh.StartAsync(peers: 2, time: time);
        var (owner, replica) = (mesh.Peers[0], mesh.Peers[1]);
        var sample = mesh.BlobOwnedBy((2 * Half * 64 * 1024) - 1, owner.Name, replica.Name);
        var isReported = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var wants = new ConcurrentQueue<Want>();
        owner.AnswerLookup = async (asked, answers, call) =>
        {
            var isFirst = owner.LookupsAsked == 1;
            Assert.True(await asked.MoveNext(call.CancellationToken));
            wants.Enqueue(asked.Current.Want);
            var granted = new SegmentRun { First = isFirst ? 0U : Half, Count = Half };
            await answers.WriteAsync(new LookupResponse { State = LookupState.Available, Size = sample.Bytes.Length, Granted = { granted } }, call.CancellationToken);
            await (isFirst ? isReported.Task : owner.NeverAsync(call));
        };
        var pull = mesh.Node.GetAsync(sample.Digest);
        await Wait.UntilAsync(
            () => mesh.Node.Cache.TryPeek(sample.Digest, out var content) && content.SnapshotPieces().Count == Half && mesh.Node.Downloads.PiecesInFlight == 0,
            "all that was granted has arrived");
        await time.PassAsync(new DownloaderPolicy().ReportInterval);

        isReported.SetResult();

        (await pull).ShouldBe(sample.Bytes);
        var want = wants.ElementAt(1);
        Assert.Equal([new PieceRun { First = 0, Count = Half }], want.Have);
        Assert.Equal((sample.Bytes.Length, true, true), (want.Size, want.CanReachOrigin, want.Continued));
        Assert.Empty(want.Reading);
        Assert.Empty(want.Fetching);
        Assert.Equal((2, 0), (owner.LookupsAsked, replica.LookupsAsked));
        Assert.Equal(sample.Bytes.Length, mesh.Registry.BytesOf(sample.Digest));
    }

    // It was met by the request that was to find out the size, whether another node has found that out since or not.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Pull_TheOriginAskedForAPauseWhenItWasAskedForTheSize_TheNextOwnerIsToldWhatIsLeftOfIt(bool isSizeKnown)
    {
        await using var mesh = await TestMesh.StartAsync(peers: 2);
        var (former, next) = (mesh.Peers[0], mesh.Peers[1]);
        var sample = mesh.BlobOwnedBy(200_001, former.Name, next.Name);
        mesh.Registry.AnswerWith(HttpStatusCode.TooManyRequests, retryAfter: "200");
        var told = new TaskCompletionSource<uint>(TaskCreationOptions.RunContinuationsAsynchronously);
        var heard = new ConcurrentQueue<GrantReport>();
        former.AnswerLookup = async (asked, answers, call) =>
        {
            await answers.WriteAsync(new LookupResponse { State = LookupState.Available, Granted = { new SegmentRun { Count = 1 } } }, call.CancellationToken);
            while (await asked.MoveNext(call.CancellationToken))
            {
                if (asked.Current.Report is { } report)
                {
                    heard.Enqueue(report);
                    if (isSizeKnown && heard.Count == 1)
                    {
                        await answers.WriteAsync(new LookupResponse { Size = sample.Bytes.Length }, call.CancellationToken);
                    }

                    told.TrySetResult(report.OriginPauseMs);
                }
            }
        };
        var want = new TaskCompletionSource<Want>(TaskCreationOptions.RunContinuationsAsynchronously);
        next.AnswerLookup = async (asked, _, call) =>
        {
            Assert.True(await asked.MoveNext(call.CancellationToken));
            want.TrySetResult(asked.Current.Want);
            await next.NeverAsync(call);
        };
        _ = mesh.Node.GetAsync(sample.Digest);
        var pause = await told.Task.WaitAsync(Wait.Longest);

        mesh.Leave(former.Name);

        var moved = await want.Task.WaitAsync(Wait.Longest);
        Assert.True(moved.Continued);
        Assert.InRange(moved.OriginPauseMs, 1u, pause);

        // Nothing of what it was granted was read nevertheless, or was still its own.
        await Wait.UntilAsync(() => heard.Last().Moving, "the former owner hears of it");
        Assert.Single(heard, static report => report.OriginFailed);
        Assert.Empty(moved.Reading);
    }

    // So that nobody else does, and reads the same.
    [Fact]
    public async Task Pull_OwnerLeavesTheRingWhileTheSizeIsFoundOut_TheNextOwnerIsToldSo()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 2);
        var (former, next) = (mesh.Peers[0], mesh.Peers[1]);
        var sample = mesh.BlobOwnedBy(200_001, former.Name, next.Name);
        var isAsked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var answers = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        mesh.Registry.Before = _ =>
        {
            isAsked.TrySetResult();
            return answers.Task;
        };
        former.AnswerLookup = async (_, pushes, call) =>
        {
            await pushes.WriteAsync(new LookupResponse { State = LookupState.Available, Granted = { SizeProbes.Run } }, call.CancellationToken);
            await former.NeverAsync(call);
        };
        var want = new TaskCompletionSource<Want>(TaskCreationOptions.RunContinuationsAsynchronously);
        var size = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        next.AnswerLookup = async (asked, _, call) =>
        {
            Assert.True(await asked.MoveNext(call.CancellationToken));
            want.TrySetResult(asked.Current.Want);
            Assert.True(await asked.MoveNext(call.CancellationToken));
            size.TrySetResult(asked.Current.Report.Size);
            await next.NeverAsync(call);
        };
        var pull = mesh.Node.GetAsync(sample.Digest);
        await isAsked.Task.WaitAsync(Wait.Longest);

        mesh.Leave(former.Name);

        var moved = await want.Task.WaitAsync(Wait.Longest);
        Assert.Equal([SizeProbes.Run], moved.Reading);
        Assert.Equal((0, true), (moved.Size, moved.Continued));
        answers.SetResult();
        (await pull).ShouldBe(sample.Bytes);
        Assert.Equal(sample.Bytes.Length, await size.Task.WaitAsync(Wait.Longest));
        Assert.Equal(sample.Bytes.Length, mesh.Registry.BytesOf(sample.Digest));
    }

    // A new owner knows nothing yet; the registry, which would be read, does not know the content at all.
    [Fact]
    public async Task Pull_RingHasJustChanged_OwnerAsksTheReplicaBeforeItGrants()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1, time: new QuickTime(0.1));
        var sample = mesh.UnknownOwnedBy(200_001, mesh.Node.Name, mesh.Peer.Name);
        mesh.Peer.AnswerLookup = async (asked, answers, call) =>
        {
            Assert.True(await asked.MoveNext(call.CancellationToken));
            Assert.True(asked.Current.Want.Observes);
            var holder = new Holder { Node = mesh.Peer.Name, Complete = true };
            await answers.WriteAsync(new LookupResponse { State = LookupState.Available, Size = sample.Bytes.Length, Holders = { holder } }, call.CancellationToken);
            await mesh.Peer.NeverAsync(call);
        };
        mesh.Peer.Answer = async (range, answers, _) =>
        {
            foreach (var answer in FakePeer.Honest(range, sample))
            {
                await answers.WriteAsync(answer);
            }
        };

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        Assert.DoesNotContain(mesh.Registry.Requests, static request => request.Method == "GET");
    }
}
