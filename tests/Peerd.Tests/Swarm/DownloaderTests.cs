using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class DownloaderTests
{
    private const int KiB64 = 64 * 1024;

    private static readonly ContentLayout Layout = new(40 * KiB64);

    private static readonly Demand Whole = new(0, int.MaxValue, int.MaxValue);

    private readonly Downloader _downloader = new(Layout, new PieceSet(40), new DownloaderPolicy(), seed: 1, TimeSpan.Zero);

    [Fact]
    public void Pushed_Granted_ReadsItInOrderWithinTheLimits()
    {
        var layout = new ContentLayout(100L << 20);
        var downloader = new Downloader(layout, new PieceSet(layout.PieceCount), new DownloaderPolicy(), seed: 1, TimeSpan.Zero);
        downloader.DemandsChanged([Whole], TimeSpan.Zero);

        downloader.Pushed(new LookupResponse { Granted = { new SegmentRun { Count = uint.MaxValue } } }, TimeSpan.Zero);

        var reads = downloader.TakeActions().Cast<DownloadAction.FetchFromOrigin>().ToList();
        Assert.Equal([(0, 16), (16, 16)], reads.Select(read => (read.First, read.Count)));
    }

    [Fact]
    public void Pushed_GrantedMoreThanIsWanted_OnlyWhatIsWantedIsRead()
    {
        Demand(new Demand(3, 30, 5));

        Granted(0, 40);

        var read = Assert.IsType<DownloadAction.FetchFromOrigin>(Assert.Single(_downloader.TakeActions()));
        Assert.Equal((3, 5), (read.First, read.Count));
    }

    [Fact]
    public void Tick_AllHoldersFailAgainAndAgain_TheOriginIsReadWithoutLongWaiting()
    {
        var patience = new DownloaderPolicy().Patience;
        Holders("p");
        Demand(Whole);
        var now = TimeSpan.Zero;
        for (var piece = 0; ; now += TimeSpan.FromMilliseconds(20))
        {
            _downloader.Tick(now);
            var actions = _downloader.TakeActions();
            if (actions.OfType<DownloadAction.FetchFromOrigin>().Any())
            {
                break;
            }

            foreach (var fetch in actions.Cast<DownloadAction.FetchFromPeer>())
            {
                // It always sends a little before it fails: patience alone would start anew each time.
                _downloader.PieceArrived(piece++, now);
                _downloader.PeerRequestEnded(fetch.Id, RangeOutcomeKind.Failed, [], now);
            }
        }

        Assert.InRange(now, TimeSpan.FromSeconds(5), patience);
    }

    [Fact]
    public void DemandsChanged_PartIsWanted_OnlyThatIsAskedOfPeers()
    {
        Holders("p", "q");
        Assert.Empty(_downloader.TakeActions());

        Demand(new Demand(10, 20, 3), new Demand(30, 32, int.MaxValue));

        Assert.Equal([10, 11, 12, 30, 31], PeerPieces(_downloader.TakeActions()).Order());
    }

    [Fact]
    public void DemandsChanged_SeveralPeersAndLargeSegments_RangesStayShort()
    {
        var layout = new ContentLayout(4L << 30);
        var policy = new DownloaderPolicy();
        Assert.True(layout.SegmentSize > policy.LongestRange);
        var downloader = new Downloader(layout, new PieceSet(layout.PieceCount), policy, seed: 1, TimeSpan.Zero);
        downloader.Pushed(new LookupResponse { Holders = { new Holder { Node = "p", Complete = true }, new Holder { Node = "q", Complete = true } } }, TimeSpan.Zero);

        downloader.DemandsChanged([new Demand(0, layout.PieceCount, int.MaxValue)], TimeSpan.Zero);

        var fetches = downloader.TakeActions().Cast<DownloadAction.FetchFromPeer>().ToList();
        Assert.Equal(2 * policy.RequestsPerPeer, fetches.Count);
        Assert.All(fetches, fetch => Assert.InRange((long)fetch.Count * layout.PieceSize, 1, policy.LongestRange));
    }

    [Fact]
    public void Pushed_RevokedAndGrantedInOnePush_IsReadAfterTheStalledReadHasEnded()
    {
        Demand(Whole);
        Granted(0, 40);
        var read = Assert.IsType<DownloadAction.FetchFromOrigin>(Assert.Single(_downloader.TakeActions()));

        _downloader.Pushed(
            new LookupResponse { Revoked = { new SegmentRun { Count = 40 } }, Granted = { new SegmentRun { Count = 40 } } }, TimeSpan.FromSeconds(3));

        Assert.Equal(new DownloadAction.Cancel(read.Id), Assert.Single(_downloader.TakeActions()));
        _downloader.OriginRequestEnded(read.Id, succeeded: true, TimeSpan.FromSeconds(3));
        var again = Assert.IsType<DownloadAction.FetchFromOrigin>(Assert.Single(_downloader.TakeActions()));
        Assert.Equal((0, 40), (again.First, again.Count));
    }

    [Fact]
    public void Pushed_Revoked_IsNotReadAgain()
    {
        Demand(Whole);
        Granted(0, 4);
        var read = Assert.IsType<DownloadAction.FetchFromOrigin>(Assert.Single(_downloader.TakeActions()));
        _downloader.Pushed(new LookupResponse { Revoked = { new SegmentRun { First = 1, Count = 2 } } }, TimeSpan.Zero);
        Assert.Equal(new DownloadAction.Cancel(read.Id), Assert.Single(_downloader.TakeActions()));

        _downloader.OriginRequestEnded(read.Id, succeeded: true, TimeSpan.Zero);

        var rest = _downloader.TakeActions().Cast<DownloadAction.FetchFromOrigin>();
        Assert.Equal([(0, 1), (3, 1)], rest.Select(next => (next.First, next.Count)));
    }

    [Fact]
    public void Pushed_Reclaimed_OnlyWhatIsNotBeingReadIsGivenBack()
    {
        var policy = new DownloaderPolicy { LongestOriginRead = 4 * KiB64, OriginRequests = 1 };
        var downloader = new Downloader(Layout, new PieceSet(40), policy, seed: 1, TimeSpan.Zero);
        downloader.DemandsChanged([Whole], TimeSpan.Zero);
        downloader.Pushed(new LookupResponse { Granted = { new SegmentRun { Count = 10 } } }, TimeSpan.Zero);
        Assert.IsType<DownloadAction.FetchFromOrigin>(Assert.Single(downloader.TakeActions()));

        downloader.Pushed(new LookupResponse { Reclaimed = { new SegmentRun { First = 2, Count = uint.MaxValue }, new SegmentRun { First = uint.MaxValue, Count = 9 } } }, TimeSpan.Zero);

        var giveBack = Assert.IsType<DownloadAction.GiveBack>(Assert.Single(downloader.TakeActions()));
        Assert.False(giveBack.OriginFailed);
        Assert.Equal(Enumerable.Range(4, 6), ToldNodes.Segments(giveBack.Segments));
    }

    [Fact]
    public void OriginRequestEnded_Failed_AllGrantsAreGivenBack()
    {
        Demand(Whole);
        Granted(0, 40);
        var read = Assert.IsType<DownloadAction.FetchFromOrigin>(Assert.Single(_downloader.TakeActions()));
        _downloader.PieceArrived(0, TimeSpan.Zero);

        _downloader.OriginRequestEnded(read.Id, succeeded: false, TimeSpan.Zero);

        var giveBack = Assert.IsType<DownloadAction.GiveBack>(Assert.Single(_downloader.TakeActions()));
        Assert.True(giveBack.OriginFailed);
        Assert.Equal(Enumerable.Range(1, 39), ToldNodes.Segments(giveBack.Segments));
    }

    [Fact]
    public void StartOver_PeersHaveAll_OnlyTheOriginIsUsed()
    {
        Holders("p", "q");
        Demand(new Demand(0, 40, int.MaxValue));
        var requests = _downloader.TakeActions().Cast<DownloadAction.FetchFromPeer>().ToList();
        Assert.NotEmpty(requests);

        _downloader.StartOver(TimeSpan.Zero);
        Assert.Equal(requests.Select(request => request.Id).Order(), _downloader.TakeActions().Cast<DownloadAction.Cancel>().Select(cancel => cancel.Id).Order());
        foreach (var request in requests)
        {
            _downloader.PeerRequestEnded(request.Id, RangeOutcomeKind.Cancelled, [], TimeSpan.Zero);
        }

        var now = TimeSpan.Zero;
        var layout = Layout;
        while (!_downloader.IsComplete)
        {
            Holders("p", "r");
            var actions = _downloader.TakeActions();
            if (actions.Count == 0)
            {
                now += TimeSpan.FromMilliseconds(50);
                _downloader.Tick(now);
                continue;
            }

            var read = Assert.IsType<DownloadAction.FetchFromOrigin>(Assert.Single(actions));
            Assert.InRange(read.Count, 1, layout.PiecesPerSegment);
            for (var piece = read.First; piece < read.First + read.Count; piece++)
            {
                _downloader.PieceArrived(piece, now);
            }

            _downloader.OriginRequestEnded(read.Id, succeeded: true, now);
        }

        Assert.Equal(TimeSpan.FromMilliseconds(50), now);
    }

    [Fact]
    public void PeerRequestEnded_NotHeld_WhatIsHeldBehindIsStillAskedForAndTheRestIsNot()
    {
        _downloader.Pushed(
            new LookupResponse { Holders = { new Holder { Node = "p", Pieces = { Run(0, 2), Run(3, 1) }, Receiving = { Run(2, 1), Run(4, 2) } } } }, TimeSpan.Zero);
        Demand(new Demand(0, 40, int.MaxValue));
        var fetch = Assert.IsType<DownloadAction.FetchFromPeer>(Assert.Single(_downloader.TakeActions()));
        Assert.Equal((0, 6), (fetch.First, fetch.Count));
        _downloader.PieceArrived(0, TimeSpan.Zero);
        _downloader.PieceArrived(1, TimeSpan.Zero);

        _downloader.PeerRequestEnded(fetch.Id, RangeOutcomeKind.NotHeld, [], TimeSpan.Zero);

        Assert.Equal([3], PeerPieces(_downloader.TakeActions()));
    }

    [Fact]
    public void PeerRequestEnded_NotHeldButToldAsHeldSince_IsAskedForAgain()
    {
        _downloader.Pushed(new LookupResponse { Holders = { new Holder { Node = "p", Receiving = { Run(3, 1) } } } }, TimeSpan.Zero);
        Demand(new Demand(0, 40, int.MaxValue));
        var fetch = Assert.IsType<DownloadAction.FetchFromPeer>(Assert.Single(_downloader.TakeActions()));
        _downloader.Pushed(new LookupResponse { Holders = { new Holder { Node = "p", Pieces = { Run(2, 2) } } } }, TimeSpan.Zero);
        var other = Assert.IsType<DownloadAction.FetchFromPeer>(Assert.Single(_downloader.TakeActions()));
        Assert.Equal((2, 1), (other.First, other.Count));

        _downloader.PeerRequestEnded(fetch.Id, RangeOutcomeKind.NotHeld, [], TimeSpan.Zero);

        Assert.Equal([3], PeerPieces(_downloader.TakeActions()));
    }

    [Fact]
    public void Pushed_HolderGoesAndComesBack_ItsRequestsStillCount()
    {
        var policy = new DownloaderPolicy { RequestsPerPeer = 2, LongestRange = KiB64 };
        var downloader = new Downloader(Layout, new PieceSet(40), policy, seed: 1, TimeSpan.Zero);
        var told = new LookupResponse { Holders = { new Holder { Node = "p", Complete = true } } };
        downloader.Pushed(told, TimeSpan.Zero);
        downloader.DemandsChanged([new Demand(0, 40, int.MaxValue)], TimeSpan.Zero);
        var requests = downloader.TakeActions().Cast<DownloadAction.FetchFromPeer>().ToList();
        Assert.Equal(2, requests.Count);

        downloader.Pushed(new LookupResponse { Gone = { "p" } }, TimeSpan.Zero);
        downloader.Pushed(told, TimeSpan.Zero);
        Assert.Empty(downloader.TakeActions());
        downloader.PeerRequestEnded(requests[0].Id, RangeOutcomeKind.Cancelled, [], TimeSpan.Zero);

        Assert.Single(downloader.TakeActions());
    }

    [Fact]
    public void Tick_BusyPeer_IsAskedAgainAfterThePause()
    {
        _downloader.Pushed(new LookupResponse { Holders = { new Holder { Node = "p", Pieces = { Run(0, 1) } } } }, TimeSpan.Zero);
        Demand(new Demand(0, 40, int.MaxValue));
        var fetch = Assert.IsType<DownloadAction.FetchFromPeer>(Assert.Single(_downloader.TakeActions()));

        _downloader.PeerRequestEnded(fetch.Id, RangeOutcomeKind.Busy, [], TimeSpan.Zero);
        _downloader.Tick(TimeSpan.FromMilliseconds(19));
        Assert.Empty(_downloader.TakeActions());
        _downloader.Tick(TimeSpan.FromMilliseconds(20));

        Assert.IsType<DownloadAction.FetchFromPeer>(Assert.Single(_downloader.TakeActions()));
    }

    [Fact]
    public void OwnerLost_NobodyHasIt_TheOriginIsReadAfterAMoment()
    {
        Demand(new Demand(0, 40, int.MaxValue));
        _downloader.OwnerLost(TimeSpan.Zero);
        _downloader.Tick(TimeSpan.FromMilliseconds(49));
        Assert.Empty(_downloader.TakeActions());

        _downloader.Tick(TimeSpan.FromMilliseconds(50));

        Assert.IsType<DownloadAction.FetchFromOrigin>(Assert.Single(_downloader.TakeActions()));
    }

    [Fact]
    public void Tick_OwnerThereAndNothingArrives_TheOriginIsTheLastResort()
    {
        Demand(new Demand(0, 40, int.MaxValue));
        var patience = new DownloaderPolicy().Patience;
        _downloader.Tick(patience - TimeSpan.FromTicks(1));
        Assert.Empty(_downloader.TakeActions());

        _downloader.Tick(patience);

        Assert.IsType<DownloadAction.FetchFromOrigin>(Assert.Single(_downloader.TakeActions()));
    }

    [Fact]
    public void Tick_NoSourceAtAll_FailsAndRecoversWhenAnotherOriginComes()
    {
        Demand(new Demand(0, 40, int.MaxValue));
        _downloader.Pushed(new LookupResponse { State = LookupState.Unavailable }, TimeSpan.Zero);
        _downloader.Tick(TimeSpan.FromSeconds(1));
        var read = Assert.IsType<DownloadAction.FetchFromOrigin>(Assert.Single(_downloader.TakeActions()));
        _downloader.OriginRequestEnded(read.Id, succeeded: false, TimeSpan.FromSeconds(1));
        Assert.Contains(_downloader.TakeActions(), action => action is DownloadAction.Fail);
        Assert.True(_downloader.HasFailed);

        _downloader.OriginChanged(TimeSpan.FromSeconds(2));

        Assert.IsType<DownloadAction.FetchFromOrigin>(Assert.Single(_downloader.TakeActions()));
        Assert.False(_downloader.HasFailed);
    }

    private static PieceRun Run(uint first, uint count) => new() { First = first, Count = count };

    private static IEnumerable<int> PeerPieces(IEnumerable<DownloadAction> actions) =>
        actions.Cast<DownloadAction.FetchFromPeer>().SelectMany(fetch => Enumerable.Range(fetch.First, fetch.Count));

    private void Demand(params Demand[] demands) => _downloader.DemandsChanged(demands, TimeSpan.Zero);

    private void Granted(uint first, uint count) =>
        _downloader.Pushed(new LookupResponse { Granted = { new SegmentRun { First = first, Count = count } } }, TimeSpan.Zero);

    private void Holders(params string[] nodes) =>
        _downloader.Pushed(new LookupResponse { Holders = { nodes.Select(node => new Holder { Node = node, Complete = true }) } }, TimeSpan.Zero);
}
