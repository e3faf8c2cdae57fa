using Peerd.Contracts.V1;
using Peerd.Tests.Facade;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;
using static Peerd.Tests.Content.BlobClient;

namespace Peerd.Tests.Content;

/// <summary>The media type that an origin told of a content goes with it from node to node, and does no harm when it is a lie.</summary>
public sealed class MediaTypeTests
{
    private const int Size = 700_000;
    private const string Type = "application/vnd.oci.image.layer.v1.tar+gzip";

    // Nobody answers there.
    private const string NoRoute = "http://127.0.0.1:1";

    [Fact]
    public async Task Read_WithoutRouteToTheOrigin_HasSizeAndTypeOfTheMesh()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 3, settingsOf: name => name == "node-1" ? [] : [$"--Peerd:Origin:Registries:0:Endpoint={NoRoute}"]);
        foreach (var owner in mesh.Nodes)
        {
            var sample = mesh.UnknownOwnedBy(Size, owner.Name);
            mesh.Registry.AddBlob(sample.Bytes, sample.Digest, Type);
            await AssertAsync(mesh.Node, UrlOf(mesh, sample), sample);
            await Wait.UntilAsync(() => owner.Directory.Find(sample.Digest, mesh.Node.Name) is { Complete: true }, "the mesh holds all of it");

            // The first of them asks for a part first, the other for the head.
            Assert.Equal(206, (await ReadAsync(mesh.Nodes[1], $"{NoRoute}/v2/r/blobs/{sample.Digest}", "bytes=0-0")).Status);
            foreach (var node in mesh.Nodes.Skip(1))
            {
                await AssertAsync(node, $"{NoRoute}/v2/r/blobs/{sample.Digest}", sample);
            }
        }
    }

    // An owner that is new, or of a version that does not tell it.
    [Fact]
    public async Task Read_OnlyTheHolderTellsTheType_IsKept()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.UnknownOwnedBy(Size, mesh.Peer.Name);
        mesh.Peer.AnswerLookup = SendToHolder(mesh.Peer, sample, mediaType: string.Empty);
        mesh.Peer.Answer = Holding(sample, Type);

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        await AssertAsync(mesh.Node, UrlOf(mesh, sample), sample);
    }

    [Fact]
    public async Task Read_OwnerTellsTheTypeLater_IsKept()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.UnknownOwnedBy(Size, mesh.Peer.Name);
        mesh.Peer.AnswerLookup = Tell(mesh.Peer, Known(mesh.Peer, sample, mediaType: string.Empty), new LookupResponse { MediaType = Type }, Assigned(mesh.Peer, sample));
        mesh.Peer.Answer = Holding(sample, mediaType: string.Empty);

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        await AssertAsync(mesh.Node, UrlOf(mesh, sample), sample);
    }

    [Fact]
    public async Task Read_OwnerKnowsTheSizeOnly_TypeIsTheOrigins()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.UnknownOwnedBy(Size, mesh.Peer.Name);
        mesh.Registry.AddBlob(sample.Bytes, sample.Digest, Type);
        mesh.Peer.AnswerLookup = Tell(mesh.Peer, new LookupResponse
        {
            Size = sample.Bytes.Length,
            State = LookupState.Available,
            Granted = { new SegmentRun { First = 0, Count = (uint)sample.Layout.SegmentCount } },
        });

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        await AssertAsync(mesh.Node, UrlOf(mesh, sample), sample);
    }

    // A range with a type of several parts would be taken apart by the client.
    [Theory]
    [InlineData("multipart/byteranges; boundary=x", "multipart/byteranges", null)]
    [InlineData("text/html\r\nX-Evil: 1", "\0", null)]
    [InlineData("é/é", "", null)]
    [InlineData("text/plain", "text/html", "text/plain")]
    [InlineData("text/", "text/html", "text/html")]
    public async Task Read_OwnerAndHolderLie_DoesNoHarm(string owners, string holders, string? told)
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.UnknownOwnedBy(Size, mesh.Peer.Name);
        mesh.Peer.AnswerLookup = SendToHolder(mesh.Peer, sample, owners);
        mesh.Peer.Answer = Holding(sample, holders);

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        await AssertAsync(mesh.Node, UrlOf(mesh, sample), sample, told);
        Assert.Equal(0, mesh.Node.IntegrityFailures);
    }

    [Fact]
    public async Task Read_OriginTellsNothing_NothingIsTold()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.BlobOwnedBy(Size, mesh.Nodes[1].Name);

        await AssertAsync(mesh.Node, UrlOf(mesh, sample), sample, told: null);

        await Wait.UntilAsync(() => mesh.Nodes[1].Directory.Find(sample.Digest, mesh.Node.Name) is { Complete: true }, "it is announced");
        Assert.True(mesh.Nodes[1].Directory.TryFind(sample.Digest, out var entry));
        Assert.Equal(string.Empty, entry.MediaType);
    }

    /// <summary>Each way to ask is answered with size and type.</summary>
    private static async Task AssertAsync(TestNode node, string url, SampleContent sample, string? told = Type)
    {
        await using var connection = await ConnectAsync(node);
        foreach (var target in new[] { $"/v2/library/test/blobs/{sample.Digest}?ns={TestNode.Registry}", $"/blobs/{url}" })
        {
            AssertAnswer(await connection.SendAsync("HEAD", target), []);
            AssertAnswer(await connection.SendAsync("GET", target, "Range: bytes=1000-1999"), sample.Bytes.AsSpan(1000, 1000));
            AssertAnswer(await connection.SendAsync("GET", target), sample.Bytes);
        }

        void AssertAnswer(RawAnswer answer, ReadOnlySpan<byte> body)
        {
            Assert.Equal(body.Length is 0 or Size ? $"{Size}" : $"{body.Length}", answer.Header("Content-Length"));
            MirrorAnswer.AssertType(answer, told);
            Assert.True(body.SequenceEqual(answer.Body));
        }
    }

    private static LookupResponse Known(FakePeer holder, SampleContent sample, string mediaType) => new()
    {
        Size = sample.Bytes.Length,
        MediaType = mediaType,
        State = LookupState.Available,
        Holders = { new Holder { Node = holder.Name, Complete = true } },
    };

    private static LookupResponse Assigned(FakePeer holder, SampleContent sample) => new()
    {
        Assigned = { new Assignment { Node = holder.Name, Segments = { new SegmentRun { First = 0, Count = (uint)sample.Layout.SegmentCount } } } },
    };

    private static AnswerLookup SendToHolder(FakePeer holder, SampleContent sample, string mediaType)
    {
        var push = Known(holder, sample, mediaType);
        push.MergeFrom(Assigned(holder, sample));
        return Tell(holder, push);
    }

    private static AnswerLookup Tell(FakePeer owner, params LookupResponse[] pushes) => async (_, answers, call) =>
    {
        foreach (var push in pushes)
        {
            await answers.WriteAsync(push);
        }

        await owner.NeverAsync(call);
    };

    private static AnswerRange Holding(SampleContent sample, string mediaType) => async (range, answers, _) =>
    {
        foreach (var answer in FakePeer.Honest(range, sample))
        {
            if (answer.Head is { } head)
            {
                head.MediaType = mediaType;
            }

            await answers.WriteAsync(answer);
        }
    };
}
