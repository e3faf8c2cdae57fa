using System.Globalization;
using System.Net;
using Microsoft.AspNetCore.Http;
using Peerd.Contracts;
using Peerd.Node.Facade;
using Peerd.Tests.Facade;
using Peerd.Tests.Hosting;
using Peerd.Tests.Origin;
using Peerd.Tests.Storage;
using static Peerd.Tests.Content.BlobClient;

namespace Peerd.Tests.Content;

/// <summary>What overlaybd sees of a node: reads of <c>/blobs/&lt;absolute URL&gt;</c> through whole nodes.</summary>
public sealed class BlobReadTests
{
    private const int KiB = 1024;
    private const int MiB = 1024 * KiB;

    private static int Last(SampleContent sample) => sample.Bytes.Length - 1;

    [Theory]
    [InlineData("bytes=0-0", 0, 1)]
    [InlineData("bytes=1000-66535", 1000, 65536)]
    [InlineData("bytes=3001170-3001173", 3_001_170, 4)]
    [InlineData("bytes=3001170-3009999", 3_001_170, 4)]
    [InlineData("bytes=0-99999999999", 0, 3_001_174)]
    [InlineData("bytes=0-", 0, 3_001_174)]
    [InlineData("bytes=3000000-", 3_000_000, 1174)]
    [InlineData("bytes=-512", 3_000_662, 512)]
    [InlineData("bytes=,17-20,", 17, 4)]
    public async Task Read_AnyRange_IsExactlyThatRange(string range, int offset, int length)
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.Blob(3_001_174);

