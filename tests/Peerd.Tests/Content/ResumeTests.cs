using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Content;

/// <summary>What has arrived of a range that breaks off is kept.</summary>
public sealed class ResumeTests
{
    /// <summary>Its pieces have four frames.</summary>
    private const int Size = 64 << 20;

    [Fact]
    public async Task Read_PeerBreaksInTheMiddleOfAPiece_GoesOnAtTheFirstFrameThatIsMissing()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.UnknownOwnedBy(Size, mesh.Node.Name);
        var layout = sample.Layout;
        Assert.Equal(4, layout.FramesPerPiece);
        var hasBroken = 0;
        mesh.Peer.Answer = async (range, answers, _) =>
        {
            // The head and two frames.
            var honest = FakePeer.Honest(range, sample);
            var breaks = Interlocked.Exchange(ref hasBroken, 1) == 0;
            foreach (var answer in breaks ? honest.Take(3) : honest)
            {
                await answers.WriteAsync(answer);
            }

            if (breaks)
            {
                throw new RpcException(new Status(StatusCode.Unavailable, "broken"));
            }
        };
        await mesh.Peer.AnnounceAsync(mesh.Node, sample);

        var answer = await mesh.Node.GetAsync(sample.Digest, $"bytes=0-{layout.PieceSize - 1}");

        Assert.True(answer.IsComplete, answer.Log);
        Assert.True(answer.Bytes.AsSpan().SequenceEqual(sample.Bytes.AsSpan(0, layout.PieceSize)));
        Assert.Equal(0, mesh.Peer.OffsetsAsked[0]);
        Assert.Contains(2L * layout.FrameSize, mesh.Peer.OffsetsAsked);
        Assert.Single(mesh.Peer.OffsetsAsked, offset => offset < 2L * layout.FrameSize);
    }

    [Fact]
    public async Task Read_OriginBreaksInTheMiddleOfAPiece_GoesOnAtTheFirstFrameThatIsMissing()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(Size);
        var layout = sample.Layout;
        Assert.Equal(4, layout.FramesPerPiece);
        var hasBroken = 0;
        mesh.Registry.Intercept = async context =>
        {
            if (Interlocked.Exchange(ref hasBroken, 1) != 0)
            {
                return false;
            }

            // Two frames of the second piece, and a part of the next.
            context.Response.StatusCode = StatusCodes.Status206PartialContent;
            context.Response.ContentLength = 2 * layout.PieceSize;
            context.Response.Headers.ContentRange = $"bytes 0-{(2 * layout.PieceSize) - 1}/{Size}";
            await context.Response.Body.WriteAsync(sample.Bytes.AsMemory(0, layout.PieceSize + (2 * layout.FrameSize) + 1000), context.RequestAborted);
            throw new InvalidOperationException("cut on purpose");
        };

        var answer = await mesh.Node.GetAsync(sample.Digest, $"bytes=0-{(2 * layout.PieceSize) - 1}");

        Assert.True(answer.IsComplete, answer.Log);
        Assert.True(answer.Bytes.AsSpan().SequenceEqual(sample.Bytes.AsSpan(0, 2 * layout.PieceSize)));
        var missing = layout.PieceSize + (2 * layout.FrameSize);
        Assert.StartsWith($"bytes={missing}-", mesh.Registry.Requests[1].Range, StringComparison.Ordinal);
    }
}
