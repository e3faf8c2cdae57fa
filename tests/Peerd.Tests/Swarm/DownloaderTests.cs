using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class DownloaderTests
{
    private const int KiB64 = 64 * 1024;

    private static readonly ContentLayout Layout = new(40 * KiB64);

    /// <summary>Two pieces a segment.</summary>
    private static readonly ContentLayout Large = new(512L << 20);

    /// <summary>Four pieces a segment.</summary>
    private static readonly ContentLayout Segmented = new(1L << 30);

    private static readonly DownloaderPolicy Policy = new();

    private static readonly Demand Whole = new(0, int.MaxValue, int.MaxValue);

    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(20);

    private readonly Downloader _downloader = Create(Layout);

    [Fact]
    public void Pushed_Granted_ReadsItInOrderWithinTheLimits()
    {
        var layout = new ContentLayout(100L << 20);
        var downloader = Create(layout);
        downloader.DemandsChanged([Whole], TimeSpan.Zero);

        downloader.Pushed(new LookupResponse { Granted = { new SegmentRun { Count = uint.MaxValue } } }, TimeSpan.Zero);

        // A MiB each at first, more from answer to answer as long as nobody else comes.
        var reads = downloader.TakeActions().Cast<DownloadAction.FetchFromOrigin>().ToList();
        var pieces = Policy.FirstOriginRead / layout.PieceSize;
        Assert.Equal([(0, pieces), (pieces, pieces)], reads.Select(read => (read.First, read.Count)));
        for (var next = reads[0]; next.Count * layout.PieceSize < Policy.LongestOriginRead;)
        {
            Arrive(downloader, next.First, next.Count);
            downloader.OriginRequestEnded(next.Id, succeeded: true, TimeSpan.Zero, TimeSpan.Zero);
            var longer = Assert.IsType<DownloadAction.FetchFromOrigin>(Assert.Single(downloader.TakeActions()));
            Assert.Equal(2 * next.Count, longer.Count);
            next = longer;
        }
    }

    [Fact]
    public void Pushed_GrantedMoreThanIsWanted_OnlyWhatIsWantedIsRead()
    {
        Demand(new Demand(3, 30, 5));

        Granted(0, 40);

        var read = Assert.Single(Actions<DownloadAction.FetchFromOrigin>());
        Assert.Equal((3, 5), (read.First, read.Count));
    }

    [Fact]
    public void Pushed_GrantedAndReadersWantDifferentParts_FirstDemandIsReadFirstAndNoneWaitsForAnother()
    {
        Demand(new Demand(30, 31, int.MaxValue), new Demand(5, 6, int.MaxValue), new Demand(20, 22, int.MaxValue));

        Granted(0, 40);

        Assert.Equal([(30, 1), (5, 1), (20, 2)], Actions<DownloadAction.FetchFromOrigin>().Select(read => (read.First, read.Count)));
    }

    [Fact]
    public void Pushed_MoreIsAssignedThanAnyOwnerShould_TheRestIsNotAskedFor()
    {
        var layout = new ContentLayout(1L << 40);
        var downloader = Create(layout);
        downloader.DemandsChanged([Whole], TimeSpan.Zero);

        downloader.Pushed(new LookupResponse { Assigned = { new Assignment { Node = "p", Segments = { new SegmentRun { Count = uint.MaxValue } } } } }, TimeSpan.Zero);

        Assert.Equal(Policy.MostAssigned, downloader.TakeActions().OfType<DownloadAction.FetchFromPeer>().Count());
    }

    [Fact]
    public void OriginRequestUnmade_NobodyDemandsItAnyMore_TheOwnerIsToldThatFirstAndGetsItsGrantBack()
    {
        Demand(new Demand(3, 4, int.MaxValue), new Demand(20, 22, int.MaxValue));
        Granted(3, 1);
        Granted(20, 2);
        var unmade = Assert.Single(Actions<DownloadAction.FetchFromOrigin>(), read => read.First == 20);
        _downloader.TakeWanted();
        Demand(new Demand(3, 4, int.MaxValue));
        _downloader.TakeActions();
        Assert.True(_downloader.IsFetching(20));

        _downloader.OriginRequestUnmade(unmade.Id, TimeSpan.Zero);

        var actions = _downloader.TakeActions();
        Assert.IsType<DownloadAction.AskAgain>(actions[0]);
        var givenBack = Assert.IsType<DownloadAction.GiveBack>(actions[1]);
        Assert.Equal((2, false), (actions.Count, givenBack.OriginFailed));
        Assert.Equal([new SegmentRun { First = 20, Count = 2 }], givenBack.Segments);
        Assert.False(_downloader.IsFetching(20));
    }

    // What passes for here is not fetched, whatever the owner says.
    [Fact]
    public void PiecesLost_OwnerAssignsAndGrantsThemAgain_AreFetchedAndRead()
    {
        Demand(Whole);
        Arrive(_downloader, 0, 40);
        var here = new PieceSet(Layout.PieceCount);
        here.AddRun(0, 40);
        here.Remove(3);
        here.Remove(7);

        _downloader.PiecesLost(here);
        _downloader.Pushed(
            new LookupResponse
            {
                Assigned = { new Assignment { Node = "p", Segments = { new SegmentRun { First = 3, Count = 2 } } } },
                Granted = { new SegmentRun { First = 7, Count = 1 } },
            },
            TimeSpan.Zero);

        var actions = _downloader.TakeActions();
        Assert.Equal((3, 1), actions.OfType<DownloadAction.FetchFromPeer>().Select(fetch => (fetch.First, fetch.Count)).Single());
        Assert.Equal((7, 1), actions.OfType<DownloadAction.FetchFromOrigin>().Select(read => (read.First, read.Count)).Single());
    }

    [Fact]
    public void PiecesLost_NobodyComesToThem_NothingIsAskedForUntilAReaderDoes()
    {
        Demand(Whole);
        Arrive(_downloader, 0, 40);
        _downloader.TakeActions();

        _downloader.PiecesLost(new PieceSet(Layout.PieceCount));
        Tick(TimeSpan.FromMilliseconds(20));
        Assert.Empty(Take());
        Assert.True(_downloader.Had(7));

        _downloader.PieceLost(7, wasInMemory: true, TimeSpan.FromMilliseconds(20));
        Assert.Equal(7, Assert.Single(Actions<DownloadAction.FetchFromOrigin>()).First);
        Assert.False(_downloader.Had(7));
    }

    [Fact]
    public void AskUrgently_PeersHoldThePiece_OneThatIsNotBannedIsAskedBesidesAllElse()
    {
        Holders("p", "q");
        var first = _downloader.AskUrgently(7, TimeSpan.Zero);
        Assert.NotNull(first);
        _downloader.PeerRequestEnded(first.Value.Id, RangeOutcomeKind.Failed, [], [], TimeSpan.Zero);

        // Many may wait for different parts of the same piece.
        var second = _downloader.AskUrgently(7, TimeSpan.Zero);
        var third = _downloader.AskUrgently(7, TimeSpan.Zero);

        Assert.NotEqual(first.Value.Node, second!.Value.Node);
        Assert.Equal(second.Value.Node, third!.Value.Node);
        _downloader.PeerRequestEnded(second.Value.Id, RangeOutcomeKind.Corrupt, [], [], TimeSpan.Zero);
        Assert.Null(_downloader.AskUrgently(7, TimeSpan.Zero));
        Assert.Empty(Take());
    }

    [Fact]
    public void AskUrgently_PieceIsArrivingOrNobodyIsKnownToHaveIt_IsNull()
    {
        Assert.Null(_downloader.AskUrgently(7, TimeSpan.Zero));
        _downloader.Pushed(new LookupResponse { Holders = { new Holder { Node = "p", Receiving = { Run(0, 40) } } } }, TimeSpan.Zero);
        Assert.Null(_downloader.AskUrgently(7, TimeSpan.Zero));
        Assert.True(_downloader.IsComing(7));
        Assert.False(_downloader.IsHeld(7));

        Holders("p");
        Demand(Whole);
        Assign("p", 7);
        Take();
        Assert.Null(_downloader.AskUrgently(7, TimeSpan.Zero));
        Assert.NotNull(_downloader.AskUrgently(8, TimeSpan.Zero));
    }

    [Fact]
    public void Pushed_Assigned_IsFetchedAtOnceAndReportedByNothingWhenItIsWhole()
    {
        Demand(Whole);

        Assign("p", 3, 7);

        var fetches = Actions<DownloadAction.FetchFromPeer>();
        Assert.Equal([("p", 3, 1, true), ("p", 7, 1, true)], fetches.Select(fetch => (fetch.Node, fetch.First, fetch.Count, fetch.IsAssigned)));
        Assert.Equal([new Assignment { Node = "p", Segments = { SegmentRuns.Of([3, 7]) } }], _downloader.Fetching());
        _downloader.PieceArrived(3, TimeSpan.Zero);
        End(fetches[0], RangeOutcomeKind.Complete);

        Assert.Empty(Take());
        Assert.Equal([new Assignment { Node = "p", Segments = { SegmentRuns.Of([7]) } }], _downloader.Fetching());
    }

    // Readers that wait for bytes ask for them themselves, over the same link.
    [Fact]
    public void Pushed_AssignedWhatIsFetchedAhead_FewAtATimeOfEachPeerTheMostWantedFirst()
    {
        _downloader.DemandsChanged([new Demand(20, 22, 2), new Demand(0, 40, 40)], TimeSpan.Zero, isAhead: true);

        Assign("p", 3, 7, 20, 30);
        Assign("q", 5);

        var fetches = Take().OfType<DownloadAction.FetchFromPeer>().ToList();
        Assert.Equal([("p", 20), ("p", 3), ("q", 5)], fetches.Select(fetch => (fetch.Node, fetch.First)));
        Assert.Equal(Policy.RequestsAheadPerPeer, fetches.Count(fetch => fetch.Node == "p"));
        _downloader.PieceArrived(20, TimeSpan.Zero);
        End(fetches[0], RangeOutcomeKind.Complete);
        Assert.Equal(7, Assert.Single(Take().OfType<DownloadAction.FetchFromPeer>()).First);

        // Somebody reads it in order now.
        Demand(Whole);
        Assert.Equal(30, Assert.Single(Take().OfType<DownloadAction.FetchFromPeer>()).First);
    }

    // What a reader comes to wait for would stand behind all of it.
    [Fact]
    public void Pushed_AssignedWhatIsFetchedAhead_OnlyWhatIsNeededAndAPieceAtATime()
    {
        var downloader = Create(Segmented);
        downloader.DemandsChanged([new Demand(9, 11, int.MaxValue), new Demand(21, 22, int.MaxValue)], TimeSpan.Zero, isAhead: true);
        downloader.TakeActions();

        downloader.Pushed(Assigned("p", 2, 5), TimeSpan.Zero);

        var fetches = downloader.TakeActions().Cast<DownloadAction.FetchFromPeer>().ToList();
        Assert.Equal([(9, 1), (10, 1)], fetches.Select(fetch => (fetch.First, fetch.Count)));
        Assert.Equal(PieceArrival.Expected, downloader.ArrivalOf(10, reader: "q"));
        Assert.Equal(PieceArrival.Expected, downloader.ArrivalOf(21, reader: "q"));
        Assert.Equal(PieceArrival.None, downloader.ArrivalOf(8, reader: "q"));
        Arrive(downloader, 9, 1);
        downloader.PeerRequestEnded(fetches[0].Id, RangeOutcomeKind.Complete, [], [], TimeSpan.Zero);

        Assert.Equal((21, 1), Assert.IsType<DownloadAction.FetchFromPeer>(Assert.Single(downloader.TakeActions())) is var next ? (next.First, next.Count) : default);
    }

    // Its holder's place is for others.
    [Fact]
    public void Tick_NothingIsNeededOfAnAssignedSegmentAnyMore_ItIsGivenBackOnceTheOwnerKnows()
    {
        var downloader = Create(Segmented);
        downloader.DemandsChanged([new Demand(9, 10, int.MaxValue), new Demand(40, 41, int.MaxValue)], TimeSpan.Zero, isAhead: true);
        downloader.TakeActions();
        downloader.Pushed(Assigned("p", 2, 10), TimeSpan.Zero);
        var fetches = downloader.TakeActions().Cast<DownloadAction.FetchFromPeer>().ToList();
        downloader.Tick(Step);
        Assert.Empty(downloader.TakeActions());

        Arrive(downloader, 9, 1);
        downloader.PeerRequestEnded(fetches[0].Id, RangeOutcomeKind.Complete, [], [], Step);
        Assert.Empty(downloader.TakeActions());
        downloader.Tick(2 * Step);

        var actions = downloader.TakeActions();
        Assert.IsType<DownloadAction.AskAgain>(actions[0]);
        Assert.Equal(
            (2u, "p", FetchFailure.Starved),
            Assert.IsType<DownloadAction.ReportFailed>(Assert.Single(actions.Skip(1))).Failed is var given ? (given.Segment, given.Node, given.Reason) : default);
        Assert.Equal([new PieceRun { First = 40, Count = 1 }], downloader.TakeWanted());
        Assert.Equal([new Assignment { Node = "p", Segments = { SegmentRuns.Of([10]) } }], downloader.Fetching());
    }

    [Fact]
    public void DemandsChanged_NothingIsNeededAnyMore_WhatIsAssignedAndNotBegunIsGivenBackAtOnce()
    {
        var downloader = Create(Segmented);
        downloader.DemandsChanged([new Demand(9, 10, int.MaxValue), new Demand(21, 22, int.MaxValue), new Demand(40, 41, int.MaxValue)], TimeSpan.Zero, isAhead: true);
        downloader.Pushed(Assigned("p", 2, 5, 10), TimeSpan.Zero);
        downloader.TakeActions();

        downloader.DemandsChanged([], TimeSpan.Zero, isAhead: true);

        Assert.Equal(10u, Assert.Single(downloader.TakeActions().OfType<DownloadAction.ReportFailed>()).Failed.Segment);
    }

    // All that is asked for comes over the same link.
    [Fact]
    public void Ended_AReaderHasWaitedForLong_HardlyAnythingIsFetchedAhead()
    {
        Holders("p");
        _downloader.DemandsChanged([new Demand(0, 40, 40)], TimeSpan.Zero, isAhead: true);
        Assign("p", 3, 7, 20, 30);
        var fetches = Take().OfType<DownloadAction.FetchFromPeer>().ToList();
        var urgent = _downloader.AskUrgently(0, TimeSpan.Zero)!.Value;

        Complete(fetches[0], Policy.ReaderPatience);
        Complete(fetches[1], Policy.ReaderPatience);
        Tick(Policy.AheadInterval - TimeSpan.FromMilliseconds(1));
        Assert.Empty(Take());
        Tick(Policy.AheadInterval);
        Assert.Equal(20, Assert.Single(Actions<DownloadAction.FetchFromPeer>()).First);
        Tick(2 * Policy.AheadInterval);
        Assert.Empty(Take());

        _downloader.PeerRequestEnded(urgent.Id, RangeOutcomeKind.Complete, [], [], 2 * Policy.AheadInterval);

        Assert.Equal(30, Assert.Single(Actions<DownloadAction.FetchFromPeer>()).First);
    }

    [Fact]
    public void Ended_AReaderWaits_OneAtATimeIsFetchedAhead()
    {
        Holders("p");
        _downloader.DemandsChanged([new Demand(0, 40, 40)], TimeSpan.Zero, isAhead: true);
        Assign("p", 3, 7, 20, 30);
        var fetches = Take().OfType<DownloadAction.FetchFromPeer>().ToList();
        Assert.Equal(2, fetches.Count);
        Assert.NotNull(_downloader.AskUrgently(0, Policy.ReaderPatience));

        Complete(fetches[0], Policy.ReaderPatience);
        Assert.Empty(Actions<DownloadAction.FetchFromPeer>());
        Complete(fetches[1], Policy.ReaderPatience);

        Assert.Equal(20, Assert.Single(Actions<DownloadAction.FetchFromPeer>()).First);
    }

    // It would have nothing to send while the next request is on its way.
    [Fact]
    public void Ended_ThePeerIsQuick_MoreIsFetchedAhead()
    {
        Holders("p");
        _downloader.DemandsChanged([new Demand(0, 40, 40)], TimeSpan.Zero, isAhead: true);
        Assign("p", [.. Enumerable.Range(3, 30)]);
        var fetches = Take().OfType<DownloadAction.FetchFromPeer>().ToList();
        Complete(fetches[0], Policy.ReaderPatience);
        var next = Assert.Single(Actions<DownloadAction.FetchFromPeer>());
        Assert.NotNull(_downloader.AskUrgently(0, Policy.ReaderPatience));

        Complete(next, Policy.ReaderPatience + TimeSpan.FromMilliseconds(1));

        Assert.Equal(Policy.RequestsAheadPerQuickPeer - 1, Actions<DownloadAction.FetchFromPeer>().Count);
    }

    private void Complete(DownloadAction.FetchFromPeer fetch, TimeSpan now)
    {
        _downloader.PieceArrived(fetch.First, now);
        _downloader.PeerRequestEnded(fetch.Id, RangeOutcomeKind.Complete, [], [], now);
    }

    // Else nodes that wait for each other with different pieces would wait for ever, and the owner could not see it.
    [Fact]
    public void Waiting_WhatIsFetchedAhead_TheNextIsBegunInItsPlace()
    {
        _downloader.DemandsChanged([new Demand(0, 40, 40)], TimeSpan.Zero, isAhead: true);
        Assign("p", 3, 7, 20, 30);
        var fetches = Take().OfType<DownloadAction.FetchFromPeer>().ToList();
        Assert.Equal([3, 7], fetches.Select(fetch => fetch.First));

        fetches.ForEach(fetch => _downloader.Waiting(fetch.Id, TimeSpan.Zero));

        Assert.Equal([20, 30], Take().OfType<DownloadAction.FetchFromPeer>().Select(fetch => fetch.First));
    }

    // What is fetched ahead waits behind all pulls where the node's download is limited: a holder that was blamed for that would be
    // passed over, and the same bytes read at the origin, as fast as that sends.
    [Fact]
    public void HeldBack_ByTheNodesOwnLimit_NobodyIsBlamedAndNothingIsReadElsewhere()
    {
        Demand(Whole);
        Assign("p", 3);
        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());

        _downloader.HeldBack(fetch.Id, isHeld: true, isAhead: false, TimeSpan.Zero);
        var now = TimeSpan.Zero;
        Pass(ref now, 1.9 * Policy.Patience);
        Assert.Empty(Take());

        // From then on the peer is judged by how quickly it sends.
        _downloader.HeldBack(fetch.Id, isHeld: false, isAhead: false, now);
        Pass(ref now, TimeSpan.FromSeconds(1.9));
        Assert.Empty(Take());
        Pass(ref now, TimeSpan.FromSeconds(0.2));
        Assert.Equal(fetch.Id, Assert.Single(Actions<DownloadAction.Cancel>()).Id);
    }

    // What goes before it, such as what containers read all the time, may never end.
    [Fact]
    public void HeldBack_ByTheNodesOwnLimitForLong_IsReadAtTheOrigin()
    {
        Demand(Whole);
        Assign("p", 3);
        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());

        _downloader.HeldBack(fetch.Id, isHeld: true, isAhead: false, TimeSpan.Zero);
        var now = TimeSpan.Zero;
        Pass(ref now, (3 * Policy.Patience) + Policy.PatienceSpread + TimeSpan.FromSeconds(1));

        Assert.False(Assert.Single(Actions<DownloadAction.FetchFromOrigin>()).IsGranted);
    }

    // No peer is wrong, and the registry is not to be asked: it comes when this node may take it.
    [Fact]
    public void HeldBack_ByTheNodesOwnLimitWhileTheOriginPauses_IsWaitedFor()
    {
        var fetch = HoldBackWhileTheOriginPauses();
        var now = TimeSpan.Zero;
        Pass(ref now, (3 * Policy.Patience) + TimeSpan.FromSeconds(1));

        // The origin itself is asked once whether the owner is right.
        var read = Assert.Single(Actions<DownloadAction.FetchFromOrigin>());
        _downloader.OriginRequestEnded(read.Id, succeeded: false, TimeSpan.FromSeconds(300), now);
        Pass(ref now, 3 * Policy.Patience);
        Assert.DoesNotContain(Take(), action => action is DownloadAction.Fail or DownloadAction.FetchFromOrigin);
        _downloader.HeldBack(fetch.Id, isHeld: false, isAhead: false, now);
        Pass(ref now, TimeSpan.FromSeconds(1));
        _downloader.BytesArrived(3, now);
        Assert.Empty(Take());
        _downloader.PieceArrived(3, now);
        _downloader.PeerRequestEnded(fetch.Id, RangeOutcomeKind.Complete, [], [], now);
        Pass(ref now, 3 * Policy.Patience);

        Assert.Empty(Take());
        Assert.False(_downloader.HasFailed);
    }

    // It would not come with what is held back.
    [Fact]
    public void HeldBack_WhatNobodyHasIsMissingWhileTheOriginPauses_GivesUp()
    {
        HoldBackWhileTheOriginPauses();
        Demand(new Demand(0, 4, int.MaxValue));
        var now = TimeSpan.Zero;
        Pass(ref now, (5 * Policy.Patience) + TimeSpan.FromSeconds(1));

        Assert.Contains(Take(), action => action is DownloadAction.Fail);
    }

    // What is not sent any more when it may be is not waited for.
    [Fact]
    public void HeldBack_NotAnyMoreWhileTheOriginPausesAndNothingComes_GivesUp()
    {
        var fetch = HoldBackWhileTheOriginPauses();
        var now = TimeSpan.Zero;
        Pass(ref now, 5 * Policy.Patience);

        _downloader.HeldBack(fetch.Id, isHeld: false, isAhead: false, now);
        Pass(ref now, (2 * Policy.Patience) + TimeSpan.FromSeconds(1));

        Assert.Contains(Take(), action => action is DownloadAction.Fail);
    }

    private DownloadAction.FetchFromPeer HoldBackWhileTheOriginPauses()
    {
        Demand(new Demand(3, 4, int.MaxValue));
        Assign("p", 3);
        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());
        _downloader.HeldBack(fetch.Id, isHeld: true, isAhead: false, TimeSpan.Zero);
        _downloader.Pushed(new LookupResponse { OriginPauseMs = 300_000 }, TimeSpan.Zero);
        return fetch;
    }

    // Others need its place at the peer more.
    [Fact]
    public void HeldBack_WhatIsFetchedAhead_IsGivenUpAfterAWhileWithoutBlameAndAskedForAgain()
    {
        _downloader.DemandsChanged([new Demand(0, 40, 40)], TimeSpan.Zero, isAhead: true);
        var now = TimeSpan.Zero;
        for (var times = 0; times < 10; times++)
        {
            Assign("p", 3);
            var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());
            _downloader.HeldBack(fetch.Id, isHeld: true, isAhead: true, now);
            Pass(ref now, Policy.StarvedPatience);
            Assert.Empty(Take());

            Pass(ref now, TimeSpan.FromMilliseconds(20));
            Assert.Equal(fetch.Id, Assert.Single(Actions<DownloadAction.Cancel>()).Id);
            End(fetch, RangeOutcomeKind.Cancelled);
            Assert.Equal(FetchFailure.Starved, Assert.Single(Actions<DownloadAction.ReportFailed>()).Failed.Reason);
        }
    }

    // Else a pull would wait behind other pulls for what was asked for before anybody needed it.
    [Fact]
    public void HeldBack_WhatIsFetchedAheadIsNeededNow_IsAskedForAnew()
    {
        _downloader.DemandsChanged([new Demand(0, 40, 40)], TimeSpan.Zero, isAhead: true);
        Assign("p", 3);
        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());
        _downloader.HeldBack(fetch.Id, isHeld: true, isAhead: true, TimeSpan.Zero);

        Demand(Whole);
        Tick(TimeSpan.FromMilliseconds(20));
        Assert.Equal(fetch.Id, Assert.Single(Actions<DownloadAction.Cancel>()).Id);
        End(fetch, RangeOutcomeKind.Cancelled);

        Assert.Equal(FetchFailure.Starved, Assert.Single(Actions<DownloadAction.ReportFailed>()).Failed.Reason);
    }

    [Fact]
    public void PeerRequestEnded_WhatIsFetchedAheadAndThePeerIsGone_WhatWasNotBegunIsLeftToOthersWithoutBlame()
    {
        _downloader.DemandsChanged([new Demand(0, 40, 40)], TimeSpan.Zero, isAhead: true);
        Assign("p", 3, 7, 20, 30);
        Assign("q", 5);
        var fetches = Take().OfType<DownloadAction.FetchFromPeer>().ToList();

        End(fetches[0], RangeOutcomeKind.Failed);

        var actions = Take();
        Assert.Equal(
            [(3u, FetchFailure.Unreachable), (20u, FetchFailure.Starved), (30u, FetchFailure.Starved)],
            actions.OfType<DownloadAction.ReportFailed>().Select(report => (report.Failed.Segment, report.Failed.Reason)));
        Assert.DoesNotContain(actions.OfType<DownloadAction.FetchFromPeer>(), fetch => fetch.Node == "p");
        Assert.Equal(PieceArrival.Expected, _downloader.ArrivalOf(5, reader: "p"));
    }

    [Fact]
    public void ArrivalOf_AssignedFromTheReaderAndNotBegun_ComesFromTheReader()
    {
        _downloader.DemandsChanged([new Demand(0, 40, 40)], TimeSpan.Zero, isAhead: true);
        Assign("p", 3, 7, 20);

        Assert.Equal(PieceArrival.FromReader, _downloader.ArrivalOf(20, reader: "p"));
        Assert.Equal(PieceArrival.Expected, _downloader.ArrivalOf(20, reader: "q"));
    }

    [Fact]
    public void AskUrgently_ThePieceIsWaitedForByAPeerAndAnotherHasIt_TheOtherIsAsked()
    {
        Demand(Whole);
        Assign("p", 7);
        var fetch = Take().OfType<DownloadAction.FetchFromPeer>().Single();
        Holders("q");
        Assert.Null(_downloader.AskUrgently(7, TimeSpan.Zero));

        _downloader.Waiting(fetch.Id, TimeSpan.Zero);

        Assert.Equal("q", _downloader.AskUrgently(7, TimeSpan.Zero)?.Node);
    }

    [Fact]
    public void Ask_WithoutAnOwnerWhatIsFetchedAhead_FewPiecesAtATimeOfEachPeer()
    {
        var downloader = Create(Large);
        downloader.Pushed(new LookupResponse { Holders = { new Holder { Node = "p", Complete = true } } }, TimeSpan.Zero);
        downloader.OwnerLost(TimeSpan.Zero);
        downloader.TakeActions();

        downloader.DemandsChanged([Whole], TimeSpan.Zero, isAhead: true);

        var fetches = downloader.TakeActions().OfType<DownloadAction.FetchFromPeer>().ToList();
        Assert.Equal(Policy.RequestsAheadPerPeer, fetches.Count);
        Assert.All(fetches, static fetch => Assert.Equal(1, fetch.Count));
    }

    [Fact]
    public void Pushed_AssignedSegmentOfWhichAPartIsHere_OnlyTheRestIsFetched()
    {
        var layout = new ContentLayout(1L << 30);
        var have = new PieceSet(layout.PieceCount);
        have.Add(5);
        var downloader = Create(layout, have);
        downloader.DemandsChanged([Whole], TimeSpan.Zero);

        downloader.Pushed(Assigned("p", 0, 1), TimeSpan.Zero);

        Assert.Equal([(0, 4), (4, 1), (6, 2)], downloader.TakeActions().Cast<DownloadAction.FetchFromPeer>().Select(fetch => (fetch.First, fetch.Count)));
    }

    [Fact]
    public void Pushed_AssignedWhatIsHereOrNoSegmentAtAll_NothingIsFetched()
    {
        Demand(Whole);
        _downloader.PieceArrived(3, TimeSpan.Zero);

        _downloader.Pushed(
            new LookupResponse { Assigned = { new Assignment { Node = "p", Segments = { new SegmentRun { First = 3, Count = 1 }, new SegmentRun { First = 40, Count = uint.MaxValue } } } } },
            TimeSpan.Zero);

        Assert.Empty(Take());
        Assert.Empty(_downloader.Fetching());
    }

    [Fact]
    public void Pushed_HoldersAreTold_NothingIsAskedOfThemWhileTheOwnerAssigns()
    {
        Demand(Whole);
        Holders("p", "q");
        Assert.Empty(Take());

        Assign("p", 3);
        Tick(Policy.AssignmentPatience);

        Assert.Equal([3], PeerPieces(Take()));
    }

    [Fact]
    public void Tick_NothingIsUnderWayForLong_WhatIsKnownIsAskedOfPeers()
    {
        Demand(Whole);
        Holders("p", "q");
        Tick(Policy.AssignmentPatience - TimeSpan.FromTicks(1));
        Assert.Empty(Take());

        Tick(Policy.AssignmentPatience);

        var fetches = Actions<DownloadAction.FetchFromPeer>();
        Assert.Equal(2 * Policy.RequestsPerPeer, fetches.Count);
        Assert.All(fetches, fetch => Assert.False(fetch.IsAssigned));
    }

    [Theory]
    [InlineData((int)RangeOutcomeKind.Failed, (int)FetchFailure.Unreachable)]
    [InlineData((int)RangeOutcomeKind.NotAMember, (int)FetchFailure.Unreachable)]
    [InlineData((int)RangeOutcomeKind.Busy, (int)FetchFailure.Busy)]
    [InlineData((int)RangeOutcomeKind.NotHeld, (int)FetchFailure.NotHeld)]
    [InlineData((int)RangeOutcomeKind.Corrupt, (int)FetchFailure.Corrupt)]
    public void PeerRequestEnded_AssignedFetchFails_TheOwnerIsToldAndItIsLeftToIt(int outcome, int reason)
    {
        Demand(Whole);
        Assign("p", 3);
        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());

        End(fetch, (RangeOutcomeKind)outcome);

        var failed = Assert.IsType<DownloadAction.ReportFailed>(Assert.Single(Take())).Failed;
        Assert.Equal(new FailedFetch { Segment = 3, Node = "p", Reason = (FetchFailure)reason }, failed);
        Assert.Empty(_downloader.Fetching());
        Tick(TimeSpan.FromMilliseconds(100));
        Assert.Empty(Take());
        Assign("q", 3);
        Assert.Equal("q", Assert.Single(Actions<DownloadAction.FetchFromPeer>()).Node);
    }

    [Fact]
    public void PeerRequestEnded_SomeRangesOfASegmentFail_TheOwnerIsToldOnce()
    {
        var layout = new ContentLayout(1L << 30);
        var have = new PieceSet(layout.PieceCount);
        have.Add(1);
        var downloader = Create(layout, have);
        downloader.DemandsChanged([Whole], TimeSpan.Zero);
        downloader.Pushed(Assigned("p", 0), TimeSpan.Zero);
        var fetches = downloader.TakeActions().Cast<DownloadAction.FetchFromPeer>().ToList();
        Assert.Equal(2, fetches.Count);

        downloader.PeerRequestEnded(fetches[0].Id, RangeOutcomeKind.Failed, [], [], TimeSpan.Zero);
        downloader.PeerRequestEnded(fetches[1].Id, RangeOutcomeKind.Failed, [], [], TimeSpan.Zero);

        Assert.IsType<DownloadAction.ReportFailed>(Assert.Single(downloader.TakeActions()));
    }

    [Fact]
    public void Pushed_AssignedAnew_TheFormerFetchIsCancelledAndNotComplainedOf()
    {
        Demand(Whole);
        Assign("p", 3);
        var former = Assert.Single(Actions<DownloadAction.FetchFromPeer>());

        Assign("q", 3);
        Assert.Equal(new DownloadAction.Cancel(former.Id), Assert.Single(Take()));
        End(former, RangeOutcomeKind.Cancelled);

        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());
        Assert.Equal(("q", 3), (fetch.Node, fetch.First));
    }

    [Fact]
    public void Pushed_GrantedWhatWasAssigned_TheFetchIsCancelledAndItIsRead()
    {
        Demand(Whole);
        Assign("p", 3, 9);
        var former = Actions<DownloadAction.FetchFromPeer>().Single(fetch => fetch.First == 3);

        Granted(2, 2);
        Assert.Contains(new DownloadAction.Cancel(former.Id), Take());
        End(former, RangeOutcomeKind.Cancelled);

        var actions = Take();
        Assert.Contains(actions.OfType<DownloadAction.FetchFromOrigin>(), read => read.First == 3);
        Assert.Empty(actions.OfType<DownloadAction.ReportFailed>());
        Assert.Equal([9], SegmentRuns.Numbers(SegmentRuns.ToSet(_downloader.Fetching().Single().Segments, Layout)));
    }

    [Fact]
    public void Pushed_AssignedTwice_IsFetchedOnceAndItsFailureIsTold()
    {
        Demand(Whole);
        Assign("p", 3);
        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());

        Assign("p", 3);
        Assert.Empty(Take());
        End(fetch, RangeOutcomeKind.Busy);

        Assert.IsType<DownloadAction.ReportFailed>(Assert.Single(Take()));
    }

    [Fact]
    public void PeerRequestEnded_RestOfTheSegmentComesAnotherWay_NobodyIsBlamed()
    {
        var downloader = Create(Large);
        downloader.DemandsChanged([Whole], TimeSpan.Zero);
        downloader.Pushed(new LookupResponse { Holders = { new Holder { Node = "q", Pieces = { new PieceRun { First = 0, Count = 1 } } } } }, TimeSpan.Zero);
        downloader.Tick(Policy.AssignmentPatience);
        var first = Assert.Single(downloader.TakeActions().Cast<DownloadAction.FetchFromPeer>());
        Assert.Equal((0, 1), (first.First, first.Count));
        downloader.Pushed(Assigned("p", 0), Policy.AssignmentPatience);
        var second = Assert.Single(downloader.TakeActions().Cast<DownloadAction.FetchFromPeer>());
        Assert.Equal((1, 1), (second.First, second.Count));

        downloader.PieceArrived(1, Policy.AssignmentPatience);
        downloader.PeerRequestEnded(second.Id, RangeOutcomeKind.Complete, [], [], Policy.AssignmentPatience);
        Assert.Empty(downloader.TakeActions());

        // When that way ends without it, the one that was assigned brings the rest, too.
        downloader.PeerRequestEnded(first.Id, RangeOutcomeKind.Failed, [], [], Policy.AssignmentPatience);
        var rest = Assert.IsType<DownloadAction.FetchFromPeer>(Assert.Single(downloader.TakeActions()));
        Assert.Equal(("p", 0, 1), (rest.Node, rest.First, rest.Count));
    }

    [Fact]
    public void Tick_PeerHasBytesAndSendsNone_IsMovedAndCalledSlow()
    {
        Demand(Whole);
        Assign("p", 3);
        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());
        Pass(_downloader, TimeSpan.Zero, TimeSpan.FromSeconds(2));
        Assert.Empty(Take());

        Tick(TimeSpan.FromSeconds(2) + TimeSpan.FromTicks(1));
        Assert.Equal(new DownloadAction.Cancel(fetch.Id), Assert.Single(Take()));
        Tick(TimeSpan.FromSeconds(3));
        Assert.Empty(Take());
        End(fetch, RangeOutcomeKind.Cancelled);

        Assert.Equal(FetchFailure.Slow, Assert.IsType<DownloadAction.ReportFailed>(Assert.Single(Take())).Failed.Reason);
        Assert.Equal((1, 0), _downloader.Hedges);
    }

    // The machine stood still, or had no time for this: what has come meanwhile is seen next.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Tick_NobodyLookedForLong_NoPeerIsGivenUpForThat(bool isWaiting)
    {
        Demand(Whole);
        Assign("p", 3);
        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());
        if (isWaiting)
        {
            _downloader.Waiting(fetch.Id, TimeSpan.Zero);
        }

        var late = TimeSpan.FromSeconds(9);
        Pass(_downloader, TimeSpan.Zero, TimeSpan.FromSeconds(1));
        Pass(_downloader, late, late + TimeSpan.FromSeconds(0.8));
        Assert.Empty(Take());

        Pass(_downloader, late + TimeSpan.FromSeconds(0.8), late + TimeSpan.FromSeconds(1.5));
        Assert.Equal(new DownloadAction.Cancel(fetch.Id), Assert.Single(Take()));
    }

    [Fact]
    public void Tick_PeerWaitsItself_IsCalledStarvedAndItIsNoHedge()
    {
        Demand(Whole);
        Assign("p", [.. Enumerable.Range(0, 10)]);
        var fetches = Actions<DownloadAction.FetchFromPeer>();
        fetches.ForEach(fetch => _downloader.Waiting(fetch.Id, TimeSpan.Zero));
        Pass(_downloader, TimeSpan.Zero, Policy.StarvedPatience);
        Assert.Empty(Take());

        Tick(Policy.StarvedPatience + TimeSpan.FromTicks(1));
        Assert.Equal(fetches.Select(fetch => fetch.Id), Actions<DownloadAction.Cancel>().Select(cancel => cancel.Id));
        fetches.ForEach(fetch => End(fetch, RangeOutcomeKind.Cancelled));

        Assert.All(Actions<DownloadAction.ReportFailed>(), failed => Assert.Equal(FetchFailure.Starved, failed.Failed.Reason));
        Assert.Equal((0, 0), _downloader.Hedges);
    }

    [Fact]
    public void BytesArrived_AfterWaiting_PatienceBeginsAnew()
    {
        var downloader = Create(Large);
        downloader.DemandsChanged([Whole], TimeSpan.Zero);
        downloader.Pushed(Assigned("p", 0), TimeSpan.Zero);
        var fetch = Assert.Single(downloader.TakeActions().Cast<DownloadAction.FetchFromPeer>());
        downloader.Waiting(fetch.Id, TimeSpan.Zero);

        Pass(downloader, TimeSpan.Zero, TimeSpan.FromSeconds(1.9));
        downloader.BytesArrived(0, TimeSpan.FromSeconds(1.9));
        Pass(downloader, TimeSpan.FromSeconds(1.9), TimeSpan.FromSeconds(3.8));
        Assert.Empty(downloader.TakeActions());
        Pass(downloader, TimeSpan.FromSeconds(3.8), TimeSpan.FromSeconds(4));

        Assert.IsType<DownloadAction.Cancel>(Assert.Single(downloader.TakeActions()));
    }

    [Fact]
    public void Tick_EverythingIsSlow_OnlyAFewAreMoved()
    {
        var downloader = Create(Large);
        downloader.DemandsChanged([Whole], TimeSpan.Zero);
        for (var round = 0; round < 20; round++)
        {
            var start = TimeSpan.FromSeconds(6 * round);
            downloader.Pushed(Assigned("p", [.. Enumerable.Range(8 * round, 8)]), start);
            var fetches = downloader.TakeActions().OfType<DownloadAction.FetchFromPeer>().Where(fetch => fetch.IsAssigned).ToList();
            Pass(downloader, start, start + TimeSpan.FromSeconds(5));
            downloader.TakeActions();
            Assert.InRange(downloader.Hedges.Moved, 1, Policy.LeastHedges + (Policy.HedgeBudget * 8 * (round + 1)) + 1);
            fetches.ForEach(fetch => Arrive(downloader, fetch.First, fetch.Count, start + TimeSpan.FromSeconds(5)));
            fetches.ForEach(fetch => downloader.PeerRequestEnded(fetch.Id, RangeOutcomeKind.Cancelled, [], [], start + TimeSpan.FromSeconds(5)));
            downloader.TakeActions();
        }

        Assert.Equal(160, downloader.Hedges.Moved + downloader.Hedges.Refused);
    }

    [Fact]
    public void Tick_OnlyPeerSendsMuchLessThanTheOrigin_AllThatItSendsIsCalledSlow()
    {
        var downloader = Create(Large);
        var fetches = FetchAndRead(downloader, "p");
        Pass(downloader, TimeSpan.Zero, Policy.StallPatience - Step, framesOfPeer: 1, framesOfOrigin: 5);
        Assert.Empty(downloader.TakeActions());

        Pass(downloader, Policy.StallPatience - Step, Policy.StallPatience, framesOfPeer: 1, framesOfOrigin: 5);
        Assert.Equal(fetches.Select(fetch => fetch.Id), downloader.TakeActions().Cast<DownloadAction.Cancel>().Select(cancel => cancel.Id));
        fetches.ForEach(fetch => downloader.PeerRequestEnded(fetch.Id, RangeOutcomeKind.Cancelled, [], [], Policy.StallPatience));
        Assert.All(downloader.TakeActions().Cast<DownloadAction.ReportFailed>(), failed => Assert.Equal(FetchFailure.Slow, failed.Failed.Reason));

        // It is not moved to another holder: the budget is for those.
        Assert.Equal((0, 0), downloader.Hedges);

        // And it is looked at anew from here on.
        downloader.Pushed(Assigned("p", 8), Policy.StallPatience);
        Assert.Single(downloader.TakeActions());
        Pass(downloader, Policy.StallPatience, (2 * Policy.StallPatience) - Step, framesOfPeer: 1, framesOfOrigin: 5);
        Assert.Empty(downloader.TakeActions());
    }

    [Theory]
    [InlineData("p", "p", 1, 4)]
    [InlineData("p", "q", 1, 100)]
    [InlineData("p", "p", 1, 0)]
    public void Tick_OnlyPeerIsNotFarSlowerThanTheOriginOrThereAreOthers_IsLeftAlone(string peer, string other, int framesOfPeer, int framesOfOrigin)
    {
        var downloader = Create(Large);
        FetchAndRead(downloader, peer, other);

        Pass(downloader, TimeSpan.Zero, 1.9 * Policy.StallPatience, framesOfPeer, framesOfOrigin);

        Assert.Empty(downloader.TakeActions());
    }

    [Fact]
    public void Tick_DownloadBeginsLate_TheTimeBeforeDoesNotCount()
    {
        var begun = TimeSpan.FromHours(1);
        var downloader = new Downloader(Large, new PieceSet(Large.PieceCount), Policy, seed: 1, begun);
        FetchAndRead(downloader, "p", now: begun);

        Pass(downloader, begun, begun + Policy.StallPatience - Step, framesOfPeer: 1, framesOfOrigin: 100);

        Assert.Empty(downloader.TakeActions());
    }

    [Fact]
    public void Tick_NobodyLookedForAWhile_TheTimeDoesNotCount()
    {
        var downloader = Create(Large);
        FetchAndRead(downloader, "p");
        Pass(downloader, TimeSpan.Zero, Policy.StallPatience / 2, framesOfPeer: 1, framesOfOrigin: 5);

        downloader.Tick(1.5 * Policy.StallPatience);

        Assert.Empty(downloader.TakeActions());
    }

    [Fact]
    public void Tick_OnlyPeerWaitsItself_IsNotComparedWithTheOrigin()
    {
        var downloader = Create(Large);
        var fetches = FetchAndRead(downloader, "p");
        fetches.ForEach(fetch => downloader.Waiting(fetch.Id, TimeSpan.Zero));

        Pass(downloader, TimeSpan.Zero, 1.9 * Policy.StallPatience, framesOfPeer: 0, framesOfOrigin: 5);

        Assert.Empty(downloader.TakeActions());
    }

    [Fact]
    public void Tick_AllHoldersFailAgainAndAgain_TheOriginIsReadWithoutLongWaiting()
    {
        Holders("p");
        Demand(Whole);
        var now = TimeSpan.Zero;
        for (var piece = 0; now <= Policy.Patience; now += TimeSpan.FromMilliseconds(20))
        {
            _downloader.Tick(now);
            var actions = Take();
            if (actions.OfType<DownloadAction.FetchFromOrigin>().Any())
            {
                break;
            }

            foreach (var fetch in actions.Cast<DownloadAction.FetchFromPeer>())
            {
                // It always sends a little before it fails: patience alone would start anew each time.
                _downloader.PieceArrived(piece++, now);
                _downloader.PeerRequestEnded(fetch.Id, RangeOutcomeKind.Failed, [], [], now);
            }
        }

        Assert.InRange(now, TimeSpan.FromSeconds(5), Policy.Patience);
    }

    [Fact]
    public void DemandsChanged_WithoutAnOwnerAPartIsWanted_OnlyThatIsAskedOfPeers()
    {
        Holders("p", "q");
        _downloader.OwnerLost(TimeSpan.Zero);
        Assert.Empty(Take());

        Demand(new Demand(10, 20, 3), new Demand(30, 32, int.MaxValue));

        Assert.Equal([10, 11, 12, 30, 31], PeerPieces(Take()).Order());
    }

    [Fact]
    public void OwnerLost_SeveralPeersAndLargeSegments_RangesStayShort()
    {
        var layout = new ContentLayout(4L << 30);
        Assert.True(layout.SegmentSize > Policy.LongestRange);
        var downloader = Create(layout);
        downloader.Pushed(new LookupResponse { Holders = { new Holder { Node = "p", Complete = true }, new Holder { Node = "q", Complete = true } } }, TimeSpan.Zero);
        downloader.DemandsChanged([new Demand(0, layout.PieceCount, int.MaxValue)], TimeSpan.Zero);

        downloader.OwnerLost(TimeSpan.Zero);

        var fetches = downloader.TakeActions().Cast<DownloadAction.FetchFromPeer>().ToList();
        Assert.Equal(2 * Policy.RequestsPerPeer, fetches.Count);
        Assert.All(fetches, fetch => Assert.InRange((long)fetch.Count * layout.PieceSize, 1, Policy.LongestRange));
    }

    [Fact]
    public void OwnerLost_ManyPeers_HalfIsInOrderAndHalfIsNot()
    {
        var downloader = Create(Large);
        downloader.Pushed(new LookupResponse { Holders = { Enumerable.Range(0, 10).Select(i => new Holder { Node = $"p{i}", Complete = true }) } }, TimeSpan.Zero);
        downloader.DemandsChanged([Whole], TimeSpan.Zero);

        downloader.OwnerLost(TimeSpan.Zero);

        var fetches = downloader.TakeActions().Cast<DownloadAction.FetchFromPeer>().ToList();
        Assert.Equal(Policy.Requests, fetches.Count);
        Assert.InRange(fetches.Count(fetch => fetch.First < 2 * Policy.Requests), Policy.Requests / 2, Policy.Requests - 2);
        Assert.All(fetches, fetch => Assert.InRange(fetch.First, 0, (Policy.Window * Large.PiecesPerSegment) + (2 * Policy.Requests)));
    }

    [Fact]
    public void OwnerLost_FetchesAreUnderWay_TheyGoOnAndAreToldToTheNextOwner()
    {
        Demand(Whole);
        Assign("p", 3, 4, 9);
        Granted(20, 2);
        Take();

        _downloader.OwnerLost(TimeSpan.Zero);
        _downloader.SessionStarted();

        Assert.Empty(Take());
        var fetching = Assert.Single(_downloader.Fetching());
        Assert.Equal(("p", "3,4,9"), (fetching.Node, string.Join(',', ToldNodes.Segments(fetching.Segments))));
        Assert.Equal([20, 21], ToldNodes.Segments(_downloader.Reading()));
    }

    [Fact]
    public void SessionStarted_GrantsThatAreNotBeingRead_AreVoid()
    {
        Demand(new Demand(0, 2, int.MaxValue));
        Granted(0, 10);
        Assert.Equal((0, 2), Actions<DownloadAction.FetchFromOrigin>().Select(read => (read.First, read.Count)).Single());

        _downloader.SessionStarted();
        Demand(Whole);

        Assert.Empty(Take().OfType<DownloadAction.FetchFromOrigin>());
        Assert.Equal([0, 1], ToldNodes.Segments(_downloader.Reading()));
    }

    [Fact]
    public void Pushed_RevokedAndGrantedInOnePush_IsReadAfterTheStalledReadHasEnded()
    {
        Demand(Whole);
        Granted(0, 10);
        var read = Assert.Single(Actions<DownloadAction.FetchFromOrigin>());

        _downloader.Pushed(
            new LookupResponse { Revoked = { new SegmentRun { Count = 10 } }, Granted = { new SegmentRun { Count = 10 } } }, TimeSpan.FromSeconds(3));

        Assert.Equal(new DownloadAction.Cancel(read.Id), Assert.Single(Take()));
        _downloader.OriginRequestEnded(read.Id, succeeded: true, TimeSpan.Zero, TimeSpan.FromSeconds(3));
        var again = Assert.Single(Actions<DownloadAction.FetchFromOrigin>());
        Assert.Equal((0, 10), (again.First, again.Count));
    }

    [Fact]
    public void Pushed_Revoked_IsNotReadAgain()
    {
        Demand(Whole);
        Granted(0, 4);
        var read = Assert.Single(Actions<DownloadAction.FetchFromOrigin>());
        _downloader.Pushed(new LookupResponse { Revoked = { new SegmentRun { First = 1, Count = 2 } } }, TimeSpan.Zero);
        Assert.Equal(new DownloadAction.Cancel(read.Id), Assert.Single(Take()));

        _downloader.OriginRequestEnded(read.Id, succeeded: true, TimeSpan.Zero, TimeSpan.Zero);

        Assert.Equal([(0, 1), (3, 1)], Actions<DownloadAction.FetchFromOrigin>().Select(next => (next.First, next.Count)));
    }

    [Fact]
    public void Pushed_Reclaimed_AllThatIsNotBeingReadIsGivenBack()
    {
        var policy = new DownloaderPolicy { FirstOriginRead = 4 * KiB64, OriginRequests = 1 };
        var downloader = Create(Layout, policy: policy);
        downloader.DemandsChanged([Whole], TimeSpan.Zero);
        downloader.Pushed(new LookupResponse { Granted = { new SegmentRun { Count = 10 } } }, TimeSpan.Zero);
        Assert.IsType<DownloadAction.FetchFromOrigin>(Assert.Single(downloader.TakeActions()));

        downloader.Pushed(new LookupResponse { Reclaimed = { new SegmentRun { First = 2, Count = uint.MaxValue }, new SegmentRun { First = uint.MaxValue, Count = 9 } } }, TimeSpan.Zero);

        var giveBack = Assert.IsType<DownloadAction.GiveBack>(Assert.Single(downloader.TakeActions()));
        Assert.False(giveBack.OriginFailed);
        Assert.Equal(Enumerable.Range(4, 6), ToldNodes.Segments(giveBack.Segments));
    }

    [Fact]
    public void Pushed_GrantOlderThanWhatHasArrived_IsNotGivenBack()
    {
        var downloader = Create(Layout);
        downloader.DemandsChanged([Whole], TimeSpan.Zero);
        var read = downloader.OriginRequestStarted(0, 4, TimeSpan.Zero);
        Arrive(downloader, 0, 4);
        downloader.OriginRequestEnded(read, succeeded: true, TimeSpan.Zero, TimeSpan.Zero);

        downloader.Pushed(new LookupResponse { Granted = { new SegmentRun { Count = 4 } }, Reclaimed = { new SegmentRun { Count = 4 } } }, TimeSpan.Zero);

        Assert.Empty(downloader.TakeActions());
    }

    [Fact]
    public void Pushed_ReclaimedSegmentsHereInPart_WhatAReaderNeedsStays()
    {
        var layout = new ContentLayout(1L << 30);
        var downloader = Create(layout, policy: new DownloaderPolicy { FirstOriginRead = layout.PieceSize, OriginRequests = 1 });
        downloader.DemandsChanged([new Demand(0, layout.PiecesPerSegment, int.MaxValue)], TimeSpan.Zero);
        Arrive(downloader, 0, 1);
        Arrive(downloader, layout.PiecesPerSegment, 1);
        downloader.TakeActions();

        downloader.Pushed(
            new LookupResponse { OriginPauseMs = 1000, Granted = { new SegmentRun { Count = 3 } }, Reclaimed = { new SegmentRun { Count = 3 } } }, TimeSpan.Zero);

        var giveBack = Assert.Single(downloader.TakeActions().OfType<DownloadAction.GiveBack>());
        Assert.Equal([1, 2], ToldNodes.Segments(giveBack.Segments));
    }

    [Fact]
    public void Pushed_Reclaimed_RequestsToTheOriginAreShortAgain()
    {
        var layout = new ContentLayout(100L << 20);
        var downloader = Create(layout, policy: new DownloaderPolicy { OriginRequests = 1 });
        downloader.DemandsChanged([Whole], TimeSpan.Zero);
        downloader.Pushed(new LookupResponse { Granted = { new SegmentRun { Count = uint.MaxValue } } }, TimeSpan.Zero);
        var read = Assert.Single(downloader.TakeActions().Cast<DownloadAction.FetchFromOrigin>());
        for (var i = 0; i < 3; i++)
        {
            Arrive(downloader, read.First, read.Count);
            downloader.OriginRequestEnded(read.Id, succeeded: true, TimeSpan.Zero, TimeSpan.Zero);
            read = Assert.Single(downloader.TakeActions().Cast<DownloadAction.FetchFromOrigin>());
        }

        downloader.Pushed(new LookupResponse { Reclaimed = { new SegmentRun { First = 0, Count = 1 } } }, TimeSpan.Zero);
        Arrive(downloader, read.First, read.Count);
        downloader.OriginRequestEnded(read.Id, succeeded: true, TimeSpan.Zero, TimeSpan.Zero);

        var next = Assert.Single(downloader.TakeActions().OfType<DownloadAction.FetchFromOrigin>());
        Assert.InRange(next.Count * layout.PieceSize, 1, 2 * Policy.FirstOriginRead);
    }

    [Fact]
    public void OriginRequestEnded_Failed_AllGrantsAreGivenBack()
    {
        Demand(Whole);
        Granted(0, 10);
        var read = Assert.Single(Actions<DownloadAction.FetchFromOrigin>());
        _downloader.PieceArrived(0, TimeSpan.Zero);

        _downloader.OriginRequestEnded(read.Id, succeeded: false, TimeSpan.Zero, TimeSpan.Zero);

        var giveBack = Assert.IsType<DownloadAction.GiveBack>(Assert.Single(Take()));
        Assert.Equal((true, TimeSpan.Zero), (giveBack.OriginFailed, giveBack.OriginPause));
        Assert.Equal(Enumerable.Range(1, 9), ToldNodes.Segments(giveBack.Segments));
    }

    [Fact]
    public void OriginRequestEnded_OriginAsksForAPause_TheOwnerIsToldAndNothingIsReadMeanwhile()
    {
        Demand(Whole);
        Granted(0, 40);
        var reads = Actions<DownloadAction.FetchFromOrigin>();
        var pause = TimeSpan.FromSeconds(9);

        _downloader.OriginRequestEnded(reads[0].Id, succeeded: false, pause, TimeSpan.Zero);

        var giveBack = Assert.Single(Actions<DownloadAction.GiveBack>());
        Assert.Equal((true, pause), (giveBack.OriginFailed, giveBack.OriginPause));
        Assert.Equal(Enumerable.Range(0, 40), ToldNodes.Segments(giveBack.Segments));
        reads.Skip(1).ToList().ForEach(read => _downloader.OriginRequestEnded(read.Id, succeeded: false, pause, TimeSpan.Zero));
        Actions<DownloadAction.GiveBack>();

        // Another owner is told what the origin said, and not what an owner makes of it.
        _downloader.Pushed(new LookupResponse { OriginPauseMs = 60_000 }, TimeSpan.Zero);
        _downloader.Pushed(new LookupResponse { OriginPauseMs = (uint)pause.TotalMilliseconds }, TimeSpan.Zero);
        Assert.Equal(8000U, _downloader.OriginPauseMs(TimeSpan.FromSeconds(1)));
        Tick(pause);
        Assert.Empty(Take());
        Assert.Equal(0U, _downloader.OriginPauseMs(pause));

        _downloader.Pushed(new LookupResponse { Granted = { new SegmentRun { Count = 1 } } }, pause);
        Assert.True(Assert.Single(Actions<DownloadAction.FetchFromOrigin>()).IsGranted);
    }

    [Fact]
    public void OriginRefused_ItAsksForAPause_TheOwnerIsToldAndNothingIsReadMeanwhile()
    {
        var pause = TimeSpan.FromSeconds(9);
        var downloader = Create(Layout);
        downloader.DemandsChanged([Whole], TimeSpan.Zero);
        downloader.Pushed(new LookupResponse { State = LookupState.Available }, TimeSpan.Zero);

        downloader.OriginRefused(pause, TimeSpan.Zero);

        var giveBack = Assert.IsType<DownloadAction.GiveBack>(Assert.Single(downloader.TakeActions()));
        Assert.Equal((true, pause), (giveBack.OriginFailed, giveBack.OriginPause));
        downloader.Tick(pause / 2);
        Assert.Empty(downloader.TakeActions());
        Assert.Equal(4500U, downloader.OriginPauseMs(pause / 2));
    }

    [Fact]
    public void Pushed_OriginPaused_WhatIsGrantedAndNotBegunIsGivenBack()
    {
        var policy = new DownloaderPolicy { FirstOriginRead = 4 * KiB64, OriginRequests = 1 };
        var downloader = Create(Layout, policy: policy);
        downloader.DemandsChanged([Whole], TimeSpan.Zero);
        downloader.Pushed(new LookupResponse { Granted = { new SegmentRun { Count = 10 } } }, TimeSpan.Zero);
        var read = Assert.Single(downloader.TakeActions().Cast<DownloadAction.FetchFromOrigin>());

        downloader.Pushed(new LookupResponse { OriginPauseMs = 3000 }, TimeSpan.Zero);

        var giveBack = Assert.IsType<DownloadAction.GiveBack>(Assert.Single(downloader.TakeActions()));
        Assert.False(giveBack.OriginFailed);
        Assert.Equal(Enumerable.Range(4, 6), ToldNodes.Segments(giveBack.Segments));
        Arrive(downloader, read.First, read.Count);
        downloader.OriginRequestEnded(read.Id, succeeded: true, TimeSpan.Zero, TimeSpan.Zero);
        Assert.Empty(downloader.TakeActions());
    }

    /// <summary>All nodes of a herd would read the same at the same moment: the owner deals first.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Tick_PauseOfTheOriginIsOver_ThereIsTimeForTheOwnerToGrant(bool isUnavailable)
    {
        Demand(Whole);
        var pause = TimeSpan.FromSeconds(19);
        _downloader.Pushed(new LookupResponse { OriginPauseMs = (uint)pause.TotalMilliseconds, State = isUnavailable ? LookupState.Unavailable : LookupState.Available }, TimeSpan.Zero);
        for (var now = TimeSpan.FromSeconds(9.5); now <= pause; now += TimeSpan.FromMilliseconds(20))
        {
            Tick(now);
        }

        Tick(pause);
        Assert.Empty(Take());
        Assert.False(_downloader.HasFailed);

        Tick(pause + Policy.Patience + Policy.PatienceSpread);
        Assert.False(Assert.Single(Actions<DownloadAction.FetchFromOrigin>()).IsGranted);
    }

    [Fact]
    public void Tick_OriginPausesForLongerThanPatience_GivesUp()
    {
        Demand(Whole);
        _downloader.Pushed(new LookupResponse { OriginPauseMs = 60_000 }, TimeSpan.Zero);
        Tick(Policy.Patience - TimeSpan.FromTicks(1));
        Assert.Empty(Take());

        Tick(Policy.Patience);

        Assert.IsType<DownloadAction.Fail>(Assert.Single(Take()));
    }

    // An owner that makes up pauses, be they short, is found out.
    [Theory]
    [InlineData(1000)]
    [InlineData(9000)]
    public void Pushed_AShortPauseAgainAndAgain_TheOriginIsAskedAndTheOwnerNotBelievedAnyMore(int pause)
    {
        Demand(Whole);
        var end = 2 * Policy.Patience;
        for (var now = TimeSpan.Zero; now < end; now += TimeSpan.FromMilliseconds(500))
        {
            Pause(now);
            Assert.Empty(Take());
        }

        Pause(end);
        for (var i = 0; i < Layout.PieceCount; i++)
        {
            var read = Assert.Single(Actions<DownloadAction.FetchFromOrigin>());
            Assert.Equal((1, false), (read.Count, read.IsGranted));
            Pause(end);
            Assert.Empty(Take());
            _downloader.PieceArrived(read.First, end);
            _downloader.OriginRequestEnded(read.Id, succeeded: true, TimeSpan.Zero, end);
            Pause(end);
        }

        Assert.True(_downloader.IsComplete);

        void Pause(TimeSpan now)
        {
            _downloader.Pushed(new LookupResponse { OriginPauseMs = (uint)pause }, now);
            Tick(now);
        }
    }

    [Fact]
    public void Pushed_AShortPauseAgainAndAgainToWhoCannotReachTheOrigin_GivesUp()
    {
        Demand(Whole);
        Granted(0, 40);
        Actions<DownloadAction.FetchFromOrigin>().ToList().ForEach(read => _downloader.OriginRequestEnded(read.Id, succeeded: false, TimeSpan.Zero, TimeSpan.Zero));
        Take();
        var end = 2 * Policy.Patience;
        for (var now = TimeSpan.Zero; now < end; now += TimeSpan.FromMilliseconds(500))
        {
            _downloader.Pushed(new LookupResponse { OriginPauseMs = 1000 }, now);
            Tick(now);
            Assert.Empty(Take());
        }

        Tick(end);

        Assert.IsType<DownloadAction.Fail>(Assert.Single(Take()));
    }

    // A peer that sends nothing is no reason to wait, either.
    [Fact]
    public void Pushed_AShortPauseAgainAndAgainWhileAPeerKeepsItWaiting_TheOriginIsAsked()
    {
        Demand(Whole);
        Assign("p", 0);
        var request = Assert.Single(Actions<DownloadAction.FetchFromPeer>());
        var end = 2 * Policy.Patience;
        for (var now = TimeSpan.Zero; now < end; now += TimeSpan.FromMilliseconds(500))
        {
            _downloader.Waiting(request.Id, now);
            _downloader.Pushed(new LookupResponse { OriginPauseMs = 9000 }, now);
            Assert.DoesNotContain(Take(), action => action is DownloadAction.FetchFromOrigin or DownloadAction.Fail);
        }

        Tick(end);

        Assert.Contains(Take(), action => action is DownloadAction.FetchFromOrigin { IsGranted: false });
    }

    // The registry itself asks for a pause after each answer, or after a long time without one: who waits for it goes on.
    [Theory]
    [InlineData(5, 12)]
    [InlineData(1, 1)]
    public void OriginRequestEnded_TheOriginAsksForShortPauses_NothingFails(int seconds, int times)
    {
        Demand(Whole);
        var now = TimeSpan.FromSeconds(0.1);
        for (var i = 0; i < times; i++)
        {
            _downloader.Pushed(new LookupResponse { Granted = { new SegmentRun { Count = 40 } } }, now);
            var read = Actions<DownloadAction.FetchFromOrigin>();
            Assert.NotEmpty(read);

            // Nothing comes for longer than anybody waits without a pause.
            now += times == 1 ? 3 * Policy.Patience : TimeSpan.Zero;
            read.ToList().ForEach(request => _downloader.OriginRequestEnded(request.Id, succeeded: false, TimeSpan.FromSeconds(seconds), now));
            for (var end = now + TimeSpan.FromSeconds(seconds); now < end; now += Step)
            {
                Tick(now);
            }

            Assert.DoesNotContain(Take(), action => action is DownloadAction.Fail or DownloadAction.FetchFromOrigin);
        }

        Assert.False(_downloader.HasFailed);
    }

    [Fact]
    public void Pushed_AShortPauseWhileTheLastResortBringsBytes_ReadsOn()
    {
        Demand(Whole);
        var now = Policy.Patience + Policy.PatienceSpread;
        Tick(now);
        var read = Assert.Single(Actions<DownloadAction.FetchFromOrigin>());
        Assert.False(read.IsGranted);
        for (var i = 0; i < 60; i++)
        {
            now += TimeSpan.FromSeconds(1);
            _downloader.BytesArrived(read.First, now);
            _downloader.Pushed(new LookupResponse { OriginPauseMs = 1000 }, now);
            Tick(now);
        }

        Assert.Empty(Take());
        Assert.False(_downloader.HasFailed);
    }

    // What has been read of a grant was not told, and its owner waits for it.
    [Fact]
    public void StartOver_AnotherNodeFoundWrongBytes_GrantsAreGivenBackAndAllIsWantedAgain()
    {
        Demand(Whole);
        Granted(0, 2);
        var read = Assert.Single(Actions<DownloadAction.FetchFromOrigin>());
        Arrive(_downloader, read.First, 1);

        _downloader.StartOver(TimeSpan.Zero, isTrusting: true);

        var actions = _downloader.TakeActions();
        Assert.Equal(read.Id, Assert.Single(actions.OfType<DownloadAction.Cancel>()).Id);
        Assert.IsType<DownloadAction.AskAgain>(actions[^2]);
        var givenBack = Assert.IsType<DownloadAction.GiveBack>(actions[^1]);
        Assert.Equal([new SegmentRun { Count = (uint)Layout.SegmentCount }], givenBack.Segments);
        Assert.False(givenBack.OriginFailed);
        Assert.Empty(_downloader.TakeWanted());
        _downloader.OriginRequestEnded(read.Id, succeeded: true, TimeSpan.Zero, TimeSpan.Zero);
        Assert.Empty(_downloader.TakeActions());

        Granted(0, 2);
        Assert.Equal(0, Assert.Single(Actions<DownloadAction.FetchFromOrigin>()).First);
    }

    [Fact]
    public void StartOver_PeersHaveAll_OnlyTheOriginIsUsed()
    {
        Demand(new Demand(0, 40, int.MaxValue));
        Assign("p", 0, 1, 2);
        Assign("q", 3, 4);
        var requests = Actions<DownloadAction.FetchFromPeer>();
        Assert.Equal(5, requests.Count);

        _downloader.StartOver(TimeSpan.Zero);
        var actions = _downloader.TakeActions();
        Assert.Equal(requests.Select(request => request.Id).Order(), actions.OfType<DownloadAction.Cancel>().Select(cancel => cancel.Id).Order());
        Assert.Equal([0, 1, 2, 3, 4], actions.OfType<DownloadAction.ReportFailed>().Select(failed => (int)failed.Failed.Segment));
        Assert.Single(actions.OfType<DownloadAction.AskAgain>());
        Assert.Equal([new PieceRun()], _downloader.TakeWanted());
        foreach (var request in requests)
        {
            End(request, RangeOutcomeKind.Cancelled);
        }

        var now = TimeSpan.Zero;
        while (!_downloader.IsComplete)
        {
            Holders("p", "r");
            Assign("p", 5);
            actions = _downloader.TakeActions();
            if (actions.Count == 0)
            {
                now += TimeSpan.FromMilliseconds(50);
                _downloader.Tick(now);
                continue;
            }

            var read = Assert.IsType<DownloadAction.FetchFromOrigin>(Assert.Single(actions));
            Assert.InRange(read.Count, 1, Layout.PiecesPerSegment);
            Arrive(_downloader, read.First, read.Count, now);
            _downloader.OriginRequestEnded(read.Id, succeeded: true, TimeSpan.Zero, now);
        }

        Assert.Equal(TimeSpan.FromMilliseconds(50), now);
    }

    [Fact]
    public void PeerRequestEnded_WithoutAnOwnerNotHeld_WhatIsHeldBehindIsStillAskedForAndTheRestIsNot()
    {
        _downloader.Pushed(
            new LookupResponse { Holders = { new Holder { Node = "p", Pieces = { Run(0, 2), Run(3, 1) }, Receiving = { Run(2, 1), Run(4, 2) } } } }, TimeSpan.Zero);
        Demand(new Demand(0, 40, int.MaxValue));
        _downloader.OwnerLost(TimeSpan.Zero);
        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());
        Assert.Equal((0, 6), (fetch.First, fetch.Count));
        _downloader.PieceArrived(0, TimeSpan.Zero);
        _downloader.PieceArrived(1, TimeSpan.Zero);

        End(fetch, RangeOutcomeKind.NotHeld);

        Assert.Equal([3], PeerPieces(Take()));
    }

    [Fact]
    public void PeerRequestEnded_WithoutAnOwnerNotHeldButToldAsHeldSince_IsAskedForAgain()
    {
        _downloader.Pushed(new LookupResponse { Holders = { new Holder { Node = "p", Receiving = { Run(3, 1) } } } }, TimeSpan.Zero);
        Demand(new Demand(0, 40, int.MaxValue));
        _downloader.OwnerLost(TimeSpan.Zero);
        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());
        _downloader.Pushed(new LookupResponse { Holders = { new Holder { Node = "p", Pieces = { Run(2, 2) } } } }, TimeSpan.Zero);
        _downloader.OwnerLost(TimeSpan.Zero);
        var other = Assert.Single(Actions<DownloadAction.FetchFromPeer>());
        Assert.Equal((2, 1), (other.First, other.Count));

        End(fetch, RangeOutcomeKind.NotHeld);

        Assert.Equal([3], PeerPieces(Take()));
    }

    [Fact]
    public void PeerRequestEnded_WithoutAnOwnerThePeerTellsWhatItHas_ThatIsAskedFor()
    {
        _downloader.Pushed(new LookupResponse { Holders = { new Holder { Node = "p", Pieces = { Run(0, 1) } } } }, TimeSpan.Zero);
        Demand(new Demand(0, 40, int.MaxValue));
        _downloader.OwnerLost(TimeSpan.Zero);
        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());
        _downloader.PieceArrived(0, TimeSpan.Zero);

        _downloader.PeerRequestEnded(fetch.Id, RangeOutcomeKind.Complete, [], [Run(0, 1), Run(7, 2)], TimeSpan.Zero);

        Assert.Equal([7, 8], PeerPieces(Take()).Order());
    }

    [Fact]
    public void Pushed_HolderGoesAndComesBack_ItsRequestsStillCount()
    {
        var policy = new DownloaderPolicy { RequestsPerPeer = 2, LongestRange = KiB64 };
        var downloader = Create(Layout, policy: policy);
        var told = new LookupResponse { Holders = { new Holder { Node = "p", Complete = true } } };
        downloader.Pushed(told, TimeSpan.Zero);
        downloader.DemandsChanged([new Demand(0, 40, int.MaxValue)], TimeSpan.Zero);
        downloader.OwnerLost(TimeSpan.Zero);
        var requests = downloader.TakeActions().Cast<DownloadAction.FetchFromPeer>().ToList();
        Assert.Equal(2, requests.Count);

        downloader.Pushed(new LookupResponse { Gone = { "p" } }, TimeSpan.Zero);
        downloader.Pushed(told, TimeSpan.Zero);
        downloader.OwnerLost(TimeSpan.Zero);
        Assert.Empty(downloader.TakeActions());
        downloader.PeerRequestEnded(requests[0].Id, RangeOutcomeKind.Cancelled, [], [], TimeSpan.Zero);

        Assert.Single(downloader.TakeActions());
    }

    [Fact]
    public void Tick_WithoutAnOwnerBusyPeer_IsAskedAgainAfterThePause()
    {
        _downloader.Pushed(new LookupResponse { Holders = { new Holder { Node = "p", Pieces = { Run(0, 1) } } } }, TimeSpan.Zero);
        Demand(new Demand(0, 40, int.MaxValue));
        _downloader.OwnerLost(TimeSpan.Zero);
        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());

        End(fetch, RangeOutcomeKind.Busy);
        Tick(Policy.BusyPause - TimeSpan.FromTicks(1));
        Assert.Empty(Take());
        Tick(Policy.BusyPause);

        Assert.Single(Actions<DownloadAction.FetchFromPeer>());
    }

    [Fact]
    public void ArrivalOf_OnlyWhatComesFromTheOriginIsSureToCome()
    {
        Demand(Whole);
        Granted(0, 1);
        Assign("p", 3);
        Take();

        Assert.Equal(PieceArrival.Coming, _downloader.ArrivalOf(0, "p"));
        Assert.Equal(PieceArrival.FromReader, _downloader.ArrivalOf(3, "p"));
        Assert.Equal(PieceArrival.Expected, _downloader.ArrivalOf(3, "other"));
        Assert.Equal(PieceArrival.Expected, _downloader.ArrivalOf(3, null));
        Assert.Equal(PieceArrival.Expected, _downloader.ArrivalOf(5, "p"));
        var incoming = new PieceSet(Layout.PieceCount);
        _downloader.AddIncoming(incoming);
        Assert.Equal([(0, 1)], incoming.Runs());
    }

    [Fact]
    public void Tick_WithoutAnOwnerAllThatIsAskedForWaits_TheOriginIsRead()
    {
        _downloader.Pushed(new LookupResponse { Holders = { new Holder { Node = "p", Pieces = { Run(5, 1) } } } }, TimeSpan.Zero);
        Demand(new Demand(0, 40, int.MaxValue));
        _downloader.OwnerLost(TimeSpan.Zero);
        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());
        _downloader.Waiting(fetch.Id, TimeSpan.Zero);

        // The peer reads it from the origin: that may take a while.
        Tick(Policy.StarvedPatience - TimeSpan.FromTicks(1));
        Assert.Empty(Take());
        Tick(Policy.StarvedPatience);

        Assert.Contains(Take().OfType<DownloadAction.FetchFromOrigin>(), read => !read.IsGranted);
    }

    [Fact]
    public void Tick_WithoutAnOwnerAllThatWasAssignedWaits_TheOriginIsRead()
    {
        Demand(new Demand(0, 40, int.MaxValue));
        Assign("p", 5);
        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());
        _downloader.OwnerLost(TimeSpan.Zero);
        Take();
        _downloader.Waiting(fetch.Id, TimeSpan.Zero);

        Tick(Policy.OwnerlessPatience + Policy.OwnerlessSpreadAmongPeers);

        Assert.False(Assert.Single(Actions<DownloadAction.FetchFromOrigin>()).IsGranted);
    }

    [Fact]
    public void OwnerLost_NobodyHasIt_TheOriginIsReadAfterAMomentThatIsNotTheSameForAll()
    {
        var moments = new HashSet<TimeSpan>();
        for (var seed = 0; seed < 20; seed++)
        {
            var downloader = new Downloader(Layout, new PieceSet(40), Policy, seed, TimeSpan.Zero);
            downloader.DemandsChanged([new Demand(0, 40, int.MaxValue)], TimeSpan.Zero);
            downloader.OwnerLost(TimeSpan.Zero);
            var now = TimeSpan.Zero;
            for (var actions = downloader.TakeActions(); actions.Count == 0; actions = downloader.TakeActions())
            {
                now += TimeSpan.FromMilliseconds(1);
                downloader.Tick(now);
            }

            Assert.InRange(now, Policy.OwnerlessPatience, Policy.OwnerlessPatience + Policy.OwnerlessSpread);
            moments.Add(now);
        }

        Assert.InRange(moments.Count, 10, 20);
    }

    [Fact]
    public void Tick_OwnerThereAndNothingArrives_TheOriginIsTheLastResort()
    {
        Demand(new Demand(0, 40, int.MaxValue));
        Tick(Policy.Patience - TimeSpan.FromTicks(1));
        Assert.Empty(Take());

        Tick(Policy.Patience + Policy.PatienceSpread);

        Assert.False(Assert.Single(Actions<DownloadAction.FetchFromOrigin>()).IsGranted);
    }

    [Fact]
    public void Tick_OwnerThereAndNothingArrives_AHerdDoesNotReadTheOriginAtTheSameMoment()
    {
        var moments = new HashSet<TimeSpan>();
        for (var seed = 0; seed < 20; seed++)
        {
            var downloader = new Downloader(Layout, new PieceSet(40), Policy, seed, TimeSpan.Zero);
            downloader.DemandsChanged([new Demand(0, 40, int.MaxValue)], TimeSpan.Zero);
            var now = Policy.Patience;
            for (; !downloader.TakeActions().OfType<DownloadAction.FetchFromOrigin>().Any(); now += TimeSpan.FromMilliseconds(10))
            {
                Assert.True(now <= Policy.Patience + Policy.PatienceSpread + TimeSpan.FromMilliseconds(20));
                downloader.Tick(now);
            }

            moments.Add(now);
        }

        Assert.InRange(moments.Count, 15, 20);
    }

    [Fact]
    public void Tick_NoSourceAtAll_FailsAndRecoversWhenAnotherOriginComes()
    {
        Demand(new Demand(0, 40, int.MaxValue));
        _downloader.Pushed(new LookupResponse { State = LookupState.Unavailable }, TimeSpan.Zero);
        Tick(TimeSpan.FromSeconds(1));
        var read = Assert.Single(Actions<DownloadAction.FetchFromOrigin>());
        _downloader.OriginRequestEnded(read.Id, succeeded: false, TimeSpan.Zero, TimeSpan.FromSeconds(1));
        Assert.Contains(Take(), action => action is DownloadAction.Fail);
        Assert.True(_downloader.HasFailed);

        _downloader.OriginChanged(TimeSpan.FromSeconds(2));

        Assert.Single(Actions<DownloadAction.FetchFromOrigin>());
        Assert.False(_downloader.HasFailed);
    }

    [Fact]
    public void RequestAbandoned_EndWasNotTold_IsReportedAndAnotherWayIsFree()
    {
        Demand(Whole);
        Assign("p", 3);
        var fetch = Assert.Single(Actions<DownloadAction.FetchFromPeer>());

        _downloader.RequestAbandoned(fetch.Id, TimeSpan.Zero);
        _downloader.RequestAbandoned(fetch.Id, TimeSpan.Zero);

        Assert.IsType<DownloadAction.ReportFailed>(Assert.Single(Take()));
        Assign("q", 3);
        Assert.Single(Actions<DownloadAction.FetchFromPeer>());
    }

    [Fact]
    public void TakeWanted_DemandsChange_TheOwnerIsToldWhatIsNew()
    {
        var downloader = new Downloader(Layout, new PieceSet(40), Policy, seed: 1, TimeSpan.Zero, isWholeTold: false);
        downloader.DemandsChanged([], TimeSpan.Zero);
        Assert.Empty(downloader.TakeActions());
        downloader.DemandsChanged([new Demand(10, 20, 5)], TimeSpan.Zero);
        Assert.IsType<DownloadAction.AskAgain>(Assert.Single(downloader.TakeActions()));
        Assert.Equal([Run(10, 5)], downloader.TakeWanted());

        // Less than it was told is no news; more is, and all is said by nothing.
        downloader.PieceArrived(10, TimeSpan.Zero);
        downloader.DemandsChanged([new Demand(11, 20, 4)], TimeSpan.Zero);
        Assert.Empty(downloader.TakeActions());
        downloader.DemandsChanged([new Demand(11, 20, 5)], TimeSpan.Zero);
        Assert.IsType<DownloadAction.AskAgain>(Assert.Single(downloader.TakeActions()));
        Assert.Equal([Run(11, 5)], downloader.TakeWanted());
        downloader.DemandsChanged([Whole], TimeSpan.Zero);
        Assert.IsType<DownloadAction.AskAgain>(Assert.Single(downloader.TakeActions()));
        Assert.Empty(downloader.TakeWanted());
        downloader.DemandsChanged([], TimeSpan.Zero);
        Assert.IsType<DownloadAction.AskAgain>(Assert.Single(downloader.TakeActions()));
        Assert.Equal([new PieceRun()], downloader.TakeWanted());
    }

    // Readers say where they are far more often than they move: its owner need not hear of that.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void DemandsChanged_TwoReadersMoveInTurnsOverAllPieces_TheOwnerIsToldNoMoreOftenThanTheyMove(bool isLatestFirst)
    {
        const int ToldPerMove = 4;
        var layout = new ContentLayout(256 * KiB64);
        var downloader = new Downloader(layout, new PieceSet(layout.PieceCount), Policy, seed: 1, TimeSpan.Zero, isWholeTold: false);
        int[] positions = [layout.PieceCount / 2, 0];
        int[] ends = [layout.PieceCount, layout.PieceCount / 2];
        var askedAgain = 0;
        for (var move = 0; move < layout.PieceCount; move++)
        {
            var mover = move % 2;
            for (var time = 0; time < ToldPerMove; time++)
            {
                int[] order = isLatestFirst ? [mover, 1 - mover] : [0, 1];
                downloader.DemandsChanged(order.Select(reader => new Demand(positions[reader], ends[reader], 8)), TimeSpan.Zero);
                if (downloader.TakeActions().OfType<DownloadAction.AskAgain>().Count() is > 0 and var asked)
                {
                    askedAgain += asked;
                    downloader.TakeWanted();
                }
            }

            downloader.PieceArrived(positions[mover]++, TimeSpan.Zero);
        }

        Assert.True(downloader.IsComplete);
        Assert.InRange(askedAgain, layout.PieceCount / 2, 2 * layout.PieceCount);
    }

    private static Downloader Create(ContentLayout layout, PieceSet? have = null, DownloaderPolicy? policy = null) =>
        new(layout, have ?? new PieceSet(layout.PieceCount), policy ?? Policy, seed: 1, TimeSpan.Zero);

    private static PieceRun Run(uint first, uint count) => new() { First = first, Count = count };

    private static LookupResponse Assigned(string node, params int[] segments) =>
        new() { Assigned = { new Assignment { Node = node, Segments = { SegmentRuns.Of(segments) } } } };

    private static IEnumerable<int> PeerPieces(IEnumerable<DownloadAction> actions) =>
        actions.Cast<DownloadAction.FetchFromPeer>().SelectMany(fetch => Enumerable.Range(fetch.First, fetch.Count));

    private static void Arrive(Downloader downloader, int first, int count, TimeSpan now = default)
    {
        for (var piece = first; piece < first + count; piece++)
        {
            downloader.PieceArrived(piece, now);
        }
    }

    /// <summary>Segments 0 and 1 come from peers, and those from 16 on from the origin, which are read for ever.</summary>
    private static List<DownloadAction.FetchFromPeer> FetchAndRead(Downloader downloader, string peer, string? other = null, TimeSpan now = default)
    {
        downloader.DemandsChanged([Whole], now);
        downloader.Pushed(Assigned(peer, 0), now);
        downloader.Pushed(Assigned(other ?? peer, 1), now);
        downloader.Pushed(new LookupResponse { Granted = { new SegmentRun { First = 16, Count = 16 } } }, now);
        return [.. downloader.TakeActions().OfType<DownloadAction.FetchFromPeer>()];
    }

    /// <summary>Time passes in which so many frames of the first segment and of the one that is read come in each step.</summary>
    private static void Pass(Downloader downloader, TimeSpan from, TimeSpan until, int framesOfPeer, int framesOfOrigin)
    {
        for (var now = from + Step; now <= until; now += Step)
        {
            for (var frame = 0; frame < framesOfPeer; frame++)
            {
                downloader.BytesArrived(0, now);
            }

            for (var frame = 0; frame < framesOfOrigin; frame++)
            {
                downloader.BytesArrived(16 * Large.PiecesPerSegment, now);
            }

            downloader.Tick(now);
        }
    }

    /// <summary>The actions that are due; that the owner is to be told of a change in what is wanted has tests of its own.</summary>
    private List<DownloadAction> Take() => [.. _downloader.TakeActions().Where(action => action is not DownloadAction.AskAgain)];

    /// <summary>The same, all of one kind.</summary>
    private List<TAction> Actions<TAction>() => [.. Take().Cast<TAction>()];

    private void Pass(ref TimeSpan now, TimeSpan time)
    {
        for (var end = now + time; now < end;)
        {
            Tick(now += TimeSpan.FromMilliseconds(20));
        }
    }

    private void Tick(TimeSpan now) => _downloader.Tick(now);

    /// <summary>Time passes, and somebody looks all the time.</summary>
    private static void Pass(Downloader downloader, TimeSpan from, TimeSpan to)
    {
        for (var now = from; now < to; now += Step)
        {
            downloader.Tick(now);
        }

        downloader.Tick(to);
    }

    private void End(DownloadAction.FetchFromPeer fetch, RangeOutcomeKind outcome) => _downloader.PeerRequestEnded(fetch.Id, outcome, [], [], TimeSpan.Zero);

    private void Demand(params Demand[] demands) => _downloader.DemandsChanged(demands, TimeSpan.Zero);

    private void Assign(string node, params int[] segments) => _downloader.Pushed(Assigned(node, segments), TimeSpan.Zero);

    private void Granted(uint first, uint count) =>
        _downloader.Pushed(new LookupResponse { Granted = { new SegmentRun { First = first, Count = count } } }, TimeSpan.Zero);

    private void Holders(params string[] nodes) =>
        _downloader.Pushed(new LookupResponse { Holders = { nodes.Select(node => new Holder { Node = node, Complete = true }) } }, TimeSpan.Zero);
}
