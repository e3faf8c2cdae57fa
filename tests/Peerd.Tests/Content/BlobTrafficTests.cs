using System.Collections.Concurrent;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Peerd.Contracts;
using Peerd.Node.Hosting;
using Peerd.Node.Limits;
using Peerd.Tests.Hosting;
using Peerd.Tests.Origin;
using Peerd.Tests.Storage;
using static Peerd.Tests.Content.BlobClient;

namespace Peerd.Tests.Content;

/// <summary>What reads below <c>/blobs</c> cost: requests and bytes of the origin, writes to the client, memory.</summary>
public sealed class BlobTrafficTests
{
    private const int KiB = 1024;
    private const int MiB = 1024 * KiB;
    private const long GiB = 1024 * MiB;

    // A busy machine must not make a read look at its own URL because the mesh takes too long.
    private static readonly QuickTime Slow = new(0.1);

    // A step of a few KiB is fetched in the whole segment that it is in: four of these are more than is fetched ahead.
    [Fact]
    public async Task Read_InRegularJumps_NoMoreIsFetchedAheadThanTheSettingSays()
    {
        const int Steps = 16;
        const int Unexpected = 3;
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Blobs:ReadAhead=128KiB"]);
        var sample = mesh.Blob(64 * 1024 * 1024);
        var layout = new ContentLayout(sample.Bytes.Length);
        var distance = 4 * layout.SegmentSize;
        await using var connection = await ConnectAsync(mesh.Node);

        for (var step = 0; step < Steps; step++)
        {
            var offset = step * distance;
            await Wait.UntilAsync(() => step < Unexpected || IsHere(step), "the next step is fetched ahead");
            var answer = await connection.SendAsync("GET", $"/blobs/{UrlOf(mesh, sample)}", $"Range: bytes={offset}-{offset + 4095}");
            Assert.True(sample.Bytes.AsSpan(offset, 4096).SequenceEqual(answer.Body));
        }

        // What a container waits for, the origin is asked for in two segments.
        await Wait.UntilAsync(() => IsHere(Steps), "the next step is fetched ahead");
        Assert.InRange(mesh.Registry.BytesOf(sample.Digest), (Steps + 1) * layout.SegmentSize, (Steps + 1 + Unexpected) * layout.SegmentSize);

        bool IsHere(int step) => mesh.Node.Cache.TryPeek(sample.Digest, out var content) && content.HasPiece(layout.PieceAt(step * distance));
    }

