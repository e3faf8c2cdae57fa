using Peerd.Node.Origin;

namespace Peerd.Tests.Origin;

public sealed class OriginUrlTests
{
    [Theory]
    [InlineData("https://h.test/a//b/%2Fc/../d?sig=%2b+%7e&x=a%20b", "/a//b/%2Fc/../d?sig=%2b+%7e&x=a%20b")]
    [InlineData("HTTP://h.test:81", "/")]
    [InlineData("https://h.test?x=1", "/?x=1")]
    [InlineData("https://h.test/a#fragment?x", "/a")]
    [InlineData("http://[::1]:5000/x", "/x")]
    public void TryParse_Good_KeepsPathAndQueryByteByByte(string text, string pathAndQuery)
    {
        Assert.True(OriginUrl.TryParse(text, out var url));
        Assert.Equal(pathAndQuery, url.PathAndQuery);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("/path")]
    [InlineData("//host/path")]
    [InlineData("ftp://h.test/")]
    [InlineData("file:///etc/passwd")]
    [InlineData("https://")]
    [InlineData("https:///path")]
    [InlineData("https://:80/")]
    [InlineData("https://user@h.test/")]
    [InlineData("https://user:pass@h.test/")]
    [InlineData("https://h.test\\@evil.test/")]
    [InlineData("https://h.test/a b")]
    [InlineData("https://h.test/a\r\nX-Evil: 1")]
    [InlineData("https://h.test/\u00e9")]
    [InlineData("https://h\u00e9.test/")]
    [InlineData("https://h.test/\u0000")]
    [InlineData("https://h%2etest/")]
    [InlineData("https://h.test:99999/")]
    [InlineData("https://h.test:0/")]
    public void TryParse_Bad_IsRefused(string? text) => Assert.False(OriginUrl.TryParse(text, out _));

    [Fact]
    public void TryParse_Huge_IsRefused() => Assert.False(OriginUrl.TryParse("https://h.test/" + new string('x', 20_000), out _));

    [Theory]
    [InlineData("https://h.test:8443/", "https://h.test:8443/")]
    [InlineData("https://h.test/v2/team/app/blobs/sha256:abcd000000000000000000000000000000000000000000000000000000000000", "https://h.test/v2/team/app/blobs/sha256:abcd000000000000000000000000000000000000000000000000000000000000")]
    [InlineData("https://h.test/v2/team/app/manifests/sha256:abcd000000000000000000000000000000000000000000000000000000000000", "https://h.test/v2/team/app/manifests/sha256:abcd000000000000000000000000000000000000000000000000000000000000")]
    [InlineData("https://h.test/v2/team/app/manifests/v1.2", "https://h.test/v2/team/app/manifests/v1.2")]
    [InlineData("http://[::1]:5000/v2/app/manifests/latest", "http://[::1]:5000/v2/app/manifests/latest")]
    [InlineData("https://h.test/v2/team/app/tags/list", "https://h.test/v2/team/app/tags/list")]
    [InlineData("https://h.test/v2/team/app/referrers/sha256:abcd000000000000000000000000000000000000000000000000000000000000", "https://h.test/v2/team/app/referrers/sha256:abcd000000000000000000000000000000000000000000000000000000000000")]
    [InlineData("https://h.test/v2/team/app/tags/S3cret", "https://h.test/…")]
    [InlineData("https://h.test/v2/team/app/referrers/S3cret", "https://h.test/…")]
    [InlineData("https://h.test/S3cret/tags/list", "https://h.test/…")]
    [InlineData("https://h.test/S3cret//docker/registry/v2/blobs/sha256/ab/abcd000000000000000000000000000000000000000000000000000000000000/data", "https://h.test/…/docker/registry/v2/blobs/sha256/ab/abcd000000000000000000000000000000000000000000000000000000000000/data")]
    [InlineData("https://h.test/S3cret/blobs/sha256:abcd000000000000000000000000000000000000000000000000000000000000", "https://h.test/…/blobs/sha256:abcd000000000000000000000000000000000000000000000000000000000000")]
    [InlineData("https://h.test/artifacts-downloads/namespaces/n/downloads/S3cret", "https://h.test/…")]
    [InlineData("https://h.test/v2/team/app/blobs/S3cret", "https://h.test/…")]
    [InlineData("https://h.test/v2/team/S3cret/blobs/sha256:abcd000000000000000000000000000000000000000000000000000000000000x", "https://h.test/…")]
    [InlineData("https://h.test/v2/team/S3cret/S3cret/latest", "https://h.test/…")]
    [InlineData("https://h.test/v2/S3cret", "https://h.test/…")]
    [InlineData("https://h.test/v2/S3cret%2Fx/manifests/latest", "https://h.test/…")]
    [InlineData("https://h.test/docker/registry/v2/blobs/sha256/S3cret/abcd000000000000000000000000000000000000000000000000000000000000/data", "https://h.test/…")]
    public void Redact_AnyUrl_ShowsWhatIsNoSignature(string text, string expected)
    {
        foreach (var query in new[] { string.Empty, "?sig=S3cret", "?sig=S3cret/blobs/sha256:abcd000000000000000000000000000000000000000000000000000000000000" })
        {
            Assert.True(OriginUrl.TryParse(text + query, out var url));
            Assert.Equal(expected, OriginUrl.Redact(url));
        }
    }

    [Theory]
    [InlineData("https://auth.test/token", "https://auth.test/token")]
    [InlineData("https://auth.test:8443/v2/team%2Fapp/token?service=S3cret&scope=S3cret/S3cret", "https://auth.test:8443/v2/team%2Fapp/token")]
    [InlineData("https://auth.test?S3cret", "https://auth.test/")]
    [InlineData("https://auth.test/token#S3cret", "https://auth.test/token")]
    public void RedactQuery_AnyUrl_ShowsThePathAndNoQuery(string text, string expected)
    {
        Assert.True(OriginUrl.TryParse(text, out var url));
        Assert.Equal(expected, OriginUrl.RedactQuery(url));
    }

    [Fact]
    public void RedactQuery_LongPath_ShowsItsBeginning()
    {
        Assert.True(OriginUrl.TryParse($"https://auth.test/{new string('a', 8192)}?S3cret", out var url));

        Assert.Equal($"https://auth.test/{new string('a', 255)}…", OriginUrl.RedactQuery(url));
    }
}
