using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Node.Storage;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Mesh;

/// <summary>The end of a range tells which pieces the holder has, to those who ask for it.</summary>
public sealed class ToldPiecesTests : IDisposable
{
    private const int PieceSize = 64 * 1024;

    private readonly RangeSetup _setup = new(uploads: 1);
    private readonly SampleContent _sample = TestMesh.NewSample(8 * PieceSize);

    public void Dispose() => _setup.Dispose();

    [Theory]
    [InlineData(0, PieceSize, RangeStatus.Complete)]
    [InlineData(0, 0, RangeStatus.NotHeld)]
    [InlineData(1, 0, RangeStatus.Invalid)]
    [InlineData(-1, 0, RangeStatus.Invalid)]
    public async Task TellPieces_AnyStatus_HasWhatIsHereAndWhatIsComing(long offset, long length, RangeStatus status)
    {
        using var lease = HoldSome();

        var end = await _setup.Ask(new FetchRange { Id = 1, Digest = _sample.Digest.ToString(), Offset = offset, Length = length, TellPieces = true }).EndAsync();

        Assert.Equal(status, end.Status);
        ShouldBeWhatIsHeld(end);
    }

    [Fact]
    public async Task TellPieces_BusyCancelledAndDeadline_HaveThemToo()
    {
        using var lease = HoldSome();
        _setup.Incoming.Downloads = true;
        var range = new FetchRange { Id = 1, Digest = _sample.Digest.ToString(), Wait = true, TellPieces = true };
        var waiting = _setup.Ask(range);
        while (!(await waiting.NextAsync()).IsWaiting)
        {
        }

        var busy = await _setup.Ask(range).EndAsync();
        waiting.Send(new FetchRangeRequest { Cancel = new CancelRange { Id = 1 } });
        var cancelled = await waiting.EndAsync();
        var late = new FetchRange(range) { DeadlineMs = 5000 };
        waiting.Send(new FetchRangeRequest { Range = late });
        await _setup.Time.PassAsync(TimeSpan.FromSeconds(5));
        var deadline = await waiting.EndAsync();

        Assert.Equal([RangeStatus.Busy, RangeStatus.Cancelled, RangeStatus.DeadlineExceeded], [busy.Status, cancelled.Status, deadline.Status]);
        ShouldBeWhatIsHeld(busy);
        ShouldBeWhatIsHeld(cancelled);
        ShouldBeWhatIsHeld(deadline);
    }

    [Fact]
    public async Task TellPieces_NothingIsHereYet_HasWhatIsComing()
    {
        _setup.Incoming.Runs.Add(new PieceRun { First = 6, Count = 1 });
        using var lease = _sample.OpenIn(_setup.Cache);

        var end = await _setup.Ask(new FetchRange { Id = 1, Digest = _sample.Digest.ToString(), TellPieces = true }).EndAsync();

        Assert.Equal(RangeStatus.NotHeld, end.Status);
        Assert.Equal([new PieceRun { First = 6, Count = 1 }], end.Pieces);
    }

    [Fact]
    public async Task TellPieces_MoreRunsThanThereMayBe_FirstOnesAreTold()
    {
        // Pieces of 1 MiB, every other of which is coming.
        using var lease = _setup.Cache.Open(_sample.Digest, 4L << 30, mediaType: null);
        _setup.Incoming.Runs.AddRange(Enumerable.Range(0, 2048).Select(i => new PieceRun { First = (uint)i * 2, Count = 1 }));

        var end = await _setup.Ask(new FetchRange { Id = 1, Digest = _sample.Digest.ToString(), TellPieces = true }).EndAsync();

        Assert.Equal(_setup.Incoming.Runs.Take(RangeOutcome.MaxPieceRuns), end.Pieces);
    }

    [Fact]
    public async Task TellPieces_UnknownOrMalformedDigest_HasNone()
    {
        foreach (var digest in new[] { _sample.Digest.ToString(), "nonsense", "" })
        {
            Assert.Empty((await _setup.Ask(new FetchRange { Id = 1, Digest = digest, TellPieces = true }).EndAsync()).Pieces);
        }
    }

    [Fact]
    public async Task NoTellPieces_KnownContent_HasNone()
    {
        using var lease = HoldSome();
        Assert.Empty((await _setup.Ask(new FetchRange { Id = 1, Digest = _sample.Digest.ToString() }).EndAsync()).Pieces);
    }

    // Pieces 0, 1 and 4 are here, 5 is coming.
    private ContentLease HoldSome()
    {
        var lease = _sample.OpenIn(_setup.Cache);
        foreach (var piece in new[] { 0, 1, 4 })
        {
            _sample.WritePiece(lease.Content, piece);
        }

        _setup.Incoming.Runs.Add(new PieceRun { First = 5, Count = 1 });
        return lease;
    }

    private static void ShouldBeWhatIsHeld(RangeEnd end) =>
        Assert.Equal([new PieceRun { First = 0, Count = 2 }, new PieceRun { First = 4, Count = 2 }], end.Pieces);
}