        // With a digest in the URL and without one, by the mesh and past it.
        foreach (var url in new[] { UrlOf(mesh, sample), $"{mesh.Registry.Url}/v2/r/blobs/{sample.Digest}?d=sha256:{new string('0', 64)}" })
        {
            foreach (var node in mesh.Nodes)
            {
                var answer = await ReadAsync(node, url, range);

                Assert.Equal(206, answer.Status);
                Assert.Equal($"bytes {offset}-{offset + length - 1}/3001174", answer.Header("Content-Range"));
                Assert.True(sample.Bytes.AsSpan(offset, length).SequenceEqual(answer.Body));
            }
        }
    }

    [Theory]
    [InlineData("bytes=3001174-")]
    [InlineData("bytes=3001174-3001180")]
    [InlineData("bytes=1000-0")]
    [InlineData("bytes=0-9,20-29")]
    [InlineData("bytes=a-b")]
    [InlineData("items=0-5")]
    [InlineData("bytes=")]
    public async Task Read_RangeThatIsNone_IsRefusedAndNeverTheWhole(string range)
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(3_001_174);

        foreach (var url in new[] { UrlOf(mesh, sample), $"{mesh.Registry.Url}/v2/r/blobs/{sample.Digest}?d=sha256:{new string('0', 64)}" })
        {
            var answer = await ReadAsync(mesh.Node, url, range);

            Assert.Equal((416, "RANGE_INVALID"), (answer.Status, answer.ErrorCode()));
        }
    }

    [Fact]
    public async Task Read_WithoutRange_IsTheWhole()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(3 * MiB);
        await using var connection = await ConnectAsync(mesh.Node);

        var head = await connection.SendAsync("HEAD", $"/blobs/{UrlOf(mesh, sample)}");
        var whole = await connection.SendAsync("GET", $"/blobs/{UrlOf(mesh, sample)}");

        Assert.Equal((200, $"{3 * MiB}"), (head.Status, head.Header("Content-Length")));
        Assert.Equal(200, whole.Status);
        Assert.True(sample.Bytes.AsSpan().SequenceEqual(whole.Body));
    }

    [Fact]
    public async Task Read_OtherSignaturesHostsAndNodes_IsOneContent()
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var mesh = await TestMesh.StartAsync(nodes: 3, registry: registry, settings: [$"--Peerd:Blobs:Hosts:0={registry.Url}"]);
        var sample = mesh.Blob(2 * MiB);
        var hex = sample.Digest.Hex;
        string[] urls =
        [
            $"{mesh.Registry.Url}/v2/team/app/blobs/{sample.Digest}?sig=S3cret1",
            $"{mesh.Registry.Url}/v2/other/name/blobs/{sample.Digest}?sig=S3cret2",
            $"{mesh.Registry.Url}/r//docker/registry/v2/blobs/sha256/{hex[..2]}/{hex}/data?sig=S3cret3",
            $"{mesh.Registry.Url}/?x=1&d={sample.Digest}",
        ];
        await ReadAllAsync(mesh.Node, urls[0], sample);
        await Wait.UntilAsync(() => mesh.Nodes.Exists(node => node.Directory.TryFind(sample.Digest, out var entry) && entry.Holders.Any(holder => holder.Complete)), "it is announced");
        var bytes = mesh.Registry.BytesOf(sample.Digest);

        foreach (var node in mesh.Nodes)
        {
            foreach (var url in urls)
            {
                await ReadAllAsync(node, url, sample);
            }
        }

        Assert.Equal((sample.Bytes.Length, sample.Bytes.Length), (bytes, mesh.Registry.BytesOf(sample.Digest)));
    }

    // A registry may answer what it does not know with a page of its own, whatever digest is written into the URL.
    [Theory]
    [InlineData("/?d={0}")]
    [InlineData("/x/blobs/{0}")]
    [InlineData("/v2/A/blobs/{0}")]
    [InlineData("/docker/registry/v2/blobs/sha256/{1}/{2}/data")]
    public async Task Read_RegistryAnswersWhatItDoesNotKnow_NothingOfItIsTakenForTheContent(string path)
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(2 * MiB);
        var url = mesh.Registry.Url + string.Format(CultureInfo.InvariantCulture, path, sample.Digest, sample.Digest.Hex[..2], sample.Digest.Hex);
        var page = TestMesh.NewSample(MiB).Bytes;
        mesh.Registry.Intercept = async context =>
        {
            if (context.Request.Path.StartsWithSegments("/v2/r", StringComparison.Ordinal))
            {
                return false;
            }

            await Results.Bytes(page, enableRangeProcessing: true).ExecuteAsync(context);
            return true;
        };

        await ReadAllAsync(mesh.Node, url, page);

        Assert.False(mesh.Node.Cache.TryPeek(sample.Digest, out _));
        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), sample);
        Assert.Equal((0, 0), (mesh.Node.IntegrityFailures, mesh.Node.Downloads.Quarantine.Count));
    }

    [Fact]
    public async Task Read_ManySmallReadsAtOnce_OriginIsAskedForPiecesOnce()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(16 * MiB);

        var answers = await Task.WhenAll(Enumerable.Range(0, 64).Select(i => ReadAsync(mesh.Node, UrlOf(mesh, sample), $"bytes={i * 64 * KiB}-{((i + 1) * 64 * KiB) - 1}")));

        for (var i = 0; i < answers.Length; i++)
        {
            Assert.Equal(206, answers[i].Status);
            Assert.True(sample.Bytes.AsSpan(i * 64 * KiB, 64 * KiB).SequenceEqual(answers[i].Body));
        }

        Assert.InRange(mesh.Registry.BytesOf(sample.Digest), 4 * MiB, sample.Bytes.Length);
        Assert.InRange(mesh.Registry.RequestsFor(sample.Digest), 1, 64);
    }

    [Theory]
    [InlineData(HttpStatusCode.Unauthorized)]
    [InlineData(HttpStatusCode.Forbidden)]
    [InlineData(HttpStatusCode.NotFound)]
    [InlineData(HttpStatusCode.Gone)]
    [InlineData(HttpStatusCode.RequestedRangeNotSatisfiable)]
    [InlineData(HttpStatusCode.TooManyRequests)]
    [InlineData(HttpStatusCode.InternalServerError)]
    [InlineData(HttpStatusCode.ServiceUnavailable)]
    public async Task Read_OriginRefuses_ClientGetsThatStatusAndCanComeAgain(HttpStatusCode status)
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        foreach (var owner in new[] { "node-1", "node-2" })
        {
            var sample = mesh.BlobOwnedBy(MiB, owner);
            mesh.Registry.AnswerWith(status);

            Assert.Equal((int)status, (await ReadAsync(mesh.Node, UrlOf(mesh, sample, "S3cretold"), "bytes=10-99")).Status);
            Assert.InRange(mesh.Registry.Requests.Count(request => request.Target.Contains(sample.Digest.Hex, StringComparison.Ordinal)), 1, 3);

            // It finds out another URL then.
            mesh.Registry.AnswerWith(HttpStatusCode.OK, times: 0);
            await ReadAllAsync(mesh.Node, UrlOf(mesh, sample, "S3cretnew"), sample);
        }
    }

    [Fact]
    public async Task Read_SignatureExpiresOnTheWay_OtherClientsGoOn()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.Blob(8 * MiB);
        mesh.Registry.Intercept = context =>
        {
            var isExpired = context.Request.QueryString.Value == "?sig=S3cretold" && context.Request.Headers.Range != "bytes=0-1048575";
            context.Response.StatusCode = isExpired ? 403 : 200;
            return Task.FromResult(isExpired);
        };

        Assert.Equal(206, (await ReadAsync(mesh.Node, UrlOf(mesh, sample, "S3cretold"), "bytes=0-99")).Status);
        Assert.Equal(403, (await ReadAsync(mesh.Node, UrlOf(mesh, sample, "S3cretold"), "bytes=5000000-5000099")).Status);

        await ReadAllAsync(mesh.Nodes[1], UrlOf(mesh, sample, "S3cretother"), sample);
        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample, "S3cretnew"), sample);
    }

    [Fact]
    public async Task Read_NoRouteToTheOrigin_MeshHasIt()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 3);
        var sample = mesh.Blob(5 * MiB);
        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), sample);
        await Wait.UntilAsync(() => mesh.Nodes.Exists(node => node.Directory.TryFind(sample.Digest, out var entry) && entry.Holders.Any(holder => holder.Complete)), "it is announced");
        mesh.Registry.Fail(FakeFault.Drop);

        foreach (var node in mesh.Nodes)
        {
            await ReadAllAsync(node, UrlOf(mesh, sample), sample);
        }
    }

    [Theory]
    [InlineData(2, 0)]
    [InlineData(0, 2)]
    public async Task Read_AllOthersDeadOrSilent_ServedFromTheUrl(int dead, int silent)
    {
        await using var mesh = await TestMesh.StartAsync(dead: dead, silent: silent, settings: ["--Peerd:Mesh:ConnectTimeout=300ms", "--Peerd:Mesh:IdleTimeout=1s"]);
        var owner = dead > 0 ? "dead" : "silent";
        var sample = mesh.BlobOwnedBy(3 * MiB, $"{owner}-1", $"{owner}-2");

        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), sample);
    }

    [Fact]
    public async Task Read_CacheCannotBeWritten_ServedAllTheSame()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 1, cache: "/proc/peerd", settings: ["--Peerd:Cache:Memory=4MiB"]);
        var sample = mesh.Blob(20 * MiB);

        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), sample);

        // What had to give way comes again.
        for (var offset = 0; offset < sample.Bytes.Length; offset += 2 * MiB)
        {
            var answer = await ReadAsync(mesh.Node, UrlOf(mesh, sample), $"bytes={offset}-{offset + 99}");
            Assert.Equal(206, answer.Status);
            Assert.True(sample.Bytes.AsSpan(offset, 100).SequenceEqual(answer.Body));
        }
    }

    [Theory]
    [InlineData(FakeFault.Truncate, 4)]
    [InlineData(FakeFault.Reset, 4)]
    [InlineData(FakeFault.StallBody, 1)]
    [InlineData(FakeFault.Drop, 2)]
    [InlineData(FakeFault.IgnoreRange, int.MaxValue)]
    [InlineData(FakeFault.WrongContentRange, 2)]
    [InlineData(FakeFault.LyingContentLength, 2)]
    public async Task Read_OriginBreaksABit_NoAnswerIsShortOrWrong(FakeFault fault, int times)
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2, settings: ["--Peerd:Origin:IdleTimeout=300ms", "--Peerd:Origin:HeaderTimeout=1s"]);
        var sample = mesh.Blob(3 * MiB);
        mesh.Registry.Fail(fault, times);
        foreach (var node in mesh.Nodes)
        {
            for (var (offset, tries) = (0, 0); offset < sample.Bytes.Length;)
            {
                var length = Math.Min(200_000, sample.Bytes.Length - offset);
                try
                {
                    var answer = await ReadAsync(node, UrlOf(mesh, sample), $"bytes={offset}-{offset + length - 1}");
                    if (answer.Status == 206)
                    {
                        Assert.True(sample.Bytes.AsSpan(offset, length).SequenceEqual(answer.Body));
                        (offset, tries) = (offset + length, 0);
                        continue;
                    }

                    Assert.InRange(answer.Status, 502, 504);
                }
                catch (IOException)
                {
                    // Cut: what overlaybd sees as an error, and repeats three times.
                }

                Assert.InRange(++tries, 1, 3);
            }
        }
    }

    [Fact]
    public async Task Read_OriginSilent_IsAnErrorInTime()
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Blobs:AnswerTimeout=1s"]);
        var sample = mesh.Blob(MiB);
        mesh.Registry.Fail(FakeFault.StallHeaders);

        Assert.Equal(504, (await ReadAsync(mesh.Node, UrlOf(mesh, sample), "bytes=0-99")).Status);
    }

    // overlaybd counts from when it connects.
    [Fact]
    public async Task Read_ItsConnectionHasWaitedForAPlace_HasSoMuchLessTime()
    {
        const int Looks = 8;
        var time = new ArmedTime();
        await using var mesh = await TestMesh.StartAsync(time: time, settings: ["--Peerd:Facade:MaxConnections=1"]);
        mesh.Registry.Fail(FakeFault.StallHeaders);
        var first = await AskAsync();
        await time.ArmedAsync(TimeSpan.FromSeconds(9));
        time.Forget();
        await using var second = await AskAsync();
        for (var i = 0; i < Looks; i++)
        {
            await time.PassAsync(FacadeConnections.Look);
        }

        await time.ArmedAsync(FacadeConnections.Look);
        await first.DisposeAsync();
        await time.ArmedAsync(TimeSpan.FromSeconds(9) - (Looks * FacadeConnections.Look));

        // And so has the mesh, before the URL itself is read.
        await time.ArmedAsync((TimeSpan.FromSeconds(9) * 0.6) - (Looks * FacadeConnections.Look));

        async Task<RawConnection> AskAsync()
        {
            var connection = await ConnectAsync(mesh.Node);
            await connection.WriteRequestAsync("GET", $"/blobs/{UrlOf(mesh, mesh.Blob(MiB))}", "Range: bytes=0-99");
            return connection;
        }
    }

    [Fact]
    public async Task Read_AllIsDroppedOnTheWay_BytesOfBeforeAndAfterAreNotInOneAnswer()
    {
        const int Long = 12 * MiB;
        await using var mesh = await TestMesh.StartAsync();
        var (sample, other) = (mesh.Blob(16 * MiB), TestMesh.NewSample(16 * MiB));
        await using var connection = await ConnectAsync(mesh.Node);

        // More than any buffer: what is not taken is not sent, and not read here before it can be.
        await connection.WriteRequestAsync("GET", $"/blobs/{UrlOf(mesh, sample)}", $"Range: bytes=0-{Long - 1}", "Connection: close");
        Assert.Equal(206, (await connection.ReadHeadAsync()).Status);
        mesh.Registry.AddBlob(other.Bytes, sample.Digest);
        mesh.Node.Downloads.Discard(sample.Digest);
        var (bytes, _) = await connection.ReadToEndAsync();

        Assert.InRange(bytes.Length, 1, Long - 1);
        Assert.Equal(bytes.Length, sample.Bytes.AsSpan().CommonPrefixLength(bytes));
    }

    [Fact]
    public async Task Read_NoDigestInTheUrl_IsPassedThroughEachTime()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(MiB);
        var url = $"{mesh.Registry.Url}/v2/r/blobs/{sample.Digest}?d=sha256:{new string('0', 64)}";

        Assert.Equal(206, (await ReadAsync(mesh.Node, url, "bytes=0-99")).Status);
        Assert.Equal(206, (await ReadAsync(mesh.Node, url, "bytes=0-99")).Status);

        Assert.Equal(200, mesh.Registry.BytesOf(sample.Digest));
        Assert.Empty(mesh.Node.Cache.Digests);
    }

    [Fact]
    public async Task Read_UrlBreaksOffAfterEachByte_IsRefusedAfterFewTries()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(MiB);
        mesh.Registry.Intercept = async context =>
        {
            var range = new Microsoft.AspNetCore.Http.Headers.RequestHeaders(context.Request.Headers).Range!.Ranges.Single();
            context.Response.StatusCode = 206;
            context.Response.ContentLength = range.To - range.From + 1;
            context.Response.Headers.ContentRange = $"bytes {range.From}-{range.To}/{MiB}";
            await context.Response.Body.WriteAsync(sample.Bytes.AsMemory((int)range.From!, 1));
            await context.Response.Body.FlushAsync();

            // With bytes missing the connection ends, after what came before.
            return true;
        };

        Assert.Equal(502, (await ReadAsync(mesh.Node, $"{UrlOf(mesh, sample)}&d=sha256:{new string('0', 64)}", "bytes=0-9999")).Status);
        Assert.InRange(mesh.Registry.Requests.Count, 2, 8);
    }

    [Fact]
    public async Task Read_OneConnection_EachUrlAndAuthorizationIsItsOwn()
    {
        await using var mesh = await TestMesh.StartAsync();
        var (one, other) = (mesh.Blob(MiB), mesh.Blob(MiB));
        await using var connection = await ConnectAsync(mesh.Node);

        // Passed through each time, for they name no digest.
        var url = $"{mesh.Registry.Url}/v2/r/blobs/{one.Digest}?d=sha256:{new string('0', 64)}";
        foreach (var authorization in new[] { "Bearer S3creta", "Bearer S3creta", "Bearer S3cretb", null, "Bearer S3cretb" })
        {
            Assert.Equal(206, (await SendAsync(url, authorization is null ? [] : [$"Authorization: {authorization}"])).Status);
        }

        Assert.Equal(400, (await SendAsync(url, "Authorization: Bearer S3cretb", "Authorization: Bearer S3cretb")).Status);
        Assert.Equal(403, (await SendAsync(url.Replace("http:", "https:", StringComparison.Ordinal))).Status);
        foreach (var sample in new[] { one, other, one })
        {
            Assert.Equal(sample.Bytes[..100], (await SendAsync(UrlOf(mesh, sample))).Body);
        }

        Assert.Equal(
            ["Bearer S3creta", "Bearer S3creta", "Bearer S3cretb", null, "Bearer S3cretb"],
            mesh.Registry.Requests.Where(request => request.Target.Contains("?d=", StringComparison.Ordinal)).Select(request => request.Authorization));

        Task<RawAnswer> SendAsync(string url, params string[] headers) => connection.SendAsync("GET", $"/blobs/{url}", ["Range: bytes=0-99", .. headers]);
    }

    [Fact]
    public async Task Read_OneConnectionAndARedirect_RegistryIsAskedEachTime()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(MiB);
        mesh.Registry.Intercept = context =>
        {
            var isFirst = context.Request.QueryString.Value!.StartsWith("?d=", StringComparison.Ordinal);
            if (isFirst)
            {
                context.Response.Redirect($"{mesh.Registry.Url}/v2/r/blobs/{sample.Digest}?sig=S3cretstore");
            }

            return Task.FromResult(isFirst);
        };
        await using var connection = await ConnectAsync(mesh.Node);

        // It names no digest, so that it is passed through.
        for (var i = 0; i < 2; i++)
        {
            var answer = await connection.SendAsync("GET", $"/blobs/{mesh.Registry.Url}/v2/r/blobs/{sample.Digest}?d=sha256:{new string('0', 64)}", "Range: bytes=0-99");
            Assert.Equal(sample.Bytes[..100], answer.Body);
        }

        // It may have changed its mind.
        Assert.Equal(2, mesh.Registry.Requests.Count(request => request.Target.Contains("?d=", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData(50, "bytes=0-99")]
    [InlineData(200_000, "bytes=0-262143")]
    public async Task Read_CacheBrokenAndSignatureExpired_IsRefusedAndNotCut(int broken, string range)
    {
        using var folder = new CacheFolder();
        await using var registry = await FakeRegistry.StartAsync();
        SampleContent sample;
        await using (var before = await TestMesh.StartAsync(registry: registry, cache: folder.Path))
        {
            sample = before.Blob(MiB);
            await ReadAllAsync(before.Node, UrlOf(before, sample), sample);
        }

        foreach (var file in System.IO.Directory.GetFiles(folder.Path, "*.data", SearchOption.AllDirectories))
        {
            using var data = File.OpenHandle(file, FileMode.Open, FileAccess.Write);
            RandomAccess.Write(data, [(byte)~sample.Bytes[broken]], broken);
        }

        await using var mesh = await TestMesh.StartAsync(registry: registry, cache: folder.Path);
        registry.AnswerWith(HttpStatusCode.Forbidden);

        Assert.Equal(403, (await ReadAsync(mesh.Node, UrlOf(mesh, sample), range)).Status);
        Assert.Equal(1, mesh.Node.IntegrityFailures);
    }

    [Fact]
    public async Task Read_ContentThatIsNotItsDigest_IsDroppedEverywhereWhenItIsWhole()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 3);
        var sample = mesh.Blob(4 * MiB);
        mesh.Registry.Fail(FakeFault.WrongBytes);

        // What another node has of it is wrong, and it does not have enough to find out.
        await ReadAsync(mesh.Nodes[1], UrlOf(mesh, sample), $"bytes={Last(sample)}-{Last(sample)}");
        var last = new ContentLayout(sample.Bytes.Length).PieceCount - 1;
        await Wait.UntilAsync(
            () => mesh.Nodes.Exists(node => node.Directory.TryFind(sample.Digest, out var entry) && entry.Holders.Any(holder => holder.Node == mesh.Nodes[1].Name && holder.Pieces.Contains(last))),
            "it is announced");
        mesh.Registry.Fail(FakeFault.None, times: 0);
        for (var offset = 0; offset < sample.Bytes.Length; offset += 64 * KiB)
        {
            await ReadAsync(mesh.Node, UrlOf(mesh, sample), $"bytes={offset}-{offset + (64 * KiB) - 1}");
        }

        await Wait.UntilAsync(() => mesh.Node.IntegrityFailures > 0, "the mismatch is found");
        foreach (var node in mesh.Nodes)
        {
            await Wait.UntilAsync(
                async () => (await ReadAsync(node, UrlOf(mesh, sample), $"bytes={Last(sample)}-{Last(sample)}")) is { Status: 206, Body: [var end] } && end == sample.Bytes[^1],
                "the right bytes come");
        }
    }

    // Less than a piece is nothing that others are sent for, and stays here all the same.
    [Fact]
    public async Task Read_PartOfAPieceOfAContentThatIsNotItsDigest_IsDroppedWhenItIsWholeElsewhere()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 3);
        var (owner, part, whole) = (mesh.Nodes[0], mesh.Nodes[1], mesh.Nodes[2]);
        var sample = mesh.BlobOwnedBy(32 * MiB, owner.Name);
        var (last, range) = (sample.Layout.PieceCount - 1, $"bytes={Last(sample)}-{Last(sample)}");
        mesh.Registry.Fail(FakeFault.WrongBytes);
        await ReadAsync(owner, UrlOf(mesh, sample), range);
        await Wait.UntilAsync(() => owner.Directory.Find(sample.Digest, owner.Name)?.Pieces.Contains(last) == true, "others are sent for it");
        Assert.NotEqual(sample.Bytes[^1], Assert.Single((await ReadAsync(part, UrlOf(mesh, sample), range)).Body));
        Assert.True(part.Cache.TryPeek(sample.Digest, out var content) && content.SnapshotPieces().Count == 0, "a whole piece came");
        await Wait.UntilAsync(() => owner.Directory.Find(sample.Digest, part.Name) is not null, "the owner knows that something is there");
        mesh.Registry.Fail(FakeFault.None, times: 0);

        await whole.GetAsync(sample.Digest);

        Assert.True(whole.IntegrityFailures > 0, "the mismatch was not found");
        foreach (var node in mesh.Nodes)
        {
            await Wait.UntilAsync(
                async () => (await ReadAsync(node, UrlOf(mesh, sample), range)) is { Status: 206, Body: [var end] } && end == sample.Bytes[^1],
                "the right bytes come");
        }
    }

    // What a node has touched before is not taken for the way in which a container starts.
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(10)]
    public async Task Read_InAnOrderThatAnotherNodeHasSeen_NextPiecesAreHere(int touched)
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 3);
        var sample = mesh.Blob(16 * MiB);
        var layout = new ContentLayout(sample.Bytes.Length);
        int[] order = [.. Enumerable.Range(0, 40).Select(i => i * 37 % layout.PieceCount).Distinct()];
        await TouchAsync(mesh.Nodes[2], order[..touched]);
        await TouchAsync(mesh.Node, order);
        await TouchAsync(mesh.Nodes[1], order[..1]);

        await Wait.UntilAsync(() => mesh.Nodes[1].Cache.TryPeek(sample.Digest, out var content) && order.All(content.HasPiece), "all of them came");

        async Task TouchAsync(TestNode node, int[] pieces)
        {
            foreach (var piece in pieces)
            {
                Assert.Equal(206, (await ReadAsync(node, UrlOf(mesh, sample), $"bytes={layout.Piece(piece).Offset}-{layout.Piece(piece).Offset + 99}")).Status);
            }

            await Wait.UntilAsync(() => mesh.Nodes.Exists(other => other.Directory.StartupOrderOf(sample.Digest).Count >= pieces.Length), "the order is in the directory");
        }
    }
}
