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

    [Fact]
    public void Redact_SignedUrl_HasNoQuery()
    {
        Assert.True(OriginUrl.TryParse("https://h.test:8443/a//b?sig=S3cret", out var url));
        Assert.Equal("https://h.test:8443/a//b", OriginUrl.Redact(url));
    }
}
