using Peerd.Contracts;
using Peerd.Node.Facade;
using static Peerd.Tests.Facade.MirrorAnswer;

namespace Peerd.Tests.Facade;

/// <summary>Ranges of blobs, which the OCI distribution specification leaves to RFC 9110, section 14.</summary>
public sealed class RangeConformanceTests(MirrorFixture image) : IClassFixture<MirrorFixture>
{
    private string LayerTarget => $"/v2/team/app/blobs/{image.LayerDigest}?ns=reg.test";

    [Theory]
    [InlineData("bytes=0-", 0, 3_001_173)]
    [InlineData("bytes=1048576-", 1_048_576, 3_001_173)]
    [InlineData("bytes=0-0", 0, 0)]
    [InlineData("bytes=3001173-3001173", 3_001_173, 3_001_173)]
    [InlineData("bytes=3001173-", 3_001_173, 3_001_173)]
    [InlineData("bytes=0-99999999999", 0, 3_001_173)]
    [InlineData("bytes=1000-66535", 1000, 66_535)]
    [InlineData("bytes=-512", 3_000_662, 3_001_173)]
    [InlineData("bytes=-99999999", 0, 3_001_173)]
    [InlineData("BYTES=0-0", 0, 0)]
    public async Task Blob_SingleRange_IsPartial(string range, int first, int last)
    {
        var answer = await image.Host.GetAsync(LayerTarget, "Range: " + range);

        Assert.Equal((206, $"bytes {first}-{last}/3001174"), (answer.Status, answer.Header("Content-Range")));
        AssertBlobHead(answer, image.LayerDigest, last - first + 1);
        Assert.True(image.Layer.AsSpan(first, last - first + 1).SequenceEqual(answer.Body));
    }

    [Theory]
    [InlineData("bytes=3001174-")]
    [InlineData("bytes=99999999999-99999999999")]
    [InlineData("bytes=-0")]
    public async Task Blob_RangeBehindTheEnd_IsRefusedWithSize(string range)
    {
        var answer = await image.Host.GetAsync(LayerTarget, "Range: " + range);

        Assert.Equal((416, "bytes */3001174"), (answer.Status, answer.Header("Content-Range")));
        Assert.Equal(RegistryError.RangeInvalid, answer.ErrorCode());
        Assert.Null(answer.Header("Docker-Content-Digest"));
    }

    [Theory]
    [InlineData("bytes=9-0")]
    [InlineData("bytes=a-b")]
    [InlineData("bytes=")]
    [InlineData("items=0-5")]
    [InlineData("bytes=--1")]
    [InlineData("bytes=0-9,20-29")]
    public async Task Blob_RangeThatIsNotOneOfBytes_IsIgnored(string range)
    {
        var answer = await image.Host.GetAsync(LayerTarget, "Range: " + range);

        Assert.Equal((200, null), (answer.Status, answer.Header("Content-Range")));
        Assert.Equal(image.LayerDigest, Digest.OfSha256(answer.Body));
    }

    [Fact]
    public async Task Blob_RangeOfSha512_IsPartial()
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.AddSha512(image.Config);

        var answer = await host.GetAsync($"/v2/team/app/blobs/{digest}?ns=reg.test", "Range: bytes=5-");

        Assert.Equal((206, $"bytes 5-{image.Config.Length - 1}/{image.Config.Length}"), (answer.Status, answer.Header("Content-Range")));
        AssertBlobHead(answer, digest, image.Config.Length - 5);
        Assert.Equal(image.Config[5..], answer.Body);
    }
}
