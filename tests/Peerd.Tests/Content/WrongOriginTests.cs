using System.Net;
using System.Net.Sockets;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Origin;
using Peerd.Node.Swarm;
using Peerd.Tests.Facade;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;
using static Peerd.Tests.Content.BlobClient;

namespace Peerd.Tests.Content;

/// <summary>An origin that does not send what a digest says, or not to everybody.</summary>
public sealed class WrongOriginTests
{
    private const int KiB = 1024;
    private const int Size = 2 * KiB * KiB;

    [Fact]
    public async Task Blobs_AlwaysWrong_ArePassedThroughAndNeitherKeptNorShared()
    {
        var time = new TimeAhead();
        await using var mesh = await TestMesh.StartAsync(nodes: 2, time: time);
        var (sample, wrong) = Wrong(mesh, Size);

        // Each time it is here as a whole it is found out and dropped, and twice is enough.
        for (var rounds = 1; !mesh.Node.Downloads.Quarantine.Contains(sample.Digest); rounds++)
        {
            Assert.InRange(rounds, 1, 4);
            var before = mesh.Node.IntegrityFailures;
            try
            {
                await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), wrong.Bytes);
            }
            catch (Exception e) when (e is HttpRequestException or IOException)
            {
                // It was found out, and dropped, while a part of it was sent.
            }

