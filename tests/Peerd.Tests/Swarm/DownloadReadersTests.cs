using System.Net;
using Peerd.Contracts;
using Peerd.Node.Origin;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class DownloadReadersTests
{
    private const int Everything = int.MaxValue;

    private static readonly ContentLayout Layout = new(10 * 64 * 1024);
    private static readonly OriginReference Alice = Of("alice");
    private static readonly OriginReference Bob = Of("bob");

    private readonly ClientOrigins _origins = new(Alice);
    private readonly DownloadReaders _readers;

    public DownloadReadersTests()
    {
        _origins.Join(Bob);
        _readers = new DownloadReaders(_origins);
    }

    [Fact]
    public void Demands_ReaderAndBackground_TheReaderFirst()
    {
        _readers.SetBackground([new BackgroundDemand(new Demand(7, 9, 2), Bob)]);
        Read(Alice, first: 2, end: 5, ahead: 3);

        Assert.Equal([new Demand(2, 5, 3), new Demand(7, 9, 2)], _readers.Demands(Layout.PieceCount, firstUnverified: 0, Everything));
        Assert.Equal(new Demand(2, 5, 2), _readers.Demands(Layout.PieceCount, firstUnverified: 0, longest: 2)[0]);
    }

    [Fact]
    public void Demands_AReaderThatNeedsTheWhole_AllThatIsNotHashed()
    {
        Read(Alice, first: 8, end: 10, ahead: 4);

        Assert.True(_readers.NeedWhole);
        Assert.Contains(new Demand(3, 10, Everything), _readers.Demands(Layout.PieceCount, firstUnverified: 3, Everything));
        Assert.Equal((false, true), (_readers.IsAnyBehind(8), _readers.IsAnyBehind(9)));
    }

    [Fact]
    public void WayFor_TwoClients_EndsWhereOnlyTheOtherWants()
    {
        Read(Alice, first: 0, end: 3, ahead: 1);
        Read(Bob, first: 2, end: 5, ahead: 1);

        Assert.Equal((Alice, 3), _readers.WayFor(0, 6, firstUnverified: 0));
        Assert.Equal((Bob, 6), _readers.WayFor(3, 6, firstUnverified: 0));
    }

    [Fact]
    public void Bar_AClientWhoseWayFails_IsNotDemandedUntilItWorks()
    {
        _readers.SetBackground([new BackgroundDemand(new Demand(0, 2, 2), Bob)]);
        var alice = Read(Alice, first: 0, end: 3, ahead: 3);
        var bob = Read(Bob, first: 0, end: 3, ahead: 3);
        _origins.Failed(Bob, new SourceFailure(HttpStatusCode.Forbidden, "no"));

        _readers.Bar(1, firstUnverified: 0);

        Assert.Equal((int.MaxValue, 1, HttpStatusCode.Forbidden), (alice.Barred, bob.Barred, bob.Failure?.Status));
        Assert.Equal((false, true), (_readers.IsBarred(Alice), _readers.IsBarred(Bob)));
        Assert.Equal([new Demand(0, 3, 3), new Demand(0, 1, 3)], _readers.Demands(Layout.PieceCount, firstUnverified: 0, Everything));
        Assert.False(_readers.Unbar());

        _origins.Worked(Bob);

        Assert.True(_readers.Unbar());
        Assert.Equal((int.MaxValue, false), (bob.Barred, _readers.IsBarred(Bob)));
    }

    [Fact]
    public void SetBackground_AClientThatWantsNothingMore_IsNotBarredAnyMore()
    {
        _readers.SetBackground([new BackgroundDemand(new Demand(0, 2, 2), Bob)]);
        _origins.Failed(Bob, new SourceFailure(HttpStatusCode.Forbidden, "no"));
        _readers.Bar(1, firstUnverified: 0);

        _readers.SetBackground([]);

        Assert.Equal((false, true), (_readers.IsBarred(Bob), _readers.WantNothing));
    }

    // It is never moved or disposed, and needs no download.
    private DownloadReader Read(OriginReference origin, int first, int end, int ahead)
    {
        var reader = new DownloadReader(null!, Layout, origin, ByteRange.FromBounds(Layout.Piece(first).Offset, Layout.Piece(end - 1).End), ahead);
        _readers.Add(reader);
        return reader;
    }

    private static OriginReference Of(string user) =>
        new("reg.test", "team/app", OriginKind.Blob, "sha256:x") { Credential = new CallerCredential($"Bearer {user}") };
}
