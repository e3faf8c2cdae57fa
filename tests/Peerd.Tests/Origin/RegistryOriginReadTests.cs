using System.Net;
using Microsoft.Extensions.Logging;
using Peerd.Contracts;
using Peerd.Node.Origin;
using static Peerd.Tests.Origin.OriginSetup;

namespace Peerd.Tests.Origin;

public sealed class RegistryOriginReadTests
{
    private readonly byte[] _bytes = Bytes(300_000);

    [Fact]
    public async Task ReadAsync_WholeBlob_HasAllBytesAndFacts()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.ReadAsync(Blob(digest));

        Assert.Equal(_bytes, await ReadAllAsync(response));
        Assert.Equal(
            (HttpStatusCode.OK, 300_000L, new ByteRange(0, 300_000), "application/octet-stream", digest),
            (response.Status, response.TotalSize, response.Range, response.MediaType, response.ContentDigest));
        var request = Assert.Single(registry.Requests);
        Assert.Equal($"/v2/team/app/blobs/{digest}", request.Target);
        Assert.Null(request.Range);
        Assert.Null(request.AcceptEncoding);
        Assert.Equal(300_000, setup.BytesRead.GetMeasurementSnapshot().Sum(measurement => measurement.Value));
        Assert.Equal("200", Assert.Single(setup.RequestsSent.GetMeasurementSnapshot()).Tags["code"]);
    }

    [Theory]
    [InlineData(0, 1, 1)]
    [InlineData(0, 300_000, 300_000)]
    [InlineData(1000, 65_536, 65_536)]
    [InlineData(299_999, 1, 1)]
    [InlineData(299_000, 4096, 1000)]
    [InlineData(5, long.MaxValue, 299_995)]
    public async Task ReadAsync_Range_IsClosedAndClipped(long offset, long length, long expected)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.ReadAsync(Blob(digest), new ByteRange(offset, length));

        Assert.Equal(_bytes[(int)offset..(int)(offset + expected)], await ReadAllAsync(response));
        Assert.Equal((HttpStatusCode.PartialContent, 300_000L, new ByteRange(offset, expected)), (response.Status, response.TotalSize, response.Range));
        Assert.Matches(@"\Abytes=\d+-\d+\z", Assert.Single(registry.Requests).Range);
    }

    [Theory]
    [InlineData(FakeFault.IgnoreRange, 250_000, 1000, 1000)]
    [InlineData(FakeFault.IgnoreRange, 0, 10, 10)]
    [InlineData(FakeFault.IgnoreRange, 299_990, 1000, 10)]
    [InlineData(FakeFault.IgnoreRange | FakeFault.Chunked, 250_000, 1000, 1000)]
    [InlineData(FakeFault.IgnoreRange | FakeFault.Chunked, 299_990, 1000, 10)]
    public async Task ReadAsync_OriginIgnoresRange_IsUsedBySkipping(FakeFault fault, int offset, int length, int expected)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.Fail(fault);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.ReadAsync(Blob(digest), new ByteRange(offset, length));

        Assert.Equal(_bytes[offset..(offset + expected)], await ReadAllAsync(response));
        var isSizeKnown = !fault.HasFlag(FakeFault.Chunked);
        Assert.Equal((isSizeKnown ? 300_000 : null, new ByteRange(offset, isSizeKnown ? expected : -1)), (response.TotalSize, response.Range));
    }

    [Theory]
    [InlineData(FakeFault.None, 300_000)]
    [InlineData(FakeFault.IgnoreRange, 300_000)]
    [InlineData(FakeFault.IgnoreRange | FakeFault.Chunked, 300_001)]
    public async Task ReadAsync_RangeBehindTheEnd_IsRefusedWith416AndTheSize(FakeFault fault, int offset)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.Fail(fault);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.ReadAsync(Blob(digest), new ByteRange(offset, 10));

        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.RequestedRangeNotSatisfiable, 300_000L), (response.Outcome, response.Status, response.TotalSize));
    }

    [Theory]
    [InlineData(FakeFault.WrongContentRange)]
    [InlineData(FakeFault.NoContentRange)]
    [InlineData(FakeFault.UnknownTotal)]
    [InlineData(FakeFault.LyingContentLength)]
    [InlineData(FakeFault.TooLongContentRange)]
    public async Task ReadAsync_PartThatDoesNotFit_IsUnreachable(FakeFault fault)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.Fail(fault);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.ReadAsync(Blob(digest), new ByteRange(100, 1000));

        Assert.Equal(OriginOutcome.Unreachable, response.Outcome);
        Assert.Contains("wrong Content-Range", response.Error, StringComparison.Ordinal);
        Assert.Single(registry.Requests);
    }

    [Fact]
    public async Task ReadAsync_PartWithoutBeingAsked_IsUnreachable()
    {
        await using var registry = await FakeRegistry.StartAsync();
        registry.Intercept = context =>
        {
            context.Response.StatusCode = 206;
            context.Response.Headers.ContentRange = "bytes 0-0/1";
            context.Response.ContentLength = 0;
            return Task.FromResult(true);
        };
        await using var setup = new OriginSetup(registry);

        Assert.Equal((OriginOutcome.Unreachable, default), await setup.TryAsync(Blob(Digest.OfSha256([]))));
    }

    [Fact]
    public async Task ReadAsync_EncodedBody_IsUnreachable()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.Fail(FakeFault.Encoded);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.ReadAsync(Blob(digest));

        Assert.Equal(OriginOutcome.Unreachable, response.Outcome);
        Assert.Contains("Content-Encoding", response.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ReadAsync_Chunked_HasUnknownLength()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.Fail(FakeFault.Chunked);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.ReadAsync(Blob(digest));

        Assert.Equal((null, new ByteRange(0, -1)), (response.TotalSize, response.Range));
        Assert.Equal(_bytes, await ReadAllAsync(response));
    }

    [Theory]
    [InlineData(FakeFault.Truncate)]
    [InlineData(FakeFault.Reset)]
    [InlineData(FakeFault.Truncate | FakeFault.Chunked)]
    [InlineData(FakeFault.StallBody)]
    public async Task ReadAsync_BodyBreaks_ThrowsIOExceptionAndNothingWrongIsRead(FakeFault fault)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.Fail(fault);
        await using var setup = new OriginSetup(registry, ("IdleTimeout", "300ms"));
        await using var response = await setup.ReadAsync(Blob(digest), fault.HasFlag(FakeFault.Chunked) ? null : new ByteRange(0, 300_000));
        Assert.Equal(OriginOutcome.Ok, response.Outcome);

        using var read = new MemoryStream();
        await Assert.ThrowsAnyAsync<IOException>(() => response.Body.CopyToAsync(read));

        Assert.InRange(read.Length, 0, 150_000);
        Assert.Equal(_bytes[..(int)read.Length], read.ToArray());
    }

    [Fact]
    public async Task ReadAsync_StallsWhileSkipping_IsUnreachable()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.Fail(FakeFault.IgnoreRange | FakeFault.StallBody);
        await using var setup = new OriginSetup(registry, ("IdleTimeout", "300ms"));

        await using var response = await setup.ReadAsync(Blob(digest), new ByteRange(200_000, 10));

        Assert.Equal(OriginOutcome.Unreachable, response.Outcome);
        Assert.Contains("sent nothing for 0.3 s", response.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ReadAsync_NoHeaders_IsUnreachable()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.Fail(FakeFault.StallHeaders);
        await using var setup = new OriginSetup(registry, ("HeaderTimeout", "300ms"), ("Retries", "1"));

        await using var response = await setup.ReadAsync(Blob(digest));

        Assert.Equal(OriginOutcome.Unreachable, response.Outcome);
        Assert.Contains("did not answer in time", response.Error, StringComparison.Ordinal);
        Assert.Equal(["error", "error"], setup.RequestsSent.GetMeasurementSnapshot().Select(measurement => measurement.Tags["code"]));
    }

    [Fact]
    public async Task ReadAsync_CancelledWhileNoHeaders_ReachesTheSocket()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        var arrived = new TaskCompletionSource();
        var aborted = new TaskCompletionSource();
        registry.Before = context =>
        {
            context.RequestAborted.Register(() => aborted.TrySetResult());
            arrived.TrySetResult();
            return Task.CompletedTask;
        };
        registry.Fail(FakeFault.StallHeaders);
        await using var setup = new OriginSetup(registry);
        using var cancel = new CancellationTokenSource();

        var reading = setup.Origin.ReadAsync(Blob(digest), null, cancel.Token);
        await arrived.Task.WaitAsync(TimeSpan.FromSeconds(30));
        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading);
        await aborted.Task.WaitAsync(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public async Task ReadAsync_CancelledWhileBodyStalls_ReachesTheSocket()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        var aborted = new TaskCompletionSource();
        registry.Before = context =>
        {
            context.RequestAborted.Register(() => aborted.TrySetResult());
            return Task.CompletedTask;
        };
        registry.Fail(FakeFault.StallBody);
        await using var setup = new OriginSetup(registry);
        await using var response = await setup.ReadAsync(Blob(digest));
        var buffer = new byte[150_000];
        await response.Body.ReadExactlyAsync(buffer);
        using var cancel = new CancellationTokenSource();

        var reading = response.Body.ReadAsync(buffer, cancel.Token).AsTask();
        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading);
        await aborted.Task.WaitAsync(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public async Task ReadAsync_Manifest_SendsTheKnownTypes()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddManifest(_bytes, "application/vnd.oci.image.index.v1+json", "v1");
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.ReadAsync(Manifest("v1"));

        Assert.Equal(_bytes, await ReadAllAsync(response));
        Assert.Equal(("application/vnd.oci.image.index.v1+json", digest), (response.MediaType, response.ContentDigest));
        var accept = Assert.Single(registry.Requests).Accept;
        Assert.All(
            ["application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json", "*/*"],
            type => Assert.Contains(type, accept, StringComparison.Ordinal));
    }

    [Fact]
    public async Task ReadAsync_ManifestLargerThan4MiB_IsUnreachable()
    {
        await using var registry = await FakeRegistry.StartAsync();
        registry.AddManifest(new byte[(4 * 1024 * 1024) + 1], tags: "v1");
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.ReadAsync(Manifest("v1"));

        Assert.Equal((OriginOutcome.Unreachable, "manifest larger than 4 MiB"), (response.Outcome, response.Error));
    }

    [Theory]
    [InlineData(0, true)]
    [InlineData(1, false)]
    public async Task ReadAsync_ChunkedManifest_IsCutAt4MiB(int more, bool isRead)
    {
        await using var registry = await FakeRegistry.StartAsync();
        registry.AddManifest(new byte[(4 * 1024 * 1024) + more], tags: "v1");
        registry.Fail(FakeFault.Chunked);
        await using var setup = new OriginSetup(registry);
        await using var response = await setup.ReadAsync(Manifest("v1"));

        var failure = await Record.ExceptionAsync(() => response.Body.CopyToAsync(Stream.Null));

        Assert.Equal(isRead, failure is null);
        Assert.True(failure is null or IOException);
    }

    [Fact]
    public async Task ReadAsync_NoDigestHeader_HasNoDigest()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.Fail(FakeFault.NoDigestHeader);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.ReadAsync(Blob(digest));

        Assert.Null(response.ContentDigest);
    }

    [Theory]
    [InlineData("other.test", "team/app", "v1")]
    [InlineData("127.0.0.1", "team/app", "v1")]
    [InlineData("reg.test", "Team/App", "v1")]
    [InlineData("reg.test", "team/../app", "v1")]
    [InlineData("reg.test", "team/app?x", "v1")]
    [InlineData("reg.test", "team/app", "..")]
    [InlineData("reg.test", "team/app", "v1/../../x")]
    [InlineData("reg.test", "team/app", "sha256:xyz")]
    [InlineData("reg.test", "team/app", "v1\r\nX-Evil: 1")]
    public async Task ReadAsync_NotConfiguredOrMalformed_MakesNoRequest(string host, string repository, string reference)
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var setup = new OriginSetup(registry);

        Assert.Equal((OriginOutcome.Unreachable, default), await setup.TryAsync(new OriginReference(host, repository, OriginKind.Manifest, reference)));
        Assert.Equal((OriginOutcome.Unreachable, default), await setup.TryAsync(new OriginReference("reg.test", "team/app", OriginKind.Blob, "v1")));
        Assert.Empty(registry.Requests);
        Assert.Equal(host == "reg.test", setup.Origin.Serves(host));
    }

    [Fact]
    public async Task ReadAsync_EmptyOrNegativeRange_IsTheCallersError()
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var setup = new OriginSetup(registry);

        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => setup.ReadAsync(Blob(Digest.OfSha256([])), new ByteRange(0, 0)));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => setup.ReadAsync(Blob(Digest.OfSha256([])), new ByteRange(-1, 5)));
    }

    [Fact]
    public async Task ReadAsync_ManyAtOnce_KeepsToTheLimitAndGivesSlotsBack()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.AddManifest(_bytes, tags: "v1");
        await using var setup = new OriginSetup(registry, ("MaxConcurrentRequests", "2"));

        var first = await setup.ReadAsync(Blob(digest), new ByteRange(0, 10));
        var second = await setup.ReadAsync(Blob(digest), new ByteRange(0, 10));
        var third = setup.ReadAsync(Blob(digest), new ByteRange(0, 10));
        Assert.False(third.IsCompleted);

        // Sizes and manifests do not wait for blobs, and a wait can be cancelled.
        await using var stat = await setup.StatAsync(Manifest("v1"));
        Assert.Equal(OriginOutcome.Ok, stat.Outcome);
        using var cancel = new CancellationTokenSource();
        var fourth = setup.Origin.ReadAsync(Blob(digest), null, cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => fourth);

        await first.DisposeAsync();
        await first.DisposeAsync();
        await using var got = await third.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(OriginOutcome.Ok, got.Outcome);
        Assert.Equal(3, registry.RequestsFor(digest));
        await second.DisposeAsync();
    }

    [Fact]
    public async Task ReadAsync_Refused_GivesTheSlotBack()
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var setup = new OriginSetup(registry, ("MaxConcurrentRequests", "1"));
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal((OriginOutcome.Refused, HttpStatusCode.NotFound), await setup.TryAsync(Blob(Digest.OfSha256([(byte)i]))));
        }

        Assert.Equal(3, registry.Requests.Count);
    }

    [Fact]
    public async Task ReadAsync_OriginGoneAndBack_WarnsOnce()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.Fail(FakeFault.Drop);
        await using var setup = new OriginSetup(registry, ("Retries", "0"));

        for (var i = 0; i < 3; i++)
        {
            Assert.Equal((OriginOutcome.Unreachable, default), await setup.TryAsync(Blob(digest)));
        }

        registry.Fail(FakeFault.None);
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));

        var told = setup.Logs.GetSnapshot().Where(record => record.Level >= LogLevel.Information).Select(record => record.Level);
        Assert.Equal([LogLevel.Warning, LogLevel.Information], told);
    }
}
