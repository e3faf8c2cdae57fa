using Peerd.Contracts;
using Peerd.Node.Content;

namespace Peerd.Tests.Content;

/// <summary>Of a content whose segments have four pieces of 1 MiB.</summary>
public sealed class AheadBudgetTests
{
    private const long MiB = 1024 * 1024;

    private static readonly ContentLayout Layout = new(1024 * MiB);

    private readonly HashSet<int> _here = [];

    [Fact]
    public void Take_FromTheOrigin_IsWidenedToSegmentsWithinTheBudget()
    {
        Assert.Equal(4, Layout.PiecesPerSegment);

        Assert.Equal((8, 12), Budget(4).Take(9, 10, IsHeld));
        Assert.Equal((8, 16), Budget(5).Take(9, 30, IsHeld));
    }

    [Fact]
    public void Take_FromPeers_IsNotWidened()
    {
        var budget = Budget(4);

        Assert.Equal((9, 11), budget.Take(9, 11, static _ => true));
        Assert.Equal((20, 22), budget.Take(20, 30, static _ => true));
        Assert.Equal((40, 40), budget.Take(40, 50, static _ => true));
    }

    // The reader has come near to the end of a segment: all of it but the last piece is here and behind it.
    [Fact]
    public void Take_PiecesBehindTheReaderAreHere_TheNextSegmentIsFetchedToo()
    {
        _here.UnionWith([0, 1, 2]);

        Assert.Equal((0, 8), Budget(4).Take(3, 7, IsHeld));
    }

    // Of an order: one piece is missing in each of some segments.
    [Fact]
    public void Take_OneMissingOfEachSegment_CountsAsOneEach()
    {
        _here.UnionWith(Enumerable.Range(0, 16).Where(piece => piece % 4 != 1));
        var budget = Budget(4);

        Assert.Equal([(0, 4), (4, 8), (8, 12), (12, 16), (16, 16)], new[] { 1, 5, 9, 13, 17 }.Select(piece => budget.Take(piece, piece + 1, IsHeld)));
    }

    [Fact]
    public void Take_WhatIsAheadIsHere_Counts()
    {
        _here.UnionWith([4, 5, 6, 7]);

        Assert.Equal((8, 8), Budget(4).Take(4, 12, IsHeld));
    }

    [Fact]
    public void Renew_AfterAllWasTaken_OthersHaveAsMuch()
    {
        var budget = Budget(4);
        budget.Take(0, 4, IsHeld);
        budget.Renew();

        Assert.Equal((8, 12), budget.Take(8, 30, IsHeld));
    }

    private static bool IsHeld(int piece) => false;

    private AheadBudget Budget(int pieces) => new(pieces * MiB, Layout, _here.Contains);
}
