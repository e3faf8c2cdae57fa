using Peerd.Node.Cli.Fetch;

namespace Peerd.Tests.Cli.Fetch;

public class FetchTargetTests
{
    private const string Digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    [Theory]
    [InlineData("https://reg.example/v2/team/app/blobs/" + Digest, "reg.example", "team/app")]
    [InlineData("http://reg.example:5000/v2/app/blobs/" + Digest, "reg.example:5000", "app")]
    [InlineData("https://reg.example/v2/blobs/blobs/" + Digest, "reg.example", "blobs")]
    public void TryParse_UrlOfARegistryBlob_IsABlob(string url, string registry, string repository)
    {
        Assert.True(FetchTarget.TryParse(url, out var target, out _));
        var blob = Assert.IsType<BlobTarget>(target);
        Assert.Equal((registry, repository, Digest), (blob.Registry, blob.Repository, blob.Digest.ToString()));
    }

    [Theory]
    [InlineData("https://reg.example/v2/team/app/manifests/" + Digest)]
    [InlineData("https://reg.example/v2/team/app/blobs/sha256:12")]
    [InlineData("https://reg.example/v2/blobs/" + Digest)]
    [InlineData("https://reg.example/v2/Team/blobs/" + Digest)]
    [InlineData("https://reg.example/v2/a/../b/blobs/" + Digest + "?x=1")]
    [InlineData("https://user:secret@reg.example/v2/a/blobs/" + Digest)]
    [InlineData("https://store.example/some/file?sig=S3cret1")]
    [InlineData("ftp://reg.example/v2/a/blobs/" + Digest)]
    [InlineData("https://")]
    public void TryParse_AnyOtherUrl_SaysWhatIsSupported(string url)
    {
        Assert.False(FetchTarget.TryParse(url, out _, out var error));
        Assert.Contains("only URLs of registry blobs are supported", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("linux/amd64", "linux/arm64", false)]
    [InlineData("linux/arm64", "linux/arm64/v8", true)]
    [InlineData("linux/arm/v7", "linux/arm/v6", false)]
    [InlineData("linux/arm/v7", "linux/arm/v7", true)]
    [InlineData("windows/amd64", "linux/amd64", false)]
    public void Accepts_OtherPlatform_ComparesVariantsOnlyWhenOneIsWanted(string wanted, string offered, bool accepted)
    {
        Assert.True(Platform.TryParse(wanted, out var platform));
        Assert.True(Platform.TryParse(offered, out var other));
        Assert.Equal(accepted, platform.Accepts(other));
    }

    [Theory]
    [InlineData("linux")]
    [InlineData("linux/")]
    [InlineData("linux/amd64/v1/x")]
    [InlineData("linux/amd 64")]
    public void TryParse_WhatIsNoPlatform_IsRefused(string text) => Assert.False(Platform.TryParse(text, out _));
}