    [Fact]
    public async Task Read_ManySmallReadsWithinFewSegments_EachSegmentIsReadOnceAndNothingElse()
    {
        const int Length = 64 * KiB;
        await using var mesh = await TestMesh.StartAsync(time: Slow, settings: ["--Peerd:Blobs:ReadAhead=0", "--Peerd:Blobs:LearnedOrder=false"]);
        var blob = new GeneratedContent(256 * MiB);
        mesh.Registry.Intercept = blob.SendAsync;
        var layout = new ContentLayout(blob.Size);
        Assert.Equal((MiB, MiB), (layout.PieceSize, layout.SegmentSize));

        // The size is found out at the first of them. No read begins where anything else does.
        int[] pieces = [0, 77, 78, 200];
        var offsets = Enumerable.Range(0, 64).Select(i => layout.Piece(pieces[i % pieces.Length]).Offset + 4711 + (i / pieces.Length * 57_001L)).ToList();
        var answers = await Task.WhenAll(offsets.Select(offset => ReadAsync(mesh.Node, UrlOf(mesh, blob.Digest), $"bytes={offset}-{offset + Length - 1}")));

        Assert.All(offsets.Zip(answers), read =>
        {
            Assert.Equal((206, Length), (read.Second.Status, read.Second.Body.Length));
            Assert.True(GeneratedContent.Has(read.First, read.Second.Body), $"wrong from {read.First} on");
        });
        Assert.InRange(blob.Requests, 1, pieces.Length);
        Assert.Equal(pieces.Length * layout.SegmentSize, blob.Sent);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(1000)]
    [InlineData(64 * KiB)]
    [InlineData(1 * MiB)]
    [InlineData(4 * MiB)]
    public async Task Read_BytesThatAreHere_AnswerGoesOutInOneWrite(int length)
    {
        var counter = new CountedTransport.Counter();
        await using var mesh = await TestMesh.StartAsync(
            customize: services => services.AddSingleton<IConnectionListenerFactory>(provider => new CountedTransport(ActivatorUtilities.CreateInstance<FacadeTransport>(provider), counter)));
        var sample = mesh.Blob(9 * MiB);
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        await using var connection = await ConnectAsync(mesh.Node);

        // Not the first of the connection alone.
        for (var i = 0; i < 3; i++)
        {
            var offset = (i * MiB) + 4711;
            var before = counter.Writes;
            var answer = await connection.SendAsync("GET", $"/blobs/{UrlOf(mesh, sample)}", $"Range: bytes={offset}-{offset + length - 1}");

            Assert.Equal(206, answer.Status);
            Assert.True(sample.Bytes.AsSpan(offset, length).SequenceEqual(answer.Body));
            Assert.Equal(1, counter.Writes - before);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Read_HeadersOfTheClient_OnlyWhatIsForTheHostGoesThere(bool isShared)
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(MiB);
        var names = new ConcurrentBag<string>();
        mesh.Registry.Intercept = context =>
        {
            names.Add(string.Join(' ', context.Request.Headers.Select(header => header.Key).Order(StringComparer.Ordinal)));
            return Task.FromResult(false);
        };

        await using var connection = await ConnectAsync(mesh.Node);
        var answer = await connection.SendAsync(
            "GET",
            $"/blobs/{UrlOf(mesh, sample)}{(isShared ? string.Empty : $"&d=sha256:{new string('0', 64)}")}",
            "Range: bytes=0-99",
            "Authorization: Bearer S3cret-of-the-client",
            "Cookie: session=S3cret",
            "Metadata: true",
            "X-aws-ec2-metadata-token: S3cret",
            "X-Forwarded-For: 10.1.2.3",
            "Forwarded: for=10.1.2.3",
            "TE: trailers",
            "Connection: X, keep-alive",
            "X: y",
            "Upgrade: h2c",
            "Proxy-Authorization: Basic S3cret",
            "If-None-Match: \"x\"",
            "Accept-Encoding: gzip",
            "Referer: http://x/",
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "User-Agent: overlaybd/1.0");

        Assert.Equal(206, answer.Status);
        Assert.Equal(sample.Bytes[..100], answer.Body);
        Assert.All(names, sent => Assert.Equal("Accept Authorization Host Range User-Agent", sent));
        Assert.NotEmpty(names);
    }

    // What was granted to the one is the other's, without anybody's patience coming to its end.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Read_SignatureExpiresUnderAGrant_TheOtherReaderIsGrantedItAndDone(bool isSizeKnown)
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2, time: Slow, settings: ["--Peerd:Blobs:ReadAhead=0"]);
        var sample = mesh.Blob(8 * MiB);
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var both = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var refused = 0;
        if (isSizeKnown)
        {
            Assert.Equal(206, (await ReadAsync(mesh.Node, UrlOf(mesh, sample, "S3cretold"), "bytes=0-99")).Status);
        }

        mesh.Registry.Intercept = async context =>
        {
            if (!context.Request.QueryString.Value!.Contains("S3cretold", StringComparison.Ordinal))
            {
                return false;
            }

            asked.TrySetResult();
            await both.Task.WaitAsync(Wait.Longest);
            Interlocked.Increment(ref refused);
            context.Response.StatusCode = 403;
            return true;
        };
        const string Range = "bytes=5000000-5000099";

        var first = ReadAsync(mesh.Node, UrlOf(mesh, sample, "S3cretold"), Range);
        await asked.Task.WaitAsync(Wait.Longest, TestContext.Current.CancellationToken);
        var second = ReadAsync(mesh.Nodes[1], UrlOf(mesh, sample, "S3cretnew"), Range);
        await Wait.UntilAsync(() => mesh.Nodes[1].Downloads.IsDownloading(sample.Digest), "both want it");
        Assert.False(second.IsCompleted, "it was granted to the other one");
        both.SetResult();

        var done = await second;
        Assert.Equal(206, done.Status);
        Assert.Equal(sample.Bytes[5_000_000..5_000_100], done.Body);

        // The bytes may have come in time from there, as those of any other node.
        var late = await first;
        Assert.True(late.Status == 403 || (late.Status == 206 && sample.Bytes.AsSpan(5_000_000, 100).SequenceEqual(late.Body)), $"answered {late.Status}");
        Assert.InRange(refused, 1, 4);

