using Peerd.Contracts;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class PieceTableTests
{
    // Pieces of 1 MiB, two of them a segment.
    private static readonly ContentLayout Layout = new(512L << 20);
    private static readonly DownloaderPolicy Policy = new();

    private readonly KnownPeers _peers = new(Layout, Policy);
    private readonly PieceTable _table;

    public PieceTableTests()
    {
        var have = new PieceSet(Layout.PieceCount);
        have.Add(0);
        _table = new PieceTable(Layout, have, _peers, new SlownessJudge(Layout, Policy, TimeSpan.Zero));
    }

    [Fact]
    public void Begin_OfAPeer_ItsPiecesAreUnderWayAndThePeerIsAsked()
    {
        var request = Begin("a", 1, 2);

        Assert.Equal([1, 2], SegmentRuns.Numbers(_table.InFlight));
        Assert.Equal((1, 1, 0), (request.Id, _table.Begun, _table.RequestsToOrigin));
        Assert.Equal(1, _peers.Find("a")?.Open);
    }

    [Fact]
    public void TryEnd_TheLastResortBringsSomeOfIt_ThatIsUnderWayStill()
    {
        var request = Begin("a", 1, 3);
        Begin(null, 2, 1);

        Assert.True(_table.TryEnd(request.Id, out var ended));

        Assert.Same(request, ended);
        Assert.Equal([2], SegmentRuns.Numbers(_table.InFlight));
        Assert.Equal(1, _table.RequestsToOrigin);
        Assert.False(_table.TryEnd(request.Id, out _));
    }

    [Fact]
    public void NextMissing_SomeIsHereAndSomeUnderWay_IsTheNextAfterThat()
    {
        Begin("a", 1, 2);

        Assert.Equal((3, 2), (_table.NextMissing(0, 4), _table.NextMissing(0, 2)));
    }

    [Fact]
    public void IsIdle_PieceThatIsGranted_IsMissingAndNotIdle()
    {
        _table.Granted.Add(5);

        Assert.Equal((true, false), (_table.IsMissing(5), _table.IsIdle(5)));
        Assert.Equal((true, true), (_table.IsMissing(6), _table.IsIdle(6)));
    }

    [Fact]
    public void IsWhole_ASegmentArrives_IsTrueOnceAllOfItIsHere()
    {
        Assert.Equal((true, false, false), (_table.IsBegun(0), _table.IsRestInFlight(0), _table.IsWhole(0)));

        Begin("a", 1, 1);
        Assert.Equal((true, true, false), (_table.IsBegun(0), _table.IsRestInFlight(0), _table.IsWhole(0)));

        _table.Have.Add(1);
        Assert.True(_table.IsWhole(0));
        Assert.False(_table.IsBegun(1));
    }

    private PieceRequest Begin(string? node, int first, int count) => _table.Begin(new PieceRequest(node, first, count, TimeSpan.Zero));
}
