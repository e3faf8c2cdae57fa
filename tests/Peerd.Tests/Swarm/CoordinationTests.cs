using Grpc.Core;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Swarm;

public sealed class CoordinationTests : IDisposable
{
    private const int KiB64 = 64 * 1024;

    private const long Size = 40 * KiB64;

    private static readonly Digest Content = Digest.OfSha256([1]);

    /// <summary>News of this long go into one push.</summary>
    private static readonly TimeSpan Coalesce = TimeSpan.FromMilliseconds(5);

    private readonly FakeTimeProvider _time = new();
    private readonly AloneMesh _mesh = new();
    private readonly FakeLogger<Coordination> _logger = new();
    private readonly HolderDirectory _directory;
    private readonly Coordination _coordination;

    public CoordinationTests()
    {
        _directory = new HolderDirectory(_time);
        _coordination = new Coordination(_directory, _mesh, _time, _logger);
    }

    public void Dispose() => _coordination.Dispose();

    [Fact]
    public async Task Open_LoneAsker_IsGrantedEverything()
    {
        using var session = Open("a");

        var push = await NextAsync(session);

        Assert.Equal(new SegmentRun { Count = 40 }, Assert.Single(push.Granted));
        Assert.Equal((Size, LookupState.Available), (push.Size, push.State));
        Assert.Equal(0, _mesh.Asked);
    }

    [Fact]
    public async Task Open_DirectoryKnowsHolders_IsAssignedThemAndGrantedNothing()
    {
        Announce("h");
        using var session = Open("a", size: 0);

        var push = await NextAsync(session);

        Assert.Equal((Size, "a/type"), (push.Size, push.MediaType));
        Assert.Empty(push.Granted);
        Assert.Equal("h", Assert.Single(push.Assigned).Node);
        var holder = Assert.Single(push.Holders);
        Assert.Equal(("h", true), (holder.Node, holder.Complete));
    }

    // They are in the directory to hear when the content is found wrong, and nobody can be sent to them.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Open_ManyHoldLessThanAPiece_TheyTakeNoPlaceOfWhoHoldsIt(bool isWatched)
    {
        using var watcher = isWatched ? Open("watcher", size: 0) : null;
        for (var holder = 0; holder < 200; holder++)
        {
            Announce($"h{holder}", new PieceRun());
        }

        Announce("h");
        using var session = Open("a", size: 0);

        var push = await NextAsync(session);

        Assert.Equal("h", Assert.Single(push.Holders).Node);
    }

    [Fact]
    public async Task Open_AskerHoldsPieces_OnlyTheOthersAreGranted()
    {
        using var session = Open("a", have: new PieceRun { First = 0, Count = 30 });

        var push = await NextAsync(session);

        Assert.Equal(new SegmentRun { First = 30, Count = 10 }, Assert.Single(push.Granted));
        Assert.Equal(30, _directory.Find(Content, "a")!.Pieces.Count);
    }

    [Fact]
    public async Task Open_OneTellsHugeSizesForAllHisContents_IsRefusedAndOthersAreServed()
    {
        var sessions = new List<ILookupSession>();
        var refused = 0;
        for (var number = 0; number < 200; number++)
        {
            var want = Want("liar", HolderDirectory.MaxSize);
            want.Digest = Digest.OfSha256([2, (byte)number]).ToString();
            sessions.Add(_coordination.Open(want));
            try
            {
                await NextAsync(sessions[^1]);
            }
            catch (RpcException e)
            {
                Assert.Equal(StatusCode.ResourceExhausted, e.StatusCode);
                refused++;
            }
        }

        // All that is accepted is counted, and that leaves others their share.
        var taken = _coordination.Sizes.Bytes;
        Assert.InRange(taken, (200 - refused) * CoordinatedMemory.BytesOf(HolderDirectory.MaxSize, participants: 0), _coordination.Sizes.Most * 3 / 4);
        Assert.InRange(refused, 180, 199);

        var herd = Enumerable.Range(0, 50).Select(node => Open($"honest {node}", size: node == 0 ? 10L << 30 : 0)).ToList();
        foreach (var session in herd)
        {
            Assert.Equal(10L << 30, (await NextAsync(session)).Size);
        }

        Assert.InRange(_coordination.Sizes.Bytes - taken, 1, 50 * CoordinatedMemory.BytesOf(10L << 30, participants: 2));

        sessions.ForEach(session => session.Dispose());
        herd.ForEach(session => session.Dispose());
        Assert.Equal(0, _coordination.Sizes.Bytes);
    }

    // Each who asks for it costs memory, too, which is that of who told the size.
    [Fact]
    public async Task Open_ManyAskForWhatOneSaysIsHuge_OnlySoManyAsThereIsRoomFor()
    {
        using var liar = Open("liar", HolderDirectory.MaxSize);
        var refused = 0;
        for (var node = 0; node < 200; node++)
        {
            var asker = Open($"{node}", size: 0);
            try
            {
                Assert.Equal(HolderDirectory.MaxSize, (await NextAsync(asker)).Size);
            }
            catch (RpcException e)
            {
                Assert.Equal(StatusCode.ResourceExhausted, e.StatusCode);
                refused++;
            }
        }

        Assert.InRange(refused, 100, 190);
        Assert.InRange(_coordination.Sizes.Bytes, CoordinatedMemory.BytesOf(HolderDirectory.MaxSize, 200 - refused), _coordination.Sizes.Most);
    }