            await Wait.UntilAsync(() => mesh.Node.IntegrityFailures > before, "the whole is found wrong");
            var isAgain = rounds > 1;
            await Wait.UntilAsync(() => mesh.Node.Downloads.Quarantine is var quarantine && (isAgain ? quarantine.Contains(sample.Digest) : quarantine.Count > 0), "that is remembered");
        }

        await Wait.UntilAsync(() => mesh.Nodes.TrueForAll(node => node.Directory.Find(sample.Digest, mesh.Node.Name) is null), "nobody is told that it is here");
        var (bytes, failures) = (mesh.Registry.BytesOf(sample.Digest), mesh.Node.IntegrityFailures);

        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), wrong.Bytes);

        // Its own URL says so: exactly what was asked for, each time, and nothing of it stays.
        Assert.Equal(bytes + Size, mesh.Registry.BytesOf(sample.Digest));
        Assert.False(mesh.Node.Cache.TryPeek(sample.Digest, out var content) && content.SnapshotPieces().Count > 0, "something of it is kept");
        Assert.All(mesh.Nodes, node => Assert.Null(node.Directory.Find(sample.Digest, mesh.Node.Name)));
        Assert.Equal(failures, mesh.Node.IntegrityFailures);

        // It may be mended.
        mesh.Registry.AddBlob(sample.Bytes, sample.Digest);
        time.Ahead += Quarantine.Memory;
        await Wait.UntilAsync(
            async () =>
            {
                await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), sample);
                return mesh.Node.Cache.TryPeek(sample.Digest, out var whole) && whole.IsVerified;
            },
            "it is here and right");
    }

    // A read may be about to copy what is dropped at that moment.
    [Fact]
    public async Task Blobs_ReaderMissesWhatWasDroppedAtTheEnd_ItIsNotBroughtAgain()
    {
        await using var mesh = await TestMesh.StartAsync();
        var (sample, wrong) = Wrong(mesh, Size);
        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), wrong.Bytes);
        await Wait.UntilAsync(() => mesh.Node.Downloads.Quarantine.Count > 0, "that it is wrong is remembered");
        var origin = OriginReference.Of(new GivenUrl(new Uri(UrlOf(mesh, sample)), authorization: null), sample.Digest.ToString());
        using var use = mesh.Node.Downloads.Join(sample.Digest, origin, isWhole: false);
        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), wrong.Bytes);
        await use.Download.GaveUpAsync.WaitAsync(Wait.Longest);
        await Wait.UntilAsync(() => use.Download.Content.SnapshotPieces().Count == 0, "all is dropped");

        using var reader = use.AddReader(new ByteRange(0, 100), aheadPieces: 1);
        use.Download.FrameLost(0);

        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), wrong.Bytes);
        Assert.Equal(0, use.Download.Content.SnapshotPieces().Count);
    }

    [Fact]
    public async Task Pull_AlwaysWrong_IsReadAtTheOriginAndNotKeptUntilItIsRight()
    {
        await using var mesh = await TestMesh.StartAsync();
        var (sample, _) = Wrong(mesh, Size);
        for (var rounds = 1; !mesh.Node.Downloads.Quarantine.Contains(sample.Digest); rounds++)
        {
            Assert.InRange(rounds, 1, 4);
            var before = mesh.Node.IntegrityFailures;
            Assert.False((await mesh.Node.GetAsync(sample.Digest)) is { IsComplete: true, Status: HttpStatusCode.OK });
            await Wait.UntilAsync(() => mesh.Node.IntegrityFailures > before, "the whole is found wrong");
        }

        var (bytes, failures) = (mesh.Registry.BytesOf(sample.Digest), mesh.Node.IntegrityFailures);
        var cut = await mesh.Node.GetAsync(sample.Digest);

        Assert.Equal((HttpStatusCode.OK, true), (cut.Status, cut.IsCutByFin));
        Assert.InRange(cut.Bytes.Length, 0, Size - 1);
        Assert.Equal((bytes + Size, failures + 1), (mesh.Registry.BytesOf(sample.Digest), mesh.Node.IntegrityFailures));
        Assert.False(mesh.Node.Cache.TryPeek(sample.Digest, out var content) && content.SnapshotPieces().Count > 0, "something of it is kept");

        // What cannot be compared is not sent; all of it may be asked for as a range.
        Assert.Equal(HttpStatusCode.BadGateway, (await mesh.Node.GetAsync(sample.Digest, "bytes=100-")).Status);
        Assert.Equal((HttpStatusCode.PartialContent, true), await mesh.Node.GetAsync(sample.Digest, "bytes=0-") is var whole ? (whole.Status, whole.IsCutByFin) : default);

        // Right once, it is a content like others.
        mesh.Registry.AddBlob(sample.Bytes, sample.Digest);
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        Assert.False(mesh.Node.Downloads.IsQuarantined(sample.Digest));
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        Assert.True(mesh.Node.Cache.TryPeek(sample.Digest, out content) && content.IsVerified);
    }

    // Each keeps a place at the registry, which others need, for as long as its client likes.
    [Fact]
    public async Task Pull_ManyReadInQuarantineAtOnce_AFewAreServedAndOthersGoToTheRegistryThemselves()
    {
        await using var mesh = await TestMesh.StartAsync();
        var (sample, _) = Wrong(mesh, Size);
        mesh.Node.Downloads.Quarantine.Mismatched(sample.Digest, isAgain: true);
        using (mesh.Registry.HoldBodies())
        {
            var few = new List<RawConnection>();
            for (var i = 0; i < 4; i++)
            {
                few.Add(await ConnectAsync(mesh.Node));
                await few[i].WriteRequestAsync("GET", $"/v2/library/test/blobs/{sample.Digest}?ns={TestNode.Registry}");
                Assert.Equal(200, (await few[i].ReadHeadAsync()).Status);
            }

            Assert.Equal(HttpStatusCode.ServiceUnavailable, (await mesh.Node.GetAsync(sample.Digest)).Status);
            foreach (var connection in few)
            {
                await connection.DisposeAsync();
            }
        }

        await Wait.UntilAsync(async () => (await mesh.Node.GetAsync(sample.Digest)).Status == HttpStatusCode.OK, "there is room again");
    }

    [Fact]
    public async Task Pull_EmptyInQuarantine_IsRefused()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(Size);
        mesh.Registry.AddBlob([], sample.Digest);
        mesh.Node.Downloads.Quarantine.Mismatched(sample.Digest, isAgain: true);

        Assert.Equal(HttpStatusCode.BadGateway, (await mesh.Node.GetAsync(sample.Digest)).Status);
        Assert.True(mesh.Node.Downloads.Quarantine.Contains(sample.Digest));
    }

    // All of it, past the mesh: nobody takes it for what the URL says it is.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Blobs_WholeIsReadPastTheMesh_OnlyRightBytesAreComplete(bool isRight)
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Limits:Requests=1"]);
        var (sample, wrong) = Wrong(mesh, Size);
        if (isRight)
        {
            mesh.Registry.AddBlob(sample.Bytes, sample.Digest);
        }

        var large = mesh.Blob(48 << 20);
        using var held = await mesh.Node.SendAsync(large.Digest);
        await using var connection = await ConnectAsync(mesh.Node);
        await connection.WriteRequestAsync("GET", $"/blobs/{UrlOf(mesh, sample)}");
        Assert.Equal("2097152", (await connection.ReadHeadAsync()).Header("Content-Length"));

        var body = new byte[Size];
        var read = 0;
        try
        {
            read = await connection.ReadAsync(body);
        }
        catch (SocketException)
        {
            // Cut, and what came before is thrown away.
        }

        Assert.Equal(isRight, read == Size);
        Assert.True(body.AsSpan(0, read).SequenceEqual((isRight ? sample : wrong).Bytes.AsSpan(0, read)));
    }

    // No byte comes by that could be compared.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Blobs_WholeIsEmptyAtItsUrl_IsRefusedUnlessItIsThatContent(bool isPastTheMesh)
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Limits:Requests=1"]);
        var (sample, empty) = (TestMesh.NewSample(Size), mesh.Registry.AddBlob([]));
        mesh.Registry.AddBlob([], sample.Digest);
        var large = mesh.Blob(48 << 20);
        using var held = isPastTheMesh ? await mesh.Node.SendAsync(large.Digest) : null;

        await using var connection = await ConnectAsync(mesh.Node);
        Assert.Equal(502, (await connection.SendAsync("GET", $"/blobs/{UrlOf(mesh, sample)}")).Status);
        var answer = await connection.SendAsync("GET", $"/blobs/{UrlOf(mesh, empty)}");
        Assert.Equal((200, 0), (answer.Status, answer.Body.Length));
    }

    [Fact]
    public async Task Manifest_AlwaysWrong_IsRefusedUntilItIsRight()
    {
        await using var mesh = await TestMesh.StartAsync();
        var manifest = """{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"""u8.ToArray();
        var digest = mesh.Registry.AddManifest(manifest, "application/vnd.oci.image.index.v1+json");
        mesh.Registry.Intercept = async context =>
        {
            context.Response.ContentLength = manifest.Length;
            await context.Response.Body.WriteAsync(new byte[manifest.Length]);
            return true;
        };
        var path = $"/v2/library/test/manifests/{digest}?ns={TestNode.Registry}";
        await Wait.UntilAsync(
            async () =>
            {
                using var refused = await mesh.Node.Client.GetAsync(path);
                Assert.Equal(HttpStatusCode.BadGateway, refused.StatusCode);
                return mesh.Node.Downloads.Quarantine.Contains(digest);
            },
            "it is in quarantine");

        using (var refused = await mesh.Node.Client.GetAsync(path))
        {
            Assert.Equal(HttpStatusCode.BadGateway, refused.StatusCode);
        }

        mesh.Registry.Intercept = null;
        Assert.Equal(manifest, await mesh.Node.Client.GetByteArrayAsync(path, TestContext.Current.CancellationToken));
    }

    // Who read it first has other bytes. Nobody can tell who is right as long as the content is not whole.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Blobs_OriginContradictsWhoReadItFirst_BytesOfBothAreNeverMixed(bool isPullGone)
    {
        var time = new TimeAhead();
        await using var mesh = await TestMesh.StartAsync(peers: 1, time: time);
        var sample = mesh.BlobOwnedBy(Size, mesh.Peer.Name);
        var other = TestMesh.NewSample(Size);
        var layout = sample.Layout;
        mesh.Peer.Answer = async (range, answers, _) =>
        {
            foreach (var answer in FakePeer.Honest(range, other))
            {
                await answers.WriteAsync(answer);
            }
        };
        mesh.Peer.AnswerLookup = async (_, answers, call) =>
        {
            await answers.WriteAsync(
                new LookupResponse
                {
                    State = LookupState.Available,
                    Size = Size,
                    Holders = { new Holder { Node = mesh.Peer.Name, Pieces = { new PieceRun { First = 0, Count = 1 } } } },
                    Granted = { new SegmentRun { First = 1, Count = 1 } },
                    Checksums = { ChecksumsOf(other, 0), ChecksumsOf(other, 1) },
                },
                call.CancellationToken);
            await mesh.Peer.NeverAsync(call);
        };

        Assert.Equal(other.Bytes[..100], (await ReadAsync(mesh.Node, UrlOf(mesh, sample), "bytes=0-99")).Body);
        if (isPullGone)
        {
            // Its digest would have told who is right, but nobody waits for that any more.
            mesh.Node.Downloads.Join(sample.Digest, OriginReference.None, isWhole: true).Dispose();
        }

        var second = (int)layout.Piece(1).Offset;
        Assert.Equal(sample.Bytes[second..(second + 100)], (await ReadAsync(mesh.Node, UrlOf(mesh, sample), $"bytes={second}-{second + 99}")).Body);

        Assert.Equal(1, mesh.Node.IntegrityFailures);

        // A container that pauses begins anew with those that were contradicted.
        time.Ahead += TimeSpan.FromMinutes(1);
        await Wait.UntilAsync(() => !mesh.Node.Downloads.IsDownloading(sample.Digest), "nobody needs anything of it");
        var asked = mesh.Peer.RangesAsked;
        Assert.Equal(sample.Bytes[..100], (await ReadAsync(mesh.Node, UrlOf(mesh, sample), "bytes=0-99")).Body);
        Assert.Equal((1, asked), (mesh.Node.IntegrityFailures, mesh.Peer.RangesAsked));

        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), sample);
        await Wait.UntilAsync(() => mesh.Node.Cache.TryPeek(sample.Digest, out var content) && content.IsVerified, "all of it is the origin's");
        Assert.Equal(1, mesh.Node.IntegrityFailures);
    }

    private static PieceChecksums ChecksumsOf(SampleContent content, int piece)
    {
        var first = content.Layout.FirstFrameOf(piece);
        return new PieceChecksums
        {
            Piece = (uint)piece,
            Frames = { Enumerable.Range(first, content.Layout.FramesIn(piece)).Select(frame => FrameChecksum.Compute(content.Frame(frame))) },
        };
    }

    /// <summary>A content, and another one that the registry sends for it.</summary>
    private static (SampleContent Right, SampleContent Wrong) Wrong(TestMesh mesh, int size)
    {
        var (right, wrong) = (TestMesh.NewSample(size), TestMesh.NewSample(size));
        mesh.Registry.AddBlob(wrong.Bytes, right.Digest);
        return (right, wrong);
    }
}
