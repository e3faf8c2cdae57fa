using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class ReaderDemandsTests
{
    // Pieces of 1 MiB, two of them a segment.
    private static readonly ContentLayout Layout = new(512L << 20);
    private static readonly DownloaderPolicy Policy = new();

    private readonly PieceTable _table = new(Layout, new PieceSet(Layout.PieceCount), new KnownPeers(Layout, Policy), new SlownessJudge(Layout, Policy, TimeSpan.Zero));
    private readonly ReaderDemands _demands;

    public ReaderDemandsTests() => _demands = new ReaderDemands(_table, isWholeTold: false);

    [Fact]
    public void First_SeveralDemands_IsWhatTheMostWantedLacks()
    {
        _table.Have.AddRun(4, 2);
        _demands.Set([new Demand(4, 6, 2), new Demand(5, 10, 3), new Demand(0, 2, 2)], isAhead: false);

        Assert.Equal(6, _demands.First());
        Assert.Equal([0, 1, 4, 5, 6, 7], Enumerable.Range(0, 20).Where(_demands.Include));
    }

    [Fact]
    public void First_NothingIsNeeded_IsNone() => Assert.Equal(-1, _demands.First());

    [Fact]
    public void Tell_NothingIsWanted_IsAnEmptyRun() => Assert.Equal([new PieceRun()], _demands.Tell(_demands.Wanted()));

    [Fact]
    public void Tell_AllIsWanted_IsNoRun()
    {
        _demands.Set([new Demand(0, Layout.PieceCount, int.MaxValue)], isAhead: false);

        Assert.Empty(_demands.Tell(_demands.Wanted()));
        Assert.True(_demands.IsTold(_demands.Wanted()));
    }

    [Fact]
    public void Tell_TheMostWantedIsNotTheFirst_ItIsToldBeforeTheOthers()
    {
        _demands.Set([new Demand(8, 9, 1), new Demand(2, 4, 2)], isAhead: false);

        Assert.Equal(
            [new PieceRun { First = 8, Count = 1 }, new PieceRun { First = 2, Count = 2 }, new PieceRun { First = 8, Count = 1 }],
            _demands.Tell(_demands.Wanted()));
    }

    // Less may be wanted than was told.
    [Theory]
    [InlineData(2, 4, true)]
    [InlineData(2, 3, true)]
    [InlineData(3, 4, true)]
    [InlineData(2, 5, false)]
    [InlineData(5, 6, false)]
    [InlineData(2, 2, false)]
    public void IsTold_AfterTwoToFour_WhatWasToldAlready(int position, int end, bool expected)
    {
        _demands.Set([new Demand(2, 4, 2)], isAhead: false);
        _demands.Tell(_demands.Wanted());

        _demands.Set([new Demand(position, end, end - position)], isAhead: false);

        Assert.Equal(expected, _demands.IsTold(_demands.Wanted()));
    }

    [Fact]
    public void RankSegments_SeveralDemands_SegmentsHaveThePlaceOfTheFirstThatNeedsThem()
    {
        _demands.Set([new Demand(4, 5, 1), new Demand(0, 6, 6)], isAhead: true);

        Assert.Equal([(0, 1), (1, 1), (2, 0)], _demands.RankSegments().OrderBy(static pair => pair.Key).Select(static pair => (pair.Key, pair.Value)));
    }
}
