using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class OriginGrantsTests
{
    // Pieces of 1 MiB, two of them a segment.
    private static readonly ContentLayout Layout = new(512L << 20);
    private static readonly DownloaderPolicy Policy = new();

    private readonly PieceTable _table = new(Layout, new PieceSet(Layout.PieceCount), new KnownPeers(Layout, Policy), new SlownessJudge(Layout, Policy, TimeSpan.Zero));
    private readonly List<DownloadAction> _actions = [];
    private readonly ReaderDemands _demands;
    private readonly OriginGrants _grants;

    public OriginGrantsTests()
    {
        _demands = new ReaderDemands(_table, isWholeTold: true);
        _demands.Set([new Demand(0, Layout.PieceCount, 100)], isAhead: false);
        _grants = new OriginGrants(Policy, _table, _demands, _actions);
    }

    [Fact]
    public void Read_RequestsThatSucceed_GrowUntilSomethingIsReclaimed()
    {
        _grants.Add(Run(0, 50));
        Assert.Equal([(0, 2), (2, 2)], Read());

        _grants.Succeeded();
        End();
        Assert.Equal([(4, 4), (8, 4)], Read());

        _grants.Reclaim([Run(49, 1)]);
        End();
        Assert.Equal([(12, 2), (14, 2)], Read());
    }

    [Fact]
    public void Read_WhatNobodyNeeds_StaysGranted()
    {
        _grants.Add(Run(60, 2));

        Assert.Empty(Read());
        Assert.Equal(4, _table.Granted.Count);
    }

    [Fact]
    public void GiveBackIdle_SomeIsBeingRead_OnlyTheRest()
    {
        _grants.Add(Run(0, 3));
        Read();

        _grants.GiveBackIdle([Run(0, 3)]);

        Assert.Equal([2], GivenBack());
        Assert.Equal([0, 1, 2, 3], SegmentRuns.Numbers(_table.Granted));
    }

    // Whoever gets one reads all of it.
    [Theory]
    [InlineData(100, false)]
    [InlineData(1, true)]
    public void GiveBackIdle_SomeOfTheSegmentIsHere_ItStaysWhenTheRestIsNeeded(int ahead, bool isGivenBack)
    {
        _table.Have.Add(6);
        _demands.Set([new Demand(0, Layout.PieceCount, ahead)], isAhead: false);
        _grants.Add(Run(3, 1));

        _grants.GiveBackIdle([Run(3, 1)]);

        Assert.Equal(isGivenBack, GivenBack().Contains(3));
    }

    [Fact]
    public void Revoke_SomeIsBeingRead_OnlyThatRequestIsCancelled()
    {
        _grants.Add(Run(0, 2));
        Read();

        _grants.Revoke(Run(1, 1));

        Assert.Equal(new DownloadAction.Cancel(2), Assert.Single(_actions));
        Assert.Equal([0, 1], SegmentRuns.Numbers(_table.Granted));
    }

    [Fact]
    public void KeepWhatIsRead_TheRest_IsGrantedNoMore()
    {
        _grants.Add(Run(0, 3));
        Read();

        _grants.KeepWhatIsRead();

        Assert.Equal([0, 1, 2, 3], SegmentRuns.Numbers(_table.Granted));
    }

    private static SegmentRun Run(uint first, uint count) => new() { First = first, Count = count };

    private List<int> GivenBack() =>
        [.. _actions.OfType<DownloadAction.GiveBack>().SelectMany(static given => SegmentRuns.Numbers(SegmentRuns.ToSet(given.Segments, Layout)))];

    private List<(int First, int Count)> Read()
    {
        _actions.Clear();
        _grants.Read(TimeSpan.Zero);
        var begun = _actions.OfType<DownloadAction.FetchFromOrigin>().Select(static fetch => (fetch.First, fetch.Count)).ToList();
        _actions.Clear();
        return begun;
    }

    /// <summary>All that is being read is here.</summary>
    private void End()
    {
        foreach (var request in _table.Requests.ToList())
        {
            _table.Have.AddRun(request.First, request.Count);
            _table.TryEnd(request.Id, out _);
        }
    }
}
