using System.Collections.Concurrent;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Swarm;
using Peerd.Tests.Hosting;
using Peerd.Tests.Mesh;
using Peerd.Tests.Origin;

namespace Peerd.Tests.Content;

/// <summary>What a node tells a content's owner while it reads what it was granted.</summary>
public sealed class ReportTests
{
    private const int PiecesAtATime = 4;
    private const int Grants = 3;

    /// <summary>What comes within one interval is told together; what came last is told at once, because nothing more comes.</summary>
    [Fact]
    public async Task Pull_ManyPiecesArriveInOneInterval_TheOwnerIsToldOnceAndTheLastAreNotLost()
    {
        var time = new ArmedTime();
        await using var mesh = await TestMesh.StartAsync(peers: 1, time: time);
        var sample = mesh.BlobOwnedBy((Grants * PiecesAtATime * 64 * 1024) - 1, mesh.Peer.Name);
        var told = new ConcurrentQueue<PieceRun>();
        mesh.Peer.AnswerLookup = async (asked, answers, call) =>
        {
            var granted = Grant(0);
            granted.Size = sample.Bytes.Length;
            await answers.WriteAsync(granted, call.CancellationToken);
            while (await asked.MoveNext(call.CancellationToken))
            {
                if (asked.Current.Report is { Arrived.Count: > 0 } report)
                {
                    told.Enqueue(Assert.Single(report.Arrived));
                    await answers.WriteAsync(Grant(told.Count), call.CancellationToken);
                }
            }
        };

        var pull = mesh.Node.GetAsync(sample.Digest);
        for (var grant = 0; grant < Grants - 1; grant++)
        {
            var last = ((grant + 1) * PiecesAtATime) - 1;
            await Wait.UntilAsync(
                () => mesh.Node.Cache.TryPeek(sample.Digest, out var content) && content.HasPiece(last) && mesh.Node.Downloads.PiecesInFlight == 0,
                "all that was granted has arrived");
            await time.PassAsync(new DownloaderPolicy().ReportInterval);
        }

        (await pull).ShouldBe(sample.Bytes);
        await Wait.UntilAsync(() => told.Count >= Grants, "all of it was told");
        Assert.Equal(Enumerable.Range(0, Grants).Select(static grant => Pieces(grant)), told);
    }

    /// <summary>Else the owner would deal what is read slowly to somebody else.</summary>
    [Fact]
    public async Task Pull_BytesOfAPieceArrive_TheOwnerHearsThatItIsBeingReadBeforeItIsHere()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy(64 << 20, mesh.Peer.Name);
        Assert.Equal(4, sample.Layout.FramesPerPiece);
        var told = new ConcurrentQueue<GrantReport>();
        mesh.Peer.AnswerLookup = async (asked, answers, call) =>
        {
            await answers.WriteAsync(
                new LookupResponse { State = LookupState.Available, Size = sample.Bytes.Length, Granted = { new SegmentRun { First = 5, Count = 1 } } }, call.CancellationToken);
            while (await asked.MoveNext(call.CancellationToken))
            {
                if (asked.Current.Report is { } report)
                {
                    told.Enqueue(report);
                }
            }
        };
        var piece = sample.Layout.Piece(5);

        (await mesh.Node.GetAsync(sample.Digest, $"bytes={piece.Offset}-{piece.End - 1}")).ShouldBe(sample.Slice(piece));

        await Wait.UntilAsync(() => told.Any(static report => report.Arrived.Count > 0), "the piece was told");
        Assert.Equal([new SegmentRun { First = 5, Count = 1 }], told.First().Reading);
    }

    /// <summary>It deals segments: what is here of one that comes from another node is of no use to it.</summary>
    [Fact]
    public async Task Pull_SegmentsOfTwoPiecesComeFromAPeer_TheOwnerIsToldOfWholeOnes()
    {
        const int Segments = 4;
        var time = new ArmedTime();
        await using var mesh = await TestMesh.StartAsync(peers: 1, time: time);
        var content = PeersSetup.ContentNearerTo(mesh.Peer.Name, than: mesh.Node.Name);
        var layout = new ContentLayout(512L << 20);
        Assert.Equal(2, layout.PiecesPerSegment);
        var told = new ConcurrentQueue<PieceRun>();
        mesh.Peer.AnswerLookup = async (asked, answers, call) =>
        {
            await AssignAsync(0);
            while (await asked.MoveNext(call.CancellationToken))
            {
                if (asked.Current.Report is { Arrived.Count: > 0 } report)
                {
                    told.Enqueue(Assert.Single(report.Arrived));
                    await AssignAsync((uint)told.Count);
                }
            }

            Task AssignAsync(uint segment) => answers.WriteAsync(
                new LookupResponse
                {
                    State = LookupState.Available,
                    Size = layout.Size,
                    Assigned = { new Assignment { Node = mesh.Peer.Name, Segments = { new SegmentRun { First = segment, Count = 1 } } } },
                },
                call.CancellationToken);
        };
        using var rest = new SemaphoreSlim(0);
        mesh.Peer.Answer = async (range, answers, call) =>
        {
            await answers.WriteAsync(new FetchRangeResponse { Id = range.Id, Head = new RangeHead { Size = layout.Size } });
            for (var frame = layout.FrameAt(range.Offset); frame < layout.FrameAt(range.Offset + range.Length); frame++)
            {
                if (frame == layout.FrameAt(range.Offset) + layout.FramesPerPiece + 1)
                {
                    await rest.WaitAsync(call.CancellationToken);
                }

                var data = new byte[layout.FrameSize];
                GeneratedContent.Read(layout.Frame(frame).Offset, data);
                await answers.WriteAsync(FakePeer.FrameOf(range, layout.Frame(frame).Offset, data));
            }

            await answers.WriteAsync(FakePeer.End(range, RangeStatus.Complete));
        };
        var interval = new DownloaderPolicy().ReportInterval;

        var read = mesh.Node.GetAsync(content, $"bytes=0-{layout.Segment(Segments - 1).End - 1}");
        for (var segment = 0; segment < Segments; segment++)
        {
            var last = (2 * segment) + 1;
            await Wait.UntilAsync(() => mesh.Node.Cache.TryPeek(content, out var here) && here.HasFrame(layout.FirstFrameOf(last)), "the first piece is here, and a part of the second");
            time.Advance(interval);
            time.Forget();
            rest.Release();
            await time.PassAsync(interval);
            await Wait.UntilAsync(() => told.Count > segment, "the segment was told");
            Assert.Equal(new PieceRun { First = (uint)(2 * segment), Count = 2 }, told.Last());
        }

        Assert.True((await read).IsComplete);
    }

    private static LookupResponse Grant(int number) =>
        new() { State = LookupState.Available, Granted = { new SegmentRun { First = Pieces(number).First, Count = Pieces(number).Count } } };

    private static PieceRun Pieces(int grant) => new() { First = (uint)(grant * PiecesAtATime), Count = PiecesAtATime };
}
