using System.Diagnostics;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Telemetry;
using Peerd.Tests.Hosting;
using Peerd.Tests.Origin;

namespace Peerd.Tests.Telemetry;

/// <summary>One pull is one trace, over all nodes that take part in it, and has no secret in it.</summary>
public sealed class TracedPullTests
{
    private const int MiB = 1024 * 1024;

    [Fact]
    public async Task Pull_ColdFromTheOrigin_IsOneTrace()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        using var spans = new RecordedSpans();
        var sample = mesh.BlobOwnedBy(3 * MiB, "node-2");

        await PullAsync(mesh.Nodes[0], sample.Digest, spans);

        await Wait.UntilAsync(() => spans.Named("facade v2").Any() && spans.Named("download").Any(), "the pull is over");
        var facade = Assert.Single(spans.Named("facade v2"));
        var download = Assert.Single(spans.Named("download"));
        Assert.Equal((spans.Client, facade.SpanId), (facade.ParentSpanId, download.ParentSpanId));
        Assert.Equal(("GET", 200, "origin"), (facade.GetTagItem(Traces.Method), facade.GetTagItem(Traces.Status), facade.GetTagItem(Traces.Source)));
        Assert.Equal((sample.Digest.ToString(), "complete"), (download.GetTagItem(Traces.Digest), download.GetTagItem(Traces.Outcome)));

        var asking = Assert.Single(spans.Named("lookup"), span => span.Kind == ActivityKind.Client);
        var answering = Assert.Single(spans.Named("lookup"), span => span.Kind == ActivityKind.Server);
        Assert.Equal((download.SpanId, asking.SpanId), (asking.ParentSpanId, answering.ParentSpanId));
        Assert.Equal("node-2", asking.GetTagItem(Traces.Peer));

        // An owner that has just come to the ring asks the other one first.
        Assert.Contains(asking.GetTagItem(Traces.Outcome), (object[])["origin", "wait"]);