        // By a grant, in whole segments: none was the read that the client would have made itself.
        Assert.DoesNotContain(mesh.Registry.Requests, request => request.Target.Contains("S3cretnew", StringComparison.Ordinal) && request.Range == Range);
    }

    [Fact]
    public async Task Read_DiskFull_AllOfItIsRight()
    {
        using var folder = new CacheFolder();
        folder.MountTmpfs("2m");
        await using var mesh = await TestMesh.StartAsync(cache: folder.Path, settings: ["--Peerd:Cache:Memory=4MiB"]);
        var sample = mesh.Blob(16 * MiB);

        for (var rounds = 0; rounds < 2; rounds++)
        {
            await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), sample);
        }
    }

    [Fact]
    public async Task Read_FrameOnDiskDamaged_RightBytesComeInstead()
    {
        using var folder = new CacheFolder();
        await using var registry = await FakeRegistry.StartAsync();
        SampleContent sample;
        await using (var before = await TestMesh.StartAsync(registry: registry, cache: folder.Path))
        {
            sample = before.Blob(2 * MiB);
            (await before.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        }

        foreach (var file in System.IO.Directory.GetFiles(folder.Path, "*.data", SearchOption.AllDirectories))
        {
            using var data = File.OpenHandle(file, FileMode.Open, FileAccess.Write);
            RandomAccess.Write(data, [(byte)~sample.Bytes[MiB]], MiB);
        }

        await using var mesh = await TestMesh.StartAsync(registry: registry, cache: folder.Path);
        var bytes = registry.BytesOf(sample.Digest);
        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), sample);

        Assert.Equal(1, mesh.Node.IntegrityFailures);
        Assert.InRange(registry.BytesOf(sample.Digest) - bytes, 1, MiB);
    }

    // The stream stays open between the reads: what is done to the file meanwhile is not to wait for its end.
    [Fact]
    public async Task Read_FileIsWrittenToWhileItIsRead_RightBytesComeSoon()
    {
        using var folder = new CacheFolder();
        await using var mesh = await TestMesh.StartAsync(cache: folder.Path);
        var sample = mesh.Blob(2 * MiB);
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), sample);

        var file = Assert.Single(System.IO.Directory.GetFiles(folder.Path, "*.data", SearchOption.AllDirectories));
        using (var data = File.OpenHandle(file, FileMode.Open, FileAccess.Write))
        {
            RandomAccess.Write(data, [(byte)~sample.Bytes[MiB]], MiB);
        }

        await Wait.UntilAsync(async () => (await ReadAsync(mesh.Node, UrlOf(mesh, sample), $"bytes={MiB}-{MiB}")).Body is [var read] && read == sample.Bytes[MiB], "the right byte comes");
        Assert.Equal(1, mesh.Node.IntegrityFailures);
    }

    // 3 GiB, of which the client takes some and then waits: what it has not taken is not here.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Read_RangeThatIsHuge_IsStreamedAndHoldsLittle(bool isShared)
    {
        const int Taken = 64 * MiB;
        const int Ahead = 96 * MiB;
        await using var mesh = await TestMesh.StartAsync();
        var memory = mesh.Node.Get<HeldMemory>();
        var blob = new GeneratedContent(3 * GiB);
        mesh.Registry.Intercept = blob.SendAsync;
        await using var connection = await ConnectAsync(mesh.Node);

        await connection.WriteRequestAsync("GET", $"/blobs/{UrlOf(mesh, blob.Digest)}{(isShared ? string.Empty : $"&d=sha256:{new string('0', 64)}")}", "Range: bytes=0-99999999999");
        var head = await connection.ReadHeadAsync();

        Assert.Equal((206, $"bytes 0-{blob.Size - 1}/{blob.Size}", $"{blob.Size}"), (head.Status, head.Header("Content-Range"), head.Header("Content-Length")));
        var block = new byte[MiB];
        for (var offset = 0; offset < Taken; offset += block.Length)
        {
            Assert.Equal(block.Length, await connection.ReadAsync(block));
            Assert.True(GeneratedContent.Has(offset, block), $"wrong from {offset} on");
            Assert.InRange(memory.Bytes, 0, Ahead);
        }

        // Whatever was on its way has come then.
        for (var sent = -1L; sent != blob.Sent; await Task.Delay(200, TestContext.Current.CancellationToken))
        {
            sent = blob.Sent;
        }

        Assert.InRange(blob.Sent, Taken, Taken + Ahead);
        Assert.InRange(memory.Bytes, 0, Ahead);
    }
}
