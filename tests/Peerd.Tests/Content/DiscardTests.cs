using System.Net;
using Peerd.Contracts;
using Peerd.Tests.Facade;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Content;

/// <summary>Another node has found wrong bytes of a content, or the origin has failed, while it comes.</summary>
public sealed class DiscardTests
{
    private const int MiB = 1024 * 1024;

    [Fact]
    public async Task Discard_AgainAndAgainWhileAPeerSends_AllComesAgainOnceAndThePeerIsNotBlamed()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy((8 * MiB) + 5, mesh.Node.Name);
        var discards = 0;
        mesh.Peer.Answer = async (range, answers, _) =>
        {
            foreach (var answer in FakePeer.Honest(range, sample))
            {
                await answers.WriteAsync(answer);
                if (answer.Frame is not null)
                {
                    mesh.Node.Downloads.Discard(sample.Digest);
                    discards++;
                }
            }
        };
        await mesh.Peer.AnnounceAsync(mesh.Node, sample);

        // What a client got before may have been wrong, so that its body is cut; it comes back.
        var first = await mesh.Node.GetAsync(sample.Digest);
        Assert.True(sample.Bytes.AsSpan().StartsWith(first.Bytes));
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        Assert.True(discards > 20);
        Assert.Equal(0, mesh.Node.IntegrityFailures);
        Assert.Equal(0, mesh.Registry.BytesOf(sample.Digest));
        Assert.Contains(mesh.Node.Logs.GetSnapshot(), record => record.Message.StartsWith("Another node has found wrong bytes", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Read_OriginFailsForAWhile_IsReadForAllAgain()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(8 * MiB);
        var url = $"/blobs/{mesh.Registry.Url}/v2/r/blobs/{sample.Digest}?sig=S3cretx";
        await using var connection = await RawConnection.ConnectAsync(mesh.Node.Client.BaseAddress!.Port);
        Assert.Equal(206, (await connection.SendAsync("GET", url, "Range: bytes=0-99")).Status);
        mesh.Registry.AnswerWith(HttpStatusCode.ServiceUnavailable);
        Assert.Equal(503, (await connection.SendAsync("GET", url, "Range: bytes=4000000-4000099")).Status);
        mesh.Registry.AnswerWith(HttpStatusCode.OK, times: 0);

        // By the same URL: it is not past the shared download for ever.
        var piece = new ContentLayout(sample.Bytes.Length).PieceAt(5_000_000);
        await Wait.UntilAsync(
            async () =>
            {
                var answer = await connection.SendAsync("GET", url, "Range: bytes=5000000-5000099");
                Assert.True(sample.Bytes.AsSpan(5_000_000, 100).SequenceEqual(answer.Body));
                return mesh.Node.Cache.TryPeek(sample.Digest, out var content) && content.HasPiece(piece);
            },
            "what is read is kept");
    }
}