        var reads = spans.Named("read").ToList();
        Assert.NotEmpty(reads);
        Assert.All(reads, read => Assert.Equal(download.SpanId, read.ParentSpanId));
        Assert.All(spans.Named("origin"), request => Assert.Contains(request.ParentSpanId, reads.Select(read => read.SpanId)));
        Assert.Contains(spans.Named("origin"), request => request.GetTagItem(Traces.Status) is 206);
    }

    [Fact]
    public async Task Pull_FromAPeer_HasTheSpansOfThatPeer()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 3);
        var sample = mesh.BlobOwnedBy(3 * MiB, "node-3");
        (await mesh.Nodes[1].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        using var spans = new RecordedSpans();

        await PullAsync(mesh.Nodes[0], sample.Digest, spans);

        await Wait.UntilAsync(() => spans.Named("facade v2").Any() && spans.Named("download").Any() && Fetched().Count > 0 && Fetched().SetEquals(Served()), "all spans are ended");
        var download = Assert.Single(spans.Named("download"));
        var fetches = spans.Named("fetch").ToList();
        Assert.All(fetches, fetch => Assert.Equal((download.SpanId, "node-2", "complete"), (fetch.ParentSpanId, fetch.GetTagItem(Traces.Peer), fetch.GetTagItem(Traces.Outcome))));
        Assert.Equal(sample.Bytes.Length, spans.Named("serve").Sum(serve => (long)serve.GetTagItem(Traces.Length)!));
        Assert.Empty(spans.Named("origin"));

        HashSet<ActivitySpanId> Fetched() => [.. spans.Named("fetch").Select(fetch => fetch.SpanId)];

        HashSet<ActivitySpanId> Served() => [.. spans.Named("serve").Select(serve => serve.ParentSpanId)];
    }

    [Fact]
    public async Task Pull_WhileAnotherIsTraced_IsLinkedWithItsDownload()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(MiB);
        using var first = new RecordedSpans();
        using var second = new RecordedSpans();
        var bodies = mesh.Registry.HoldBodies();
        var pull = PullAsync(mesh.Node, sample.Digest, first);
        await Wait.UntilAsync(() => mesh.Node.Downloads.Count == 1, "the first pull has begun");
        var other = PullAsync(mesh.Node, sample.Digest, second);
        await Wait.UntilAsync(() => mesh.Registry.RequestsFor(sample.Digest) > 0 && mesh.Node.Logs.GetSnapshot().Count(record => record.Message.StartsWith("GET Blob", StringComparison.Ordinal)) == 2, "both are asked for");
        await Task.Delay(100);
        bodies.Dispose();
        await Task.WhenAll(pull, other);

        await Wait.UntilAsync(() => second.Named("facade v2").Any() && first.Named("download").Any(), "both are over");
        Assert.Equal(Assert.Single(first.Named("download")).Context, Assert.Single(Assert.Single(second.Named("facade v2")).Links).Context);
        Assert.Empty(second.Named("download"));
    }

    [Fact]
    public async Task Pull_WithoutTrace_HasNoSpan()
    {
        await using var mesh = await TestMesh.StartAsync();
        using var spans = new RecordedSpans();
        var sample = mesh.Blob(MiB);

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        Assert.Empty(spans.All);
        Assert.Null(Activity.Current);
    }

    [Fact]
    public async Task Pull_WithSecrets_HasNoneOfThemInSpans()
    {
        await using var store = await FakeRegistry.StartAsync();
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Blobs:AllowedNetworks:0=127.0.0.0/8"]);
        mesh.Registry.RequiresToken = true;
        mesh.Registry.RedirectBlobsTo(store);
        var sample = mesh.Blob(MiB);
        store.AddBlob(sample.Bytes);
        using var spans = new RecordedSpans();

        foreach (var target in new[]
        {
            $"/v2/library/test/blobs/{sample.Digest}?ns={TestNode.Registry}&key=S3cretQuery",
            $"/blobs/{mesh.Registry.Url}/OnlyInLogs/{sample.Digest}?sig=S3cretSignature",
            $"/blobs/http://127.0.0.1:1/OnlyInLogs?sig=S3cretSignature",
        })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, target);
            request.Headers.TryAddWithoutValidation("traceparent", spans.Traceparent);
            request.Headers.TryAddWithoutValidation("Authorization", "Bearer S3cretToken");
            request.Headers.TryAddWithoutValidation("Range", "bytes=0-99");
            using var answer = await mesh.Node.Client.SendAsync(request);
            await answer.Content.ReadAsByteArrayAsync();
        }

        await Wait.UntilAsync(() => spans.Named("facade v2").Any() && spans.Named("facade blobs").Count() == 2, "all requests are over");
        Assert.NotEmpty(spans.Named("origin"));
        Assert.All(spans.All, span => Assert.DoesNotContain("S3cret", Text(span), StringComparison.OrdinalIgnoreCase));
        Assert.All(spans.All, span => Assert.DoesNotContain("OnlyInLogs", Text(span), StringComparison.OrdinalIgnoreCase));
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("00-00000000000000000000000000000000-0000000000000000-01")]
    public async Task Lookup_TraceparentThatIsNone_IsAnswered(string traceparent)
    {
        await using var mesh = await TestMesh.StartAsync();
        using var spans = new RecordedSpans();
        using var call = new PeerService.PeerServiceClient(mesh.Node.Channel).Lookup();

        await call.RequestStream.WriteAsync(new LookupRequest
        {
            Want = new Want { Member = new Member { Node = "x", Incarnation = 1 }, Digest = TestMesh.NewSample(1).Digest.ToString(), CanReachOrigin = true, Traceparent = traceparent },
        });

        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None));
        Assert.Empty(spans.All);
    }

    private static async Task PullAsync(TestNode node, Digest digest, RecordedSpans spans)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v2/library/test/blobs/{digest}?ns={TestNode.Registry}");
        request.Headers.TryAddWithoutValidation("traceparent", spans.Traceparent);
        using var answer = await node.Client.SendAsync(request);
        answer.EnsureSuccessStatusCode();
        await answer.Content.ReadAsByteArrayAsync();
    }

    private static string Text(Activity span) =>
        string.Join(' ', span.TagObjects.Select(tag => $"{tag.Key}={tag.Value}").Append(span.DisplayName).Append(span.StatusDescription).Concat(span.Events.Select(happened => happened.Name)));
}
