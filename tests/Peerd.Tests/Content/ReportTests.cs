using System.Collections.Concurrent;
using Peerd.Contracts.V1;
using Peerd.Node.Swarm;
using Peerd.Tests.Hosting;

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

    private static LookupResponse Grant(int number) =>
        new() { State = LookupState.Available, Granted = { new SegmentRun { First = Pieces(number).First, Count = Pieces(number).Count } } };

    private static PieceRun Pieces(int grant) => new() { First = (uint)(grant * PiecesAtATime), Count = PiecesAtATime };
}
