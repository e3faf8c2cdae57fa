using System.Net;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Origin;
using Peerd.Tests.Hosting;
using Peerd.Tests.Origin;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Content;

/// <summary>What a client of a node sees of the failures of the origin.</summary>
public sealed class OriginFailureTests
{
    private const int MiB = 1024 * 1024;

    // 401 and 429 would make containerd do harm: it would send its password, or repeat at once.
    [Theory]
    [InlineData(HttpStatusCode.NotFound, HttpStatusCode.NotFound, "BLOB_UNKNOWN")]
    [InlineData(HttpStatusCode.Unauthorized, HttpStatusCode.NotFound, "UNAUTHORIZED")]
    [InlineData(HttpStatusCode.Forbidden, HttpStatusCode.Forbidden, "DENIED")]
    [InlineData(HttpStatusCode.TooManyRequests, HttpStatusCode.ServiceUnavailable, "TOOMANYREQUESTS")]
    [InlineData(HttpStatusCode.ServiceUnavailable, HttpStatusCode.ServiceUnavailable, "UNAVAILABLE")]
    [InlineData(HttpStatusCode.InternalServerError, HttpStatusCode.BadGateway, "UNAVAILABLE")]
    public async Task Pull_OriginRefuses_ClientIsTold(HttpStatusCode origin, HttpStatusCode expected, string code)
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2, settings: ["--Peerd:Origin:NotFoundFor=0s"]);
        var samples = mesh.Nodes.ConvertAll(node => mesh.BlobOwnedBy(MiB, node.Name));
        mesh.Registry.AnswerWith(origin);

        // The one is owned by the node that is asked, the other by another.
        foreach (var sample in samples)
        {
            var answer = await mesh.Node.GetAsync(sample.Digest);
            Assert.Equal(expected, answer.Status);
            Assert.Contains($"\"{code}\"", System.Text.Encoding.UTF8.GetString(answer.Bytes), StringComparison.Ordinal);
        }

        // Not for ever: the next one who asks gets it when the origin has recovered.
        mesh.Registry.AnswerWith(HttpStatusCode.OK, times: 0);
        foreach (var sample in samples)
        {
            (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        }
    }

    // All others are to leave it alone as well, and only the owner can tell them.
    [Fact]
    public async Task Pull_OriginAsksForAPauseAtAGrant_TheOwnerIsToldOfIt()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy(MiB, mesh.Peer.Name);
        mesh.Registry.AnswerWith(HttpStatusCode.TooManyRequests, retryAfter: "60");
        var given = new TaskCompletionSource<GrantReport>(TaskCreationOptions.RunContinuationsAsynchronously);
        mesh.Peer.AnswerLookup = async (asked, answers, call) =>
        {
            await answers.WriteAsync(new LookupResponse { State = LookupState.Available, Size = MiB, Granted = { new SegmentRun { Count = uint.MaxValue } } }, call.CancellationToken);
            while (await asked.MoveNext(call.CancellationToken))
            {
                if (asked.Current.Report is { OriginFailed: true } report)
                {
                    given.TrySetResult(report);
                }
            }
        };

        using var use = mesh.Node.Downloads.Join(sample.Digest, OriginOf(sample), isWhole: true);
        Assert.Null(await use.Download.OpenedAsync);
        using var reader = use.AddReader(new ByteRange(0, MiB), int.MaxValue);

        var told = await given.Task.WaitAsync(Wait.Longest, TestContext.Current.CancellationToken);
        Assert.InRange(told.OriginPauseMs, 1u, 60_000u);
    }

    // Who asks too early makes the pause longer, for all.
    [Fact]
    public async Task Pull_OwnerKnowsOfAPauseAndNotTheSize_ClientIsToldAndTheOriginIsLeftAlone()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy(MiB, mesh.Peer.Name);
        mesh.Peer.AnswerLookup = async (_, answers, call) =>
        {
            var isFirst = mesh.Peer.LookupsAsked == 1;
            await answers.WriteAsync(
                isFirst ? new LookupResponse { OriginPauseMs = 60_000 } : new LookupResponse { Granted = { new SegmentRun { Count = 1 } } }, call.CancellationToken);
            await mesh.Peer.NeverAsync(call);
        };

        var answer = await mesh.Node.GetAsync(sample.Digest);

        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.Status);
        Assert.Contains("\"TOOMANYREQUESTS\"", System.Text.Encoding.UTF8.GetString(answer.Bytes), StringComparison.Ordinal);
        Assert.DoesNotContain(mesh.Registry.Requests, static request => request.Method == "GET");

        // Not for ever: the owner knows when it is over.
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    [Fact]
    public async Task Pull_UnknownDigest_IsNotFoundOnEveryNode()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var unknown = TestMesh.NewSample(5);

        var answers = await Task.WhenAll(mesh.Nodes.Concat(mesh.Nodes).Select(node => node.GetAsync(unknown.Digest)));

        Assert.All(answers, answer => Assert.Equal(HttpStatusCode.NotFound, answer.Status));
        await Wait.UntilAsync(() => mesh.Nodes.TrueForAll(node => node.Downloads.Count == 0), "all downloads have ended");
    }

    [Fact]
    public async Task Pull_OneNodeMayNotReadTheOrigin_GetsItFromTheOther()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.Blob(MiB);
        (await mesh.Nodes[1].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        mesh.Registry.AnswerWith(HttpStatusCode.Forbidden);

        (await mesh.Nodes[0].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    [Theory]
    [InlineData(FakeFault.Truncate, 3)]
    [InlineData(FakeFault.Reset, 3)]
    [InlineData(FakeFault.StallBody, 2)]
    [InlineData(FakeFault.StallHeaders, 1)]
    [InlineData(FakeFault.Drop, 1)]
    [InlineData(FakeFault.IgnoreRange, int.MaxValue)]
    [InlineData(FakeFault.Chunked, int.MaxValue)]
    [InlineData(FakeFault.NoDigestHeader, int.MaxValue)]
    [InlineData(FakeFault.Truncate | FakeFault.IgnoreRange, 2)]
    public async Task Pull_OriginBreaksABit_CompletesAllTheSame(FakeFault fault, int times)
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Origin:IdleTimeout=300ms", "--Peerd:Origin:HeaderTimeout=1s"]);
        var sample = mesh.Blob((6 * MiB) + 5);
        mesh.Registry.Fail(fault, times);

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        Assert.Equal(0, mesh.Node.IntegrityFailures);
    }

    // Half of such a blob is less than a frame: nothing of what came is of use, and yet the next attempt brings it all.
    [Theory]
    [InlineData(20)]
    [InlineData(300_000)]
    public async Task Pull_ManifestWithoutALength_IsRight(int size)
    {
        await using var mesh = await TestMesh.StartAsync();
        var manifest = System.Text.Encoding.ASCII.GetBytes("{\"schemaVersion\":2" + new string(' ', size) + "}");
        var digest = mesh.Registry.AddManifest(manifest, tags: "v1");
        mesh.Registry.Fail(FakeFault.Chunked, times: int.MaxValue);

        foreach (var reference in new[] { "v1", digest.ToString() })
        {
            using var response = await mesh.Node.Client.GetAsync(new Uri($"/v2/library/test/manifests/{reference}?ns={TestNode.Registry}", UriKind.Relative));

            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            Assert.Equal(manifest, await response.Content.ReadAsByteArrayAsync());
        }
    }

    [Fact]
    public async Task Pull_OriginLiesOnceAboutTheTotal_ClientsGetTheRightBytesLater()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.Blob(3 * 1024 * 1024);
        mesh.Registry.Fail(FakeFault.WrongTotal, times: 1);

        var first = await mesh.Node.GetAsync(sample.Digest);

        Assert.False(first.IsComplete && first.Status == HttpStatusCode.OK, "a body of the wrong size was complete");
        await Wait.UntilAsync(async () => (await mesh.Nodes[0].GetAsync(sample.Digest)) is { IsComplete: true, Status: HttpStatusCode.OK }, "the first node has it");
        (await mesh.Nodes[0].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        await Wait.UntilAsync(async () => (await mesh.Nodes[1].GetAsync(sample.Digest)) is { IsComplete: true, Status: HttpStatusCode.OK }, "the second node has it");
        (await mesh.Nodes[1].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    [Theory]
    [InlineData(FakeFault.Truncate)]
    [InlineData(FakeFault.Reset)]
    public async Task Pull_OriginBreaksOnASmallBlob_CompletesAllTheSame(FakeFault fault)
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(50_000);
        mesh.Registry.Fail(fault, times: 1);

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    [Theory]
    [InlineData(FakeFault.Truncate)]
    [InlineData(FakeFault.Reset)]
    [InlineData(FakeFault.StallBody)]
    [InlineData(FakeFault.LyingContentLength)]
    [InlineData(FakeFault.WrongContentRange)]
    [InlineData(FakeFault.TooLongContentRange)]
    [InlineData(FakeFault.NoContentRange)]
    [InlineData(FakeFault.Encoded)]
    [InlineData(FakeFault.Drop)]
    [InlineData(FakeFault.StallHeaders)]
    public async Task Pull_OriginIsAlwaysBroken_ClientGetsNoWrongByteAndAnAnswer(FakeFault fault)
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Origin:IdleTimeout=2s", "--Peerd:Origin:HeaderTimeout=2s", "--Peerd:Origin:Retries=1"]);
        var sample = mesh.Blob(100_000);
        mesh.Registry.Fail(fault);

        var answer = await mesh.Node.GetAsync(sample.Digest);

        if (answer.Status == HttpStatusCode.OK)
        {
            Assert.True(answer.IsComplete || answer.IsCutByFin, $"not ended with FIN: {answer.Failure}");
            Assert.Equal(answer.Bytes.Length, sample.Bytes.AsSpan().CommonPrefixLength(answer.Bytes));
            Assert.Equal(answer.IsComplete, answer.Bytes.Length == sample.Bytes.Length);
        }
        else
        {
            Assert.InRange((int)answer.Status, 500, 504);
        }

        mesh.Registry.Fail(FakeFault.None, times: 0);
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    private static OriginReference OriginOf(SampleContent sample) => new(TestNode.Registry, "library/test", OriginKind.Blob, sample.Digest.ToString());
}
