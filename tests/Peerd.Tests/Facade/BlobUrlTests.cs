using Peerd.Node.Facade;

namespace Peerd.Tests.Facade;

public sealed class BlobUrlTests
{
    private const string Hex = "aa00000000000000000000000000000000000000000000000000000000000011";
    private const string Other = "bb00000000000000000000000000000000000000000000000000000000000022";

    [Theory]
    [InlineData($"https://reg.example/v2/r/blobs/sha256:{Hex}")]
    [InlineData($"http://reg.example:5000/v2/a/b/c/blobs/sha256:{Hex}?ns=x")]
    [InlineData($"https://pkg.example/ghcr1/blobs/sha256:{Hex}?se=2026&sig=S3creta%2Bb%3D")]
    [InlineData($"https://store.example/r//docker/registry/v2/blobs/sha256/aa/{Hex}/data?se=%3A&sig=S3creta%2Bb%3D")]
    [InlineData($"https://store.example/docker/registry/v2/blobs/sha256/aa/{Hex}/data")]
    [InlineData($"https://reg.example/?k=1&d=sha256:{Hex}&x=2")]
    [InlineData($"https://reg.example/?d=sha256%3A{Hex}")]
    [InlineData($"https://reg.example/v2/r/blobs/sha256:{Hex}?d=sha256:{Hex}")]
    public void TryParse_UrlThatNamesADigest_FindsIt(string url)
    {
        Assert.True(BlobUrl.TryParse("/blobs/" + url, out var blob));
        Assert.Equal($"sha256:{Hex}", blob.Digest.ToString());
        Assert.Equal(new Uri(url).Host, blob.Url.Host);
        Assert.EndsWith(blob.Url.PathAndQuery, url, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData($"https://store.example/r//docker/registry/v2/blobs/sha256/aa/{Hex}/data?se=%3A&sig=S3creta%2Bb%3D", true)]
    [InlineData($"https://store.example/docker/registry/v2/blobs/sha256/aa/{Hex}/data", true)]
    [InlineData($"https://store.example/docker/registry/v2/blobs/sha256/aa/{Hex}/data?x=comp", true)]
    [InlineData($"https://store.example/docker/registry/v2/blobs/sha256/aa/{Hex}/data?d=sha256:{Hex}", true)]
    [InlineData($"https://store.example/docker/registry/v2/blobs/sha256/aa/{Hex}/data?comp=blocklist", false)]
    [InlineData($"https://store.example/?d=sha256:{Hex}", false)]
    [InlineData($"https://store.example/x/blobs/sha256:{Hex}", false)]
    [InlineData($"https://store.example/v2/x/blobs/sha256:{Hex}", false)]
    [InlineData("https://store.example/some/key", false)]
    public void IsOfStore_AnyUrl_WhatAStoreKeepsABlobUnder(string url, bool expected)
    {
        Assert.True(BlobUrl.TryParse("/blobs/" + url, out var blob));
        Assert.Equal(expected, blob.IsOfStore);
    }

    [Theory]
    [InlineData("https://store.example/some/key?sig=S3cretx")]
    [InlineData($"https://store.example/docker/registry/v2/blobs/sha256/aa/{Hex}/data?comp=blocklist")]
    [InlineData($"https://store.example/docker/registry/v2/blobs/sha256/aa/{Hex}/data?sig=S3cretx&%63omp=blocklist")]
    [InlineData($"https://store.example/docker/registry/v2/blobs/sha256/aa/{Hex}/data?sig=S3cretx;RESTYPE")]
    [InlineData($"https://store.example/docker/registry/v2/blobs/sha256/aa/{Hex}/data?snapshot=2026")]
    [InlineData($"https://reg.example/v2/r/blobs/sha256:{Hex}?versionId=1")]
    [InlineData($"https://reg.example/?comp=list&d=sha256:{Hex}")]
    [InlineData($"https://reg.example/v2/r/manifests/sha256:{Hex}")]
    [InlineData($"https://reg.example/v2/r/blobs/sha256:{Hex}/")]
    [InlineData($"https://reg.example/v2/r/blobs/SHA256:{Hex}")]
    [InlineData($"https://store.example/docker/registry/v2/blobs/sha256/ab/{Hex}/data")]
    [InlineData($"https://store.example/docker/registry/v2/blobs/sha256/aa/{Hex}/link")]
    [InlineData($"https://store.example/xdocker/registry/v2/blobs/sha256/aa/{Hex}/data")]
    [InlineData($"https://reg.example/v2/r/blobs/sha256:{Hex}?d=sha256:{Other}")]
    [InlineData($"https://reg.example/?d=sha256:{Hex}&d=sha256:{Other}")]
    [InlineData($"https://reg.example/?id=sha256:{Hex}")]
    [InlineData("https://reg.example/?d=sha256:abc")]
    [InlineData($"https://reg.example/??d=sha256:{Hex}")]
    [InlineData($"https://reg.example/?d=sha256:{Hex}&d=sha256:{Hex}")]
    [InlineData($"https://reg.example/?d=%73ha256:{Other}&x=1&d=sha256:{Hex}")]
    [InlineData($"https://reg.example/?%64=sha256:{Other}&d=sha256:{Hex}")]
    [InlineData($"https://reg.example/?D=sha256:{Other}&d=sha256:{Hex}")]
    [InlineData($"https://reg.example/?x=1;d=sha256:{Other}&d=sha256:{Hex}")]
    [InlineData($"https://reg.example/?d=anything&d=sha256:{Hex}")]
    [InlineData($"https://reg.example/?d&d=sha256:{Hex}")]
    [InlineData($"https://reg.example/v2/r/blobs/sha256:{Hex}?%64=%73ha256:{Other}")]
    [InlineData($"https://reg.example/x?d=sha256:{Hex}")]
    [InlineData($"https://reg.example/v2/r/manifests/x?d=sha256:{Hex}")]
    [InlineData($"https://reg.example/v2/r/tags/list?d=sha256:{Hex}")]
    [InlineData($"https://reg.example/v2/r/blobs/sha256%3A{Other}?d=sha256:{Hex}")]
    [InlineData($"https://reg.example/v2/r/blobs/sha256:{Other}%3F/blobs/sha256:{Hex}")]
    [InlineData($"https://store.example/x%2F/docker/registry/v2/blobs/sha256/aa/{Hex}/data")]
    public void TryParse_UrlThatNamesNoneOrIsNotToBeBelieved_HasNoDigest(string url)
    {
        Assert.True(BlobUrl.TryParse("/blobs/" + url, out var blob));
        Assert.True(blob.Digest.IsEmpty);
    }

    [Theory]
    [InlineData("acl")]
    [InlineData("alt")]
    [InlineData("attributes")]
    [InlineData("ci-process")]
    [InlineData("generation")]
    [InlineData("legal-hold")]
    [InlineData("multipart-manifest")]
    [InlineData("partNumber")]
    [InlineData("retention")]
    [InlineData("symlink")]
    [InlineData("tagging")]
    [InlineData("torrent")]
    [InlineData("uploadId")]
    [InlineData("x-image-process")]
    [InlineData("x-oss-process")]
    public void TryParse_ParameterOfAnyStoreThatAsksForSomethingElse_HasNoDigest(string name)
    {
        foreach (var query in new[] { name, $"sig=S3cretx&{name}=1", $"{name.ToUpperInvariant()}=1&x=2", $"%{(int)name[0]:x2}{name[1..]}=1" })
        {
            Assert.True(BlobUrl.TryParse($"/blobs/https://store.example/docker/registry/v2/blobs/sha256/aa/{Hex}/data?{query}", out var blob));
            Assert.Equal((query, true), (query, blob.Digest.IsEmpty));
        }
    }

    [Theory]
    [InlineData("/blobs/")]
    [InlineData("/blobs")]
    [InlineData("/blob/https://h/p")]
    [InlineData("/blobs/file:///etc/shadow")]
    [InlineData("/blobs/ftp://h/p")]
    [InlineData("/blobs/gopher://h/p")]
    [InlineData("/blobs/unix:/run/x")]
    [InlineData("/blobs/javascript:alert(1)")]
    [InlineData("/blobs/https:/one-slash/p")]
    [InlineData("/blobs/https:///p")]
    [InlineData("/blobs//h/p")]
    [InlineData("/blobs/h/p")]
    [InlineData("/blobs/https%3A%2F%2Fh%2Fp")]
    [InlineData("/blobs/https://user:pw@h/p")]
    [InlineData("/blobs/https://h@evil/p")]
    [InlineData("/blobs/https://h%2eevil/p")]
    [InlineData("/blobs/https://h/p#fragment")]
    [InlineData("/blobs/https://h/p%00")]
    [InlineData("/blobs/https://h/a b")]
    [InlineData("/blobs/https://h\\evil/p")]
    [InlineData("/blobs/https://h/\u0007")]
    [InlineData("/blobs/https://hö/p")]
    [InlineData("/blobs/https://h:99999/p")]
    [InlineData("/blobs/https://h:0/p")]
    public void TryParse_AnythingElse_IsRefused(string target) => Assert.False(BlobUrl.TryParse(target, out _));
}
