using System.Net;
using Peerd.Contracts;
using Peerd.Node.Origin;
using static Peerd.Tests.Origin.OriginSetup;

namespace Peerd.Tests.Origin;

public sealed class RegistryOriginStatTests
{
    private const string IndexType = "application/vnd.oci.image.index.v1+json";
    private readonly byte[] _bytes = Bytes(5000);

    [Fact]
    public async Task StatAsync_Tag_NeedsOneHead()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddManifest(_bytes, IndexType, "v1");
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.StatAsync(Manifest("v1"));

        Assert.Equal(
            (OriginOutcome.Ok, 5000L, IndexType, digest, 0L),
            (response.Outcome, response.TotalSize, response.MediaType, response.ContentDigest, response.Body.Length));
        Assert.Equal("HEAD", Assert.Single(registry.Requests).Method);
    }

    [Fact]
    public async Task StatAsync_TypeWithParameters_IsTheTypeAlone()
    {
        await using var registry = await FakeRegistry.StartAsync();
        registry.AddManifest(_bytes, IndexType + "; charset=utf-8", "v1");
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.StatAsync(Manifest("v1"));

        Assert.Equal(IndexType, response.MediaType);
    }

    [Theory]
    [InlineData(FakeFault.NoDigestHeader)]
    [InlineData(FakeFault.NoDigestHeader | FakeFault.Chunked)]
    [InlineData(FakeFault.NoHead)]
    [InlineData(FakeFault.NoHead | FakeFault.NoDigestHeader)]
    [InlineData(FakeFault.Chunked)]
    public async Task StatAsync_TagWithoutProperHead_ReadsTheManifestAndComputesTheDigest(FakeFault fault)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddManifest(_bytes, IndexType, "v1");
        registry.Fail(fault);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.StatAsync(Manifest("v1"));

        Assert.Equal((OriginOutcome.Ok, 5000L, IndexType, digest), (response.Outcome, response.TotalSize, response.MediaType, response.ContentDigest));
        Assert.Equal(["HEAD", "GET"], registry.Requests.Select(request => request.Method));
    }

    [Fact]
    public async Task StatAsync_ManifestDoesNotMatchItsDigestHeader_IsUnreachable()
    {
        await using var registry = await FakeRegistry.StartAsync();
        registry.AddManifest(_bytes, IndexType, "v1");
        registry.Fail(FakeFault.NoHead | FakeFault.WrongDigestHeader);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.StatAsync(Manifest("v1"));

        Assert.Equal(OriginOutcome.Unreachable, response.Outcome);
    }

    [Fact]
    public async Task StatAsync_ManifestByDigestWithoutDigestHeader_NeedsOneHead()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddManifest(_bytes);
        registry.Fail(FakeFault.NoDigestHeader);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.StatAsync(Manifest(digest.ToString()));

        Assert.Equal((OriginOutcome.Ok, 5000L), (response.Outcome, response.TotalSize));
        Assert.Single(registry.Requests);
    }

    [Theory]
    [InlineData(FakeFault.None)]
    [InlineData(FakeFault.NoHead)]
    [InlineData(FakeFault.NoHead | FakeFault.Chunked)]
    public async Task StatAsync_ManifestLargerThan4MiB_IsUnreachable(FakeFault fault)
    {
        await using var registry = await FakeRegistry.StartAsync();
        registry.AddManifest(new byte[(4 * 1024 * 1024) + 1], tags: "v1");
        registry.Fail(fault);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.StatAsync(Manifest("v1"));

        Assert.Equal(OriginOutcome.Unreachable, response.Outcome);
    }

    [Fact]
    public async Task StatAsync_ManifestBreaksOff_IsUnreachable()
    {
        await using var registry = await FakeRegistry.StartAsync();
        registry.AddManifest(_bytes, tags: "v1");
        registry.Fail(FakeFault.NoHead | FakeFault.Truncate);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.StatAsync(Manifest("v1"));

        Assert.Equal(OriginOutcome.Unreachable, response.Outcome);
    }

    [Fact]
    public async Task StatAsync_Blob_NeedsOneHead()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.StatAsync(Blob(digest));

        Assert.Equal((OriginOutcome.Ok, 5000L, digest), (response.Outcome, response.TotalSize, response.ContentDigest));
        Assert.Equal("HEAD", Assert.Single(registry.Requests).Method);
    }

    [Theory]
    [InlineData(FakeFault.NoHead, 5000)]
    [InlineData(FakeFault.HeadUnauthorized, 5000)]
    [InlineData(FakeFault.HeadUnauthorized | FakeFault.IgnoreRange, 5000)]
    [InlineData(FakeFault.Chunked, 5000)]
    [InlineData(FakeFault.NoHead, 0)]
    [InlineData(FakeFault.NoHead | FakeFault.IgnoreRange, 0)]
    public async Task StatAsync_BlobWithoutProperHead_ReadsOneByte(FakeFault fault, int size)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes[..size]);
        registry.Fail(fault);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.StatAsync(Blob(digest));

        Assert.Equal((OriginOutcome.Ok, (long)size, 0L), (response.Outcome, response.TotalSize, response.Body.Length));
        Assert.Equal("bytes=0-0", registry.Requests[^1].Range);
    }

    [Theory]
    [InlineData(OriginKind.Manifest, 404, 1)]
    [InlineData(OriginKind.Blob, 404, 1)]
    [InlineData(OriginKind.Manifest, 401, 1)]
    [InlineData(OriginKind.Blob, 403, 2)]
    [InlineData(OriginKind.Manifest, 429, 1)]
    public async Task StatAsync_Refused_IsCarried(object kind, int status, int requests)
    {
        await using var registry = await FakeRegistry.StartAsync();
        registry.AnswerWith((HttpStatusCode)status);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.StatAsync(new OriginReference("reg.test", "team/app", (OriginKind)kind, Digest.OfSha256([]).ToString()));

        Assert.Equal((OriginOutcome.Refused, (HttpStatusCode)status), (response.Outcome, response.Status));
        Assert.Equal(requests, registry.Requests.Count);
    }
}