    // Who tells sizes first would keep others' contents out as soon as there is no room for him.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Open_WhoToldTheSizeFirstHasNoRoomLeft_CountsForAnotherWhoTellsTheSame(bool isAnnounced)
    {
        const long Large = 100L << 30;
        using var liar = Open("liar", Large);
        Assert.Equal(Large, (await NextAsync(liar)).Size);
        while (_coordination.Sizes.TryTake("liar", 1024))
        {
        }

        // Who does not know the size does not vouch for it, nor does who tells another one.
        await RefusedAsync(Open("new", size: 0));
        await RefusedAsync(Open("other", Large + 1));
        if (isAnnounced)
        {
            _directory.OpenLease(Member("honest"))!.Apply(new AnnounceRequest { Contents = { new Availability { Digest = Content.ToString(), Size = Large, Complete = true } } });
        }
        else
        {
            Assert.Equal(Large, (await NextAsync(Open("honest", Large))).Size);
        }

        Assert.Equal(Large, (await NextAsync(Open("new", size: 0))).Size);
        Assert.InRange(_coordination.Sizes.Bytes, 0, _coordination.Sizes.Most);

        async Task RefusedAsync(ILookupSession session) =>
            Assert.Equal(StatusCode.ResourceExhausted, (await Assert.ThrowsAsync<RpcException>(() => NextAsync(session))).StatusCode);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task SizeKnown_OneReportsOrAnnouncesHugeSizes_NobodyIsTold(bool isAnnounced)
    {
        var lease = _directory.OpenLease(Member("liar"))!;
        var sessions = new List<ILookupSession>();
        var told = 0;
        for (var number = 0; number < 100; number++)
        {
            var digest = Digest.OfSha256([3, (byte)number]).ToString();
            var want = Want("liar", size: 0);
            want.Digest = digest;
            sessions.Add(_coordination.Open(want));
            want = Want("honest", size: 0);
            want.Digest = digest;
            var honest = _coordination.Open(want);
            sessions.Add(honest);
            await NextAsync(honest);
            if (isAnnounced)
            {
                lease.Apply(new AnnounceRequest { Contents = { new Availability { Digest = digest, Size = HolderDirectory.MaxSize, Complete = true } } });
            }
            else
            {
                sessions[^2].Apply(new LookupRequest { Report = new GrantReport { Size = HolderDirectory.MaxSize } });
            }

            _time.Advance(Coalesce);
            for (var next = NextPush(honest); next.IsCompletedSuccessfully; next = NextPush(honest))
            {
                told += (await next).Size > 0 ? 1 : 0;
            }
        }

        Assert.InRange(told, 1, 20);
        Assert.InRange(_coordination.Sizes.Bytes, told * CoordinatedMemory.BytesOf(HolderDirectory.MaxSize, 2), _coordination.Sizes.Most * 3 / 4);

        sessions.ForEach(session => session.Dispose());
        Assert.Equal(0, _coordination.Sizes.Bytes);
    }

    [Fact]
    public async Task Open_TheOtherOwnerTellsHolders_TheyAreCountedAsFarAsThereIsRoom()
    {
        _mesh.HasChangedLately = true;
        var known = new LookupResponse { Size = HolderDirectory.MaxSize, State = LookupState.Unavailable, Holders = { Enumerable.Range(0, 1000).Select(number => new Holder { Node = $"{number}", Complete = true }) } };
        _mesh.Answer = _ => Task.FromResult<OtherOwner?>(new OtherOwner("other", known, IsNearer: false));

        using var session = Open("a", size: 0);

        // Only the size: nobody is assigned holders for whom there is no room.
        var push = await NextAsync(session);
        Assert.Equal(HolderDirectory.MaxSize, push.Size);
        Assert.Empty(push.Assigned);
        Assert.InRange(_coordination.Sizes.Bytes, 1, CoordinatedMemory.BytesOf(HolderDirectory.MaxSize, participants: 2));
    }

    // Whoever looks for a lack of room would find one that there is not.
    [Fact]
    public async Task Dispose_TheOtherOwnerAnswersWhenNobodyAsksAnyMore_NothingIsSaid()
    {
        var answer = new TaskCompletionSource<OtherOwner?>();
        _mesh.HasChangedLately = true;
        _mesh.Answer = _ => answer.Task;

        // Where nothing keeps what waits for the answer from going on at once.
        await Task.Run(
            () =>
            {
                Open("a", size: 0).Dispose();
                answer.SetResult(new OtherOwner("other", new LookupResponse { Size = Size, Holders = { new Holder { Node = "h", Complete = true } } }, IsNearer: true));
            },
            TestContext.Current.CancellationToken);

        Assert.Equal((1, 0), (_mesh.Asked, _coordination.Sizes.Bytes));
        Assert.Empty(_logger.Collector.GetSnapshot());
    }

    [Theory]
    [InlineData(Size)]
    [InlineData(0)]
    public async Task Tick_ThereIsRoomAgain_WhatWasAnnouncedMeanwhileCounts(long size)
    {
        await _coordination.StartAsync(CancellationToken.None);
        using var a = Open("a", size, canReachOrigin: false);
        var told = new ToldNode();
        told.Apply(await NextAsync(a));
        var next = NextPush(a);

        // Each of so many has a share in which no content has room.
        var first = (_coordination.Sizes.Most * 3 / 4) - _coordination.Sizes.Bytes;
        Assert.True(_coordination.Sizes.TryTake("first", first));
        var others = Enumerable.Range(0, 20_000).Select(teller => $"{teller}").ToList();
        Assert.All(others, teller => Assert.True(_coordination.Sizes.TryTake(teller, 1)));
        Announce("h");
        for (var i = 0; i < 100; i++)
        {
            _time.Advance(TimeSpan.FromMilliseconds(250));
            await Task.Yield();
        }

        Assert.False(next.IsCompleted, "there was room: the test has tested nothing");
        var warnings = _logger.Collector.Count;
        Assert.InRange(warnings, 0, 1);

        others.ForEach(teller => _coordination.Sizes.GiveBack(teller, 1));
        _coordination.Sizes.GiveBack("first", first);

        await Wait.UntilAsync(
            () =>
            {
                _time.Advance(TimeSpan.FromMilliseconds(250));
                return next.IsCompleted;
            },
            "the asker hears of it");
        told.Apply(await next);
        Assert.Equal((Size, "h"), (told.Size, told.Assigned[0]));
        await _coordination.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task Open_NewProcessOfTheNode_SessionsOfTheFormerOneEnd()
    {
        var want = Want("a", Size);
        want.Member.Incarnation = 1;
        using var former = _coordination.Open(want);
        await NextAsync(former);
        want.Member.Incarnation = 2;
        using var next = _coordination.Open(want);
        Assert.Equal(StatusCode.Aborted, (await Assert.ThrowsAsync<RpcException>(() => NextAsync(former))).StatusCode);

        // One that knows nothing of it, and asks again, neither takes the place back nor waits for an answer.
        want.Member.Incarnation = 1;
        using var again = _coordination.Open(want);
        Assert.Equal(StatusCode.Aborted, (await Assert.ThrowsAsync<RpcException>(() => NextAsync(again))).StatusCode);
        Assert.Equal(new SegmentRun { Count = 40 }, Assert.Single((await NextAsync(next)).Granted));
    }

    [Fact]
    public async Task Apply_NewProcessOfTheNodeHasAnnounced_TheSessionEndsInsteadOfWaiting()
    {
        var want = Want("a", Size);
        want.Member.Incarnation = 1;
        using var former = _coordination.Open(want);
        await NextAsync(former);
        using var announced = _directory.OpenLease(new Member { Node = "a", Incarnation = 2 });

        former.Apply(new LookupRequest { Report = new GrantReport() });

        Assert.Equal(StatusCode.Aborted, (await Assert.ThrowsAsync<RpcException>(() => NextAsync(former))).StatusCode);
    }

    [Fact]
    public async Task Open_SomebodyHasSeenAContainerStart_WhoReadsBitByBitIsToldTheOrder()
    {
        var lease = Announce("h", order: [5, 3]);
        var want = Want("bits", Size);
        want.Wanted.Add(new PieceRun());
        using var bits = _coordination.Open(want);
        using var all = Open("all");
        Assert.Equal([5u, 3], await OrderToldAsync(bits));

        // What is seen later goes on where that ended.
        lease.Apply(new AnnounceRequest { Contents = { new Availability { Digest = Content.ToString(), Size = Size, Complete = true, StartupOrder = { 5, 3, 9 } } } });
        Assert.Equal([9u], await OrderToldAsync(bits));
        Assert.Empty(await OrderToldAsync(all));

        async Task<List<uint>> OrderToldAsync(ILookupSession session)
        {
            var told = new List<uint>();
            using var enough = new CancellationTokenSource();
            _time.Advance(Coalesce);
            var next = session.NextAsync(enough.Token).AsTask();
            for (; next.IsCompleted; next = session.NextAsync(enough.Token).AsTask())
            {
                told.AddRange((await next).StartupOrder);
            }

            await enough.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => next);
            return told;
        }
    }

    [Fact]
    public async Task Dispose_Reader_ItsGrantsGoToAnother()
    {
        using var a = Open("a");
        Assert.Equal(40, ToldNodes.Segments((await NextAsync(a)).Granted).Count());
        using var b = Open("b");
        Assert.Empty((await NextAsync(b)).Granted);

        a.Dispose();

        Assert.Equal(Enumerable.Range(0, 40), ToldNodes.Segments((await NextAsync(b)).Granted));
    }

    [Fact]
    public async Task Open_SecondStreamOfANode_ReplacesTheFirst()
    {
        using var first = Open("a");
        await NextAsync(first);
        using var second = Open("a");
        Assert.Equal(new SegmentRun { Count = 40 }, Assert.Single((await NextAsync(second)).Granted));

        // Neither what comes late on the first stream nor its end takes anything from the second.
        Report(first, new GrantReport { GivenBack = { new SegmentRun { Count = 40 } }, OriginFailed = true });
        first.Apply(new LookupRequest { Want = Want("a", Size) });
        first.Dispose();
        using var b = Open("b");

        var push = await NextAsync(b);
        Assert.Equal(LookupState.Available, push.State);
        Assert.Empty(push.Granted);
        Assert.NotEmpty((await NextAsync(second)).Reclaimed);
    }

    [Fact]
    public async Task Apply_Report_OthersLearnSizeChecksumsAndPieces()
    {
        using var a = Open("a", size: 0);
        Assert.Equal(new SegmentRun { Count = 1 }, Assert.Single((await NextAsync(a)).Granted));
        using var b = Open("b", size: 0);
        await NextAsync(b);

        Report(a, new GrantReport { Size = Size, MediaType = "a/type" });
        Report(a, new GrantReport { Arrived = { new PieceRun { Count = 1 } }, Checksums = { new PieceChecksums { Piece = 0, Frames = { 77 } } } });
        _time.Advance(TimeSpan.FromMilliseconds(250));
        Report(a, new GrantReport { Arrived = { new PieceRun { First = 1, Count = 1 } } });

        var told = new ToldNode();
        while (told.Checksums.Count == 0)
        {
            told.Apply(await NextAsync(b));
        }

        Assert.Equal((Size, "a/type"), (told.Size, told.MediaType));
        Assert.Equal([77UL], told.Checksums[0]);
        Assert.Equal("a", told.Assigned[0]);
        Assert.Equal(2, _directory.Find(Content, "a")!.Pieces.Count);
    }

    [Fact]
    public async Task Apply_ChecksumsOfAMemberThatReadsNothing_AreToldNobody()
    {
        using var reader = Open("reader");
        await NextAsync(reader);
        using var liar = Open("liar", canReachOrigin: false);
        using var other = Open("other", canReachOrigin: false);
        Report(liar, new GrantReport { Arrived = { new PieceRun { Count = 40 } }, Checksums = { Enumerable.Range(0, 40).Select(piece => new PieceChecksums { Piece = (uint)piece, Frames = { 66 } }) } });
        Report(reader, new GrantReport { Arrived = { new PieceRun { First = 7, Count = 1 } }, Checksums = { new PieceChecksums { Piece = 7, Frames = { 77 } } } });
        _time.Advance(TimeSpan.FromSeconds(1));

        var told = new ToldNode();
        while (told.Checksums.Count == 0)
        {
            told.Apply(await NextAsync(other));
        }

        Assert.Equal((7, 77UL), (Assert.Single(told.Checksums).Key, Assert.Single(told.Checksums[7])));
    }

    [Fact]
    public async Task Apply_ReportOfAMediaTypeOnly_TellsNoSize()
    {
        using var a = Open("a", size: 0);
        await NextAsync(a);

        Report(a, new GrantReport { MediaType = "a/type" });
        Report(a, new GrantReport { Size = Size });

        Assert.Equal(Size, (await NextAsync(a)).Size);
    }

    [Fact]
    public async Task Apply_OriginFailed_IsUnavailableUntilANewWant()
    {
        using var a = Open("a");
        await NextAsync(a);

        Report(a, new GrantReport { GivenBack = { new SegmentRun { Count = 40 } }, OriginFailed = true });
        Assert.Equal(LookupState.Unavailable, (await NextAsync(a)).State);
        a.Apply(new LookupRequest { Want = Want("a", Size) });

        var push = await NextAsync(a);
        Assert.Equal(LookupState.Available, push.State);
        Assert.Equal(40, ToldNodes.Segments(push.Granted).Count());
    }

    [Fact]
    public async Task Apply_FailedFetch_CountsWhatArrivedOfItFirst()
    {
        Announce("h");
        using var a = Open("a");
        var told = new ToldNode();
        told.Apply(await NextAsync(a));

        // Both in one report: whole, so there is nothing to complain of.
        Report(a, new GrantReport { Arrived = { new PieceRun { Count = 1 } }, Failed = { new FailedFetch { Node = "h", Reason = FetchFailure.Unreachable } } });

        var push = await NextAsync(a);
        Assert.Empty(push.Granted);
        Assert.Equal("h", Assert.Single(push.Assigned).Node);
        Assert.Single(ToldNodes.Segments(push.Assigned));
    }

    [Fact]
    public async Task HolderChanged_AfterAWhileOfRest_IsPushedAtOnce()
    {
        using var a = Open("a", canReachOrigin: false);
        await NextAsync(a);
        _time.Advance(Coalesce);
        var next = NextPush(a);

        Announce("h");

        Assert.Equal("h", Assert.Single((await next).Assigned).Node);
    }

    [Fact]
    public async Task HolderChanged_SeveralInAMoment_AreOnePush()
    {
        using var a = Open("a", canReachOrigin: false);
        await NextAsync(a);
        _time.Advance(Coalesce);
        Announce("h", new PieceRun { First = 0, Count = 1 });
        Assert.Single((await NextPush(a)).Assigned);
        var next = NextPush(a);

        for (var holder = 1; holder < 5; holder++)
        {
            Announce($"h{holder}", new PieceRun { First = (uint)holder, Count = 1 });
            _time.Advance(Coalesce / 5);
        }

        Assert.False(next.IsCompleted);
        _time.Advance(Coalesce / 5);

        Assert.Equal([1, 2, 3, 4], ToldNodes.Segments((await next).Assigned).Select(assigned => assigned.Segment).Order());
    }

    [Fact]
    public async Task Open_RingHasChanged_NothingIsGrantedBeforeTheOtherOwnerHasTold()
    {
        var answer = new TaskCompletionSource<OtherOwner?>();
        _mesh.HasChangedLately = true;
        _mesh.Answer = _ => answer.Task;
        using var a = Open("a");
        Assert.Empty((await NextAsync(a)).Granted);
        using var b = Open("b");
        Assert.Empty((await NextAsync(b)).Granted);

        var known = new LookupResponse
        {
            Size = Size,
            Holders =
            {
                new Holder { Node = "h", Pieces = { new PieceRun { First = 0, Count = 10 } } },
                new Holder { Node = "reader", Receiving = { new PieceRun { First = 10, Count = 10 } } },
            },
        };
        answer.SetResult(new OtherOwner("other", known, IsNearer: true));

        var (toldA, toldB) = (new ToldNode(), new ToldNode());
        while (toldA.Granted.Count == 0 || toldB.Granted.Count == 0)
        {
            toldA.Apply(toldA.Granted.Count == 0 ? await NextAsync(a) : new LookupResponse());
            toldB.Apply(toldB.Granted.Count == 0 ? await NextAsync(b) : new LookupResponse());
        }

        Assert.Equal(20, toldA.Granted.Concat(toldB.Granted).Min());
        Assert.Contains("h", toldA.Assigned.Values.Concat(toldB.Assigned.Values));
        Assert.Contains("reader", toldA.Assigned.Values.Concat(toldB.Assigned.Values));
        Assert.Equal(1, _mesh.Asked);
    }

    [Fact]
    public async Task Open_ContinuedSession_TheOtherOwnerIsAskedToo()
    {
        var want = Want("a", Size);
        want.Continued = true;
        _mesh.Answer = _ => Task.FromResult<OtherOwner?>(new OtherOwner("other", new LookupResponse { Size = Size, Holders = { new Holder { Node = "h", Complete = true } } }, IsNearer: true));
        using var a = _coordination.Open(want);

        Assert.Equal("h", Assert.Single((await NextAsync(a)).Assigned).Node);
        Assert.Equal(1, _mesh.Asked);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Open_OthersStillAskTheOtherOwner_TheNearerOfTheTwoGrants(bool isOtherNearer)
    {
        var isAsked = true;
        _mesh.HasChangedLately = true;
        _mesh.Answer = _ => Task.FromResult<OtherOwner?>(new OtherOwner("other",
            new LookupResponse { Size = Size, State = isAsked ? LookupState.Available : LookupState.Unavailable }, isOtherNearer));
        using var a = Open("a");
        var told = new ToldNode();
        told.Apply(await NextAsync(a));
        for (; _mesh.Asked < 3; await Task.Yield())
        {
            _time.Advance(TimeSpan.FromMilliseconds(50));
        }

        isAsked = false;
        a.Apply(new LookupRequest { Want = Want("a", Size) });
        told.Apply(await NextAsync(a));
        Assert.Equal(isOtherNearer, told.Granted.Count == 0);
    }

    [Fact]
    public Task Open_TheOtherOwnerSaysForEverThatSomebodyFindsOutTheSize_IsAskedSeldomAndNotBelievedForLong() => Task.Run(async () =>
    {
        // Here nothing keeps what waits for the clock from going on at once.
        var known = new LookupResponse { State = LookupState.Available, Holders = { new Holder { Node = "liar", Receiving = { new PieceRun { Count = 1 } } } } };
        _mesh.HasChangedLately = true;
        _mesh.Answer = _ => Task.FromResult<OtherOwner?>(new OtherOwner("other", known, IsNearer: false));
        using var a = Open("a", size: 0);
        Assert.Empty((await NextAsync(a)).Granted);
        Assert.Equal(1, _mesh.Asked);

        Pass(TimeSpan.FromMilliseconds(25 + 50 + 100 + 200));
        Assert.Equal(5, _mesh.Asked);
        Pass(TimeSpan.FromMilliseconds(4 * 250));
        Assert.Equal(9, _mesh.Asked);

        Pass(2 * new CoordinatorPolicy().Lease);
        a.Apply(new LookupRequest { Want = Want("a", size: 0) });
        Assert.Equal(SizeProbes.Run, Assert.Single((await NextAsync(a)).Granted));

        void Pass(TimeSpan time)
        {
            for (var step = TimeSpan.FromMilliseconds(5); time > TimeSpan.Zero; time -= step)
            {
                _time.Advance(step);
            }
        }
    });

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Open_Observer_OnlyANearerOneStopsTheGranting(bool isNearer)
    {
        using var b = Open("b", canReachOrigin: false);
        _mesh.Nearer.UnionWith(isNearer ? ["owner"] : []);
        var want = Want("owner", size: 0);
        want.Observes = true;
        using var observer = _coordination.Open(want);
        await NextPush(observer);

        using var a = Open("a");

        Assert.Equal(isNearer ? 0 : 1, Math.Min(1, (await NextAsync(a)).Granted.Count));
    }

    [Theory]
    [InlineData(Size)]
    [InlineData(Size + KiB64)]
    public async Task Open_WantOfAnotherSize_WhatItHoldsAndReadsDoesNotCount(long size)
    {
        using var a = Open("a", canReachOrigin: false);
        var told = new ToldNode();
        told.Apply(await NextAsync(a));
        var want = Want("b", size, canReachOrigin: false);
        want.Have.Add(new PieceRun { First = 0, Count = 10 });
        want.Reading.Add(new SegmentRun { First = 10, Count = 1 });

        using var b = _coordination.Open(want);
        var pushB = await NextAsync(b);
        await TakeAllAsync(a, told);

        Assert.Equal(Size, pushB.Size);
        Assert.Equal(size == Size, _directory.TryFind(Content, out var entry) && entry.Holders.Any(holder => holder.Node == "b"));
        Assert.Equal(size == Size ? "b" : null, told.Assigned.GetValueOrDefault(0));
    }

    [Theory]
    [InlineData(true, true, 900, 0)]
    [InlineData(true, false, 2900, 1)]
    [InlineData(false, true, 5, 40)]
    [InlineData(false, false, 5, 40)]
    public async Task Leave_ToAnotherOwner_WhatTheLeaverReadsIsNotGrantedBeforeTheLeaseEndsNorTheRestWhenTheOtherDeals(bool isMoving, bool hasMoved, int milliseconds, int granted)
    {
        await _coordination.StartAsync(CancellationToken.None);
        using var a = Open("a");
        Assert.Equal(new SegmentRun { Count = 40 }, Assert.Single((await NextAsync(a)).Granted));
        using var b = Open("b");
        var told = new ToldNode();
        told.Apply(await NextAsync(b));
        Assert.Empty(told.Granted);
        var next = NextPush(b);
        _mesh.HasMoved = hasMoved;
        var givenBack = Enumerable.Range(0, 40).First(segment => !told.Assigned.ContainsKey(segment));

        if (isMoving)
        {
            Report(a, new GrantReport { GivenBack = { new SegmentRun { First = (uint)givenBack, Count = 1 } }, Moving = true });
        }

        if (!isMoving)
        {
            a.Dispose();
        }

        _time.Advance(TimeSpan.FromMilliseconds(milliseconds));
        for (var i = 0; i < 1000 || told.Granted.Count < granted; i++)
        {
            // What is late is pushed by a task of its own.
            await Task.Yield();
            await TakeAsync();
        }

        Assert.Equal(granted == 1 ? [givenBack] : Enumerable.Range(0, granted), told.Granted.Order());

        // The ticking task runs on its own: time goes on until it has noticed.
        while (told.Granted.Count < 40)
        {
            _time.Advance(TimeSpan.FromMilliseconds(250));
            await Task.Yield();
            await TakeAsync();
        }

        await _coordination.StopAsync(CancellationToken.None);

        async Task TakeAsync()
        {
            for (; next.IsCompleted; next = NextPush(b))
            {
                told.Apply(await next);
            }
        }
    }

    [Fact]
    public async Task Dispose_SessionOfWhoMovedAwayLongAgo_WhoCameMeanwhileKeepsItsPlace()
    {
        var (a, b) = (Open("a"), Open("b"));
        Report(a, new GrantReport { Moving = true });
        Report(b, new GrantReport { Moving = true });
        a.Dispose();
        using var next = Open("next");
        Assert.NotEmpty((await NextAsync(next)).Granted);

        b.Dispose();

        using var last = Open("last");
        Assert.Empty((await NextAsync(last)).Granted);
    }

    [Fact]
    public async Task Open_OtherOwnerIsSilent_IsGrantedAfter300Milliseconds()
    {
        _mesh.HasChangedLately = true;
        _mesh.Answer = async cancellationToken =>
        {
            await Task.Delay(Timeout.Infinite, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            return null;
        };
        using var a = Open("a");
        Assert.Empty((await NextPush(a)).Granted);
        _time.Advance(TimeSpan.FromMilliseconds(299));

        // Asked anew, it would be told by now.
        a.Apply(new LookupRequest { Want = Want("a", Size) });
        Assert.Empty((await NextPush(a)).Granted);
        _time.Advance(TimeSpan.FromMilliseconds(1));

        Assert.Equal(new SegmentRun { Count = 40 }, Assert.Single((await NextAsync(a)).Granted));
    }

    [Fact]
    public async Task Open_OtherOwnerCannotBeAsked_IsGrantedWithoutWaiting()
    {
        _mesh.HasChangedLately = true;
        _mesh.Answer = _ => throw new InvalidOperationException("no such member");
        using var a = Open("a");
        var told = new ToldNode();
        while (told.Granted.Count == 0)
        {
            told.Apply(await NextAsync(a));
        }

        Assert.Equal(Enumerable.Range(0, 40), told.Granted);
    }

    [Fact]
    public async Task Open_Observer_IsToldOnceAndDisturbsNobody()
    {
        using var a = Open("a");
        await NextAsync(a);
        Announce("h", new PieceRun { First = 3, Count = 2 });
        var want = Want("owner", size: 0);
        want.Observes = true;
        using var observer = _coordination.Open(want);

        var told = await NextPush(observer);
        Assert.Equal(Size, told.Size);
        var reader = Assert.Single(told.Holders, holder => holder.Node == "a");
        Assert.Contains(0, ToldNodes.Segments(reader.Receiving.Select(run => new SegmentRun { First = run.First, Count = run.Count })));
        Assert.Equal(new PieceRun { First = 3, Count = 2 }, Assert.Single(Assert.Single(told.Holders, holder => holder.Node == "h").Pieces));
        Assert.Empty(told.Granted);
        Assert.Empty(told.Assigned);

        var next = NextPush(observer);
        Report(a, new GrantReport { Arrived = { new PieceRun { Count = 20 } } });
        Report(observer, new GrantReport { Arrived = { new PieceRun { Count = 20 } } });
        observer.Apply(new LookupRequest { Want = want });
        observer.Dispose();
        _time.Advance(new CoordinatorPolicy().HandOver);
        Report(a, new GrantReport { GivenBack = { new SegmentRun { First = 30, Count = 10 } } });

        // All that was given back is granted to it anew: it is still alone.
        var toldA = new ToldNode();
        while (toldA.Granted.Count < 10)
        {
            toldA.Apply(await NextAsync(a));
        }

        Assert.Equal(Enumerable.Range(30, 10), toldA.Granted);
        Assert.Empty(toldA.Reclaimed);
        Assert.False(next.IsCompleted);
        Assert.Null(_directory.Find(Content, "owner"));
    }

    [Fact]
    public async Task Open_ObserverOfAContentThatNobodyAsksFor_IsToldWhatTheDirectoryKnows()
    {
        Announce("h");
        var want = Want("owner", size: 0);
        want.Observes = true;
        using var observer = _coordination.Open(want);

        var told = await NextPush(observer);

        Assert.Equal(Size, told.Size);
        var holder = Assert.Single(told.Holders);
        Assert.Equal(("h", true), (holder.Node, holder.Complete));
    }

    [Fact]
    public async Task ExecuteAsync_StalledReader_LosesItsLease()
    {
        await _coordination.StartAsync(CancellationToken.None);
        using var a = Open("a");
        await NextAsync(a);
        using var b = Open("b");
        var told = new ToldNode();

        // The ticking task runs on its own: time goes on until it has noticed.
        for (var next = NextPush(b); told.Granted.Count == 0;)
        {
            _time.Advance(TimeSpan.FromMilliseconds(250));
            await Task.Yield();
            if (next.IsCompleted)
            {
                told.Apply(await next);
                next = NextPush(b);
            }
        }

        Assert.NotEmpty(told.Granted);
        await _coordination.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task Push_AskerThatReadsNothing_KeepsFewPushesAndTheEndIsRight()
    {
        using var slow = Open("slow", canReachOrigin: false);
        var slowest = new ToldNode();
        for (var i = 0; i < 100; i++)
        {
            // Each round tells of a holder that comes and goes; after a moment of rest each is pushed at once.
            _time.Advance(Coalesce);
            using var lease = Announce("h");
            _time.Advance(Coalesce);
            lease.Leave();
        }

        _time.Advance(Coalesce);
        slow.Apply(new LookupRequest { Want = Want("slow", Size, canReachOrigin: false) });
        var pushes = await TakeAllAsync(slow, slowest);

        Assert.InRange(pushes, 1, 64);
        Assert.Empty(slowest.Holders);
        Assert.Equal(LookupState.Unavailable, slowest.State);
    }

    // Eight holders with every other piece of 16 GiB: some MiB for each asker.
    [Fact]
    public async Task Push_ManyAskersThatTakeNothing_SomeAreCutOff()
    {
        const long Large = 16L * 1024 * 1024 * 1024;
        var every = Enumerable.Range(0, 8192).Select(i => new PieceRun { First = 2 * (uint)i, Count = 1 }).ToList();
        for (var i = 0; i < 8; i++)
        {
            _directory.OpenLease(Member($"h{i}"))!.Apply(new AnnounceRequest { Contents = { new Availability { Digest = Content.ToString(), Size = Large, Pieces = { every } } } });
        }

        var sessions = Enumerable.Range(0, 24).Select(i => Open($"a{i}", Large, canReachOrigin: false)).ToList();
        await Wait.UntilAsync(
            () =>
            {
                _time.Advance(Coalesce);
                return sessions.Exists(session => session.Cut.IsCancellationRequested);
            },
            "too much waits");

        Assert.InRange(_coordination.Unsent.Bytes, Coordination.MostUnsent / 2, Coordination.MostUnsent);
        var ended = sessions.Find(session => session.Cut.IsCancellationRequested)!;
        Assert.Equal(StatusCode.ResourceExhausted, (await Assert.ThrowsAsync<RpcException>(() => ended.NextAsync(CancellationToken.None).AsTask())).StatusCode);
        var others = sessions.FindAll(session => !session.Cut.IsCancellationRequested);
        Assert.NotEmpty(others);
        foreach (var other in others)
        {
            Assert.Equal(8, (await NextAsync(other)).Holders.Count);
        }

        sessions.ForEach(session => session.Dispose());
        Assert.Equal(0, _coordination.Unsent.Bytes);
    }

    [Fact]
    public async Task Push_ManyGrantsAndRevocationsUnread_MergeToTheLastWord()
    {
        using var slow = Open("slow");
        var told = new ToldNode();
        for (var i = 0; i < 200; i++)
        {
            _time.Advance(Coalesce);
            Report(slow, new GrantReport { GivenBack = { new SegmentRun { First = (uint)(i % 40), Count = 1 } } });
        }

        // Given back and granted anew each time; at the end all of it is granted.
        _time.Advance(Coalesce);
        slow.Apply(new LookupRequest { Want = Want("slow", Size) });
        var pushes = await TakeAllAsync(slow, told);

        Assert.InRange(pushes, 1, 64);
        Assert.Equal(Enumerable.Range(0, 40), told.Granted);
    }

    [Fact]
    public async Task Push_RevocationOfAnUnreadGrant_TakesItBack()
    {
        using var slow = Open("slow");
        for (var i = 0; i < 100; i++)
        {
            _time.Advance(Coalesce);
            Report(slow, new GrantReport { GivenBack = { new SegmentRun { Count = 40 } } });
        }

        using var other = Open("b");
        await _coordination.StartAsync(CancellationToken.None);
        var (toldSlow, toldOther) = (new ToldNode(), new ToldNode());
        var next = NextPush(other);
        while (toldOther.Granted.Count == 0)
        {
            _time.Advance(TimeSpan.FromMilliseconds(250));
            await Task.Yield();
            if (next.IsCompleted)
            {
                toldOther.Apply(await next);
                next = NextPush(other);
            }
        }

        await _coordination.StopAsync(CancellationToken.None);
        for (; next.IsCompleted; next = NextPush(other))
        {
            toldOther.Apply(await next);
        }

        await TakeAllAsync(slow, toldSlow);

        Assert.NotEmpty(toldSlow.Revoked);
        Assert.Empty(toldSlow.Granted.Intersect(toldOther.Granted));
    }

    // In a herd all report all the time: were each to cost as much as there are holders, the owner would be busy with nothing else.
    [Fact]
    public async Task Apply_ReportOfAKnownHolder_CostsNotMoreWhenManyHoldTheContent()
    {
        var among10 = await BytesOfAReportAsync(10);

        using var herd = new CoordinationTests();
        var among1000 = await herd.BytesOfAReportAsync(1000);

        Assert.InRange(among1000, 1, among10 + 256);
    }

    /// <summary>What this thread allocates for a report of a node that asks and holds something, as others do.</summary>
    private async Task<long> BytesOfAReportAsync(int holders)
    {
        using var asker = Open("asker");
        await NextAsync(asker);
        for (var holder = 0; holder < holders; holder++)
        {
            Announce($"h{holder}", new PieceRun { First = 0, Count = 1 });
        }

        // The news of the first are on their way to be told, together with those that come soon after.
        for (uint piece = 1; piece < 10; piece++)
        {
            Report(asker, new GrantReport { Arrived = { new PieceRun { First = piece, Count = 1 } } });
        }

        var report = new GrantReport { Arrived = { new PieceRun { First = 10, Count = 1 } } };
        var before = GC.GetAllocatedBytesForCurrentThread();
        Report(asker, report);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.Equal(10, _directory.Find(Content, "asker")!.Pieces.Count);
        return allocated;
    }

    private static Want Want(string node, long size, bool canReachOrigin = true) =>
        new() { Member = Member(node), Digest = Content.ToString(), Size = size, CanReachOrigin = canReachOrigin };

    private static Member Member(string node) => new() { Node = node, Incarnation = 1 };

    private static void Report(ILookupSession session, GrantReport report) => session.Apply(new LookupRequest { Report = report });

    private static Task<LookupResponse> NextPush(ILookupSession session) =>
        session.NextAsync(CancellationToken.None).AsTask().WaitAsync(TimeSpan.FromSeconds(30));

    /// <summary>The next push, also one that waits for more news to come.</summary>
    private Task<LookupResponse> NextAsync(ILookupSession session)
    {
        var next = NextPush(session);
        _time.Advance(Coalesce);
        return next;
    }

    /// <summary>Takes the pushes that are there and returns how many these were.</summary>
    private static async Task<int> TakeAllAsync(ILookupSession session, ToldNode told)
    {
        var pushes = 0;
        for (var next = NextPush(session); next.IsCompleted; next = NextPush(session))
        {
            told.Apply(await next);
            pushes++;
        }

        return pushes;
    }

    private ILookupSession Open(string node, long size = Size, bool canReachOrigin = true, PieceRun? have = null)
    {
        var want = Want(node, size, canReachOrigin);
        want.Have.AddRange(have is null ? [] : [have]);
        return _coordination.Open(want);
    }

    private HolderDirectory.Lease Announce(string node, PieceRun? pieces = null, uint[]? order = null)
    {
        var lease = _directory.OpenLease(Member(node))!;
        lease.Apply(new AnnounceRequest
        {
            Contents = { new Availability { Digest = Content.ToString(), Size = Size, MediaType = "a/type", Complete = pieces is null, Pieces = { pieces is null ? [] : [pieces] }, StartupOrder = { order ?? [] } } },
        });
        return lease;
    }

    /// <summary>A mesh in which another owner answers what the test says; none by default.</summary>
    private sealed class AloneMesh : ICoordinationMesh
    {
        public bool HasChangedLately { get; set; }

        /// <summary>Another member is the owner now.</summary>
        public bool HasMoved { get; set; }

        public Func<CancellationToken, Task<OtherOwner?>> Answer { get; set; } = _ => Task.FromResult<OtherOwner?>(null);

        /// <summary>How often the other owner was asked.</summary>
        public int Asked { get; private set; }

        /// <summary>Names of nodes that come before this one.</summary>
        public HashSet<string> Nearer { get; } = new(StringComparer.Ordinal);

        public string ZoneOf(string node) => string.Empty;

        public bool HasMovedLately(Digest content) => HasMoved;

        public bool IsNearer(Digest content, string node) => Nearer.Contains(node);

        public Task<OtherOwner?> AskOtherOwnerAsync(Digest content, CancellationToken cancellationToken)
        {
            Assert.Equal(Content, content);
            Asked++;
            return Answer(cancellationToken);
        }
    }
}
