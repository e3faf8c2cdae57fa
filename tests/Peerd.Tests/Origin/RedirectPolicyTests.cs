using Peerd.Node.Origin;

namespace Peerd.Tests.Origin;

public sealed class RedirectPolicyTests
{
    [Theory]
    [InlineData("https://reg.test", "https://cdn.test/x?sig=%2Fa", "https://cdn.test/x?sig=%2Fa")]
    [InlineData("https://reg.test", "/other?x=%2b", "https://reg.test/other?x=%2b")]
    [InlineData("https://reg.test:8443", "/other", "https://reg.test:8443/other")]
    [InlineData("https://reg.test", "//cdn.test/x", "https://cdn.test/x")]
    [InlineData("https://reg.test", "other", "https://reg.test/v2/a/blobs/other")]
    [InlineData("https://reg.test", "https://10.0.0.7/x", "https://10.0.0.7/x")]
    [InlineData("http://reg.test", "http://cdn.test/x", "http://cdn.test/x")]
    [InlineData("http://reg.test", "https://cdn.test/x", "https://cdn.test/x")]
    [InlineData("http://127.0.0.1:5000", "http://127.0.0.1:6000/x", "http://127.0.0.1:6000/x")]
    [InlineData("http://localhost:5000", "http://[::1]:6000/x", "http://[::1]:6000/x")]
    public void TryFollow_Allowed_HasTheExactTarget(string endpoint, string location, string target)
    {
        var (registry, from) = From(endpoint);
        Assert.True(RedirectPolicy.TryFollow(registry, from, location, out var url, out _));
        Assert.Equal(target, url.GetLeftPart(UriPartial.Authority) + url.PathAndQuery);
    }

    [Theory]
    [InlineData("https://reg.test", null)]
    [InlineData("https://reg.test", "")]
    [InlineData("https://reg.test", "http://reg.test/x")]
    [InlineData("https://reg.test", "http://cdn.test/x?sig=S3cret")]
    [InlineData("https://reg.test", "ftp://cdn.test/x")]
    [InlineData("https://reg.test", "file:///etc/passwd")]
    [InlineData("https://reg.test", "javascript:alert(1)")]
    [InlineData("https://reg.test", "https://user:S3cret@cdn.test/x")]
    [InlineData("https://reg.test", "https://cdn.test/a b")]
    [InlineData("https://reg.test", "https://cdn.test\\.evil/x")]
    [InlineData("https://reg.test", "\\\\evil\\x")]
    [InlineData("https://reg.test", "/\\evil")]
    [InlineData("https://reg.test", "https://127.0.0.1/x?sig=S3cret")]
    [InlineData("https://reg.test", "https://2130706433/x")]
    [InlineData("https://reg.test", "https://0x7f.1/x")]
    [InlineData("https://reg.test", "https://169.254.169.254/latest/meta-data")]
    [InlineData("https://reg.test", "https://[::1]/x")]
    [InlineData("https://reg.test", "https://[::ffff:127.0.0.1]/x")]
    [InlineData("https://reg.test", "https://[fe80::1]/x")]
    [InlineData("https://reg.test", "https://0.0.0.0/x")]
    [InlineData("http://reg.test", "http://127.0.0.1/x")]
    [InlineData("https://127.0.0.1:5000", "http://127.0.0.1:6000/x")]
    public void TryFollow_Forbidden_SaysWhyWithoutSecrets(string endpoint, string? location)
    {
        var (registry, from) = From(endpoint);
        Assert.False(RedirectPolicy.TryFollow(registry, from, location, out _, out var reason));
        Assert.NotEmpty(reason);
        Assert.DoesNotContain("S3cret", reason, StringComparison.Ordinal);
    }

    private static (RegistryEndpoint Registry, Uri From) From(string endpoint)
    {
        Assert.True(RegistryEndpoint.TryCreate("reg.test", endpoint, out var registry));
        return (registry, new Uri($"{endpoint}/v2/a/blobs/b"));
    }
}
