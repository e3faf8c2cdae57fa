using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Swarm;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Swarm;

public sealed class ArrivalReportsTests : IDisposable
{
    private readonly OpenSample _open = new(5 * 64 * 1024);
    private readonly ArrivalReports _reports;

    public ArrivalReportsTests() => _reports = new ArrivalReports(_open.Content);

    public void Dispose() => _open.Dispose();

    [Fact]
    public void Take_SomeArrived_ChecksumsOfThoseFromTheOrigin()
    {
        Arrive(0, isFromOrigin: true);
        Arrive(1, isFromOrigin: false);

        var report = _reports.Take(failed: null, isHeard: true);

        Assert.Equal([new PieceRun { First = 0, Count = 2 }], report?.Arrived);
        var checksums = Assert.Single(report!.Checksums);
        Assert.Equal((0u, FrameChecksum.Compute(_open.Sample.Frame(0))), (checksums.Piece, Assert.Single(checksums.Frames)));
        Assert.Null(_reports.Take(failed: null, isHeard: true));
    }

    [Fact]
    public void Take_WhatIsGoneAgain_IsNotTold()
    {
        Arrive(0, isFromOrigin: true);
        Arrive(1, isFromOrigin: true);
        _open.Content.DropPiece(0);

        var report = _reports.Take(failed: null, isHeard: true);

        Assert.Equal([new PieceRun { First = 1, Count = 1 }], report?.Arrived);
        Assert.Equal(1u, Assert.Single(report!.Checksums).Piece);
    }

    [Fact]
    public void Take_NotHeard_IsNotToldLaterEither()
    {
        Arrive(0, isFromOrigin: true);

        Assert.Null(_reports.Take(failed: null, isHeard: false));
        Assert.Null(_reports.Take(failed: null, isHeard: true));
    }

    [Fact]
    public void Take_AFailedFetch_IsToldWithWhatArrived()
    {
        Arrive(2, isFromOrigin: false);

        var report = _reports.Take(new FailedFetch { Segment = 3 }, isHeard: true);

        Assert.Equal((3u, 2u), (Assert.Single(report!.Failed).Segment, Assert.Single(report.Arrived).First));
    }

    [Fact]
    public void TrySchedule_Twice_OnceUntilAReportIsTaken()
    {
        Assert.Equal((true, false), (_reports.TrySchedule(), _reports.TrySchedule()));

        // Not with a failure, which is told at once: what was scheduled follows.
        _reports.Take(new FailedFetch(), isHeard: true);
        Assert.False(_reports.TrySchedule());

        _reports.Take(failed: null, isHeard: true);
        Assert.True(_reports.TrySchedule());
    }

    [Fact]
    public void Reading_SlowPieces_AreToldTogetherNowAndThen()
    {
        Assert.Equal(0u, Assert.Single(_reports.Reading(0, TimeSpan.FromSeconds(1))!.Reading).First);
        Assert.Null(_reports.Reading(1, TimeSpan.FromSeconds(1.4)));

        var report = _reports.Reading(2, TimeSpan.FromSeconds(1.5));

        Assert.Equal([new SegmentRun { First = 1, Count = 2 }], report?.Reading);
    }

    private void Arrive(int piece, bool isFromOrigin)
    {
        _open.Sample.WritePiece(_open.Content, piece);
        _reports.Arrived(piece, isFromOrigin);
    }
}
