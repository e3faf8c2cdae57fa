using System.Net;
using System.Text;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Ring;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Mesh;

/// <summary>A member that tells wrong sizes and types of contents: pulls must not fail for good, and clients must be told right ones.</summary>
public sealed class WrongFactsTests
{
    private const string Index = "application/vnd.oci.image.index.v1+json";
    private const string Image = "application/vnd.oci.image.manifest.v1+json";

    private static int _lastManifest;

    // containerd does not ask anybody else after a HEAD that told a wrong size, or a type that the bytes do not have.
    [Theory]
    [InlineData("HEAD", 0)]
    [InlineData("HEAD", 1000)]
    [InlineData("HEAD", -10)]
    [InlineData("GET", 0)]
    [InlineData("GET", 1000)]
    [InlineData("GET", -10)]
    public async Task Manifest_ToldWrongTypeAndSize_IsAnsweredAsItIs(string method, int more)
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var (manifest, digest) = ManifestOwnedBy(mesh);
        await mesh.Peer.AnnounceAsync(mesh.Node, [new Availability { Digest = digest.ToString(), Size = manifest.Length + more, MediaType = Index, Complete = true }]);

        using var request = new HttpRequestMessage(new HttpMethod(method), $"/v2/library/test/manifests/{digest}?ns={TestNode.Registry}");
        using var answer = await mesh.Node.Client.SendAsync(request);

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal((Image, manifest.Length), (answer.Content.Headers.ContentType?.MediaType, answer.Content.Headers.ContentLength));
        if (method == "GET")
        {
            Assert.Equal(manifest, await answer.Content.ReadAsByteArrayAsync());
        }
    }

    [Theory]
    [InlineData(100)]
    [InlineData(900_000)]
    public async Task Blob_ToldWrongSize_IsReadAllTheSame(int told)
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2, peers: 1);
        var sample = mesh.BlobOwnedBy(700_000, mesh.Node.Name);
        await mesh.Peer.AnnounceAsync(mesh.Node, [new Availability { Digest = sample.Digest.ToString(), Size = told, Complete = true }]);

        foreach (var node in mesh.Nodes)
        {
            // A client that had taken the size already is cut, and comes again.
            var answer = await node.GetAsync(sample.Digest);
            Assert.False(answer is { Status: HttpStatusCode.OK, IsComplete: true } && answer.Bytes.Length == told, "an answer of the wrong size was complete");
            (await node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        }
    }

    // The owner is the liar, and goes on.
    [Fact]
    public async Task Owner_TellsWrongSizeAndGrantsNothing_IsNotHeardAnyMore()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy(700_000, mesh.Peer.Name);
        mesh.Peer.AnswerLookup = async (_, answers, call) =>
        {
            await answers.WriteAsync(new LookupResponse { Size = 900_000, State = LookupState.Available, Granted = { new SegmentRun { First = 0, Count = 1000 } } });
            await mesh.Peer.NeverAsync(call);
        };

        _ = await mesh.Node.GetAsync(sample.Digest);

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    // For pieces that the content has not, or with more frames than they have.
    [Fact]
    public async Task Owner_TellsChecksumsOfNothing_TheyAreNotTaken()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy(700_000, mesh.Peer.Name);
        mesh.Peer.AnswerLookup = async (_, answers, call) =>
        {
            var lies = new LookupResponse
            {
                Checksums =
                {
                    new PieceChecksums { Piece = 0, Frames = { Enumerable.Repeat(1UL, 100_000) } },
                    new PieceChecksums { Piece = 1 },
                    new PieceChecksums { Piece = uint.MaxValue, Frames = { 1 } },
                },
            };

            // Before the size is known, and after.
            var all = new SegmentRun { First = 0, Count = (uint)sample.Layout.SegmentCount };
            await answers.WriteAsync(lies);
            await answers.WriteAsync(new LookupResponse
            {
                Size = sample.Bytes.Length,
                State = LookupState.Available,
                Holders = { new Holder { Node = mesh.Peer.Name, Complete = true } },
                Assigned = { new Assignment { Node = mesh.Peer.Name, Segments = { all } } },
                Checksums = { lies.Checksums },
            });
            await mesh.Peer.NeverAsync(call);
        };
        mesh.Peer.Answer = async (range, answers, _) =>
        {
            foreach (var answer in FakePeer.Honest(range, sample))
            {
                await answers.WriteAsync(answer);
            }
        };

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        Assert.True(mesh.Peer.RangesAsked > 0, "nothing was read from the peer, so nothing was compared");
        Assert.Equal(0, mesh.Node.IntegrityFailures);
    }

    private static (byte[] Manifest, Digest Digest) ManifestOwnedBy(TestMesh mesh)
    {
        var ring = mesh.Node.Get<RingSource>().Current;
        var responsible = new int[ProtocolConstants.Replicas];
        while (true)
        {
            var manifest = Encoding.UTF8.GetBytes($$"""{"schemaVersion": 2, "config": {"n": {{Interlocked.Increment(ref _lastManifest)}}}, "layers": []}""");
            ring.FindResponsible(Digest.OfSha256(manifest), responsible);
            if (ring[responsible[0]].Name == mesh.Node.Name)
            {
                return (manifest, mesh.Registry.AddManifest(manifest));
            }
        }
    }
}
