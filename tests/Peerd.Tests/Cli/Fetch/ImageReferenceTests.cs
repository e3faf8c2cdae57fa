using Peerd.Node.Cli.Fetch;

namespace Peerd.Tests.Cli.Fetch;

public class ImageReferenceTests
{
    private const string Hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    [Theory]
    [InlineData("alpine", "docker.io", "library/alpine", "latest", null)]
    [InlineData("alpine:3.20", "docker.io", "library/alpine", "3.20", null)]
    [InlineData("grafana/grafana", "docker.io", "grafana/grafana", "latest", null)]
    [InlineData("docker.io/alpine", "docker.io", "library/alpine", "latest", null)]
    [InlineData("index.docker.io/alpine", "docker.io", "library/alpine", "latest", null)]
    [InlineData("docker.io/a/b/c:x", "docker.io", "a/b/c", "x", null)]
    [InlineData("localhost/app", "localhost", "app", "latest", null)]
    [InlineData("localhost:5000/app", "localhost:5000", "app", "latest", null)]
    [InlineData("Registry/app", "registry", "app", "latest", null)]
    [InlineData("reg.example/app_1/b__c/d-.-e:v1", null, null, null, null)]
    [InlineData("reg.example/app_1/b__c/d--e.f:v1", "reg.example", "app_1/b__c/d--e.f", "v1", null)]
    [InlineData("reg:5000/team/app@sha256:" + Hash, "reg:5000", "team/app", null, "sha256:" + Hash)]
    [InlineData("reg:5000/team/app:v1@sha256:" + Hash, "reg:5000", "team/app", "v1", "sha256:" + Hash)]
    [InlineData("[::1]:5000/app", "[::1]:5000", "app", "latest", null)]
    [InlineData("127.0.0.1:5000/app", "127.0.0.1:5000", "app", "latest", null)]
    [InlineData("app:_Weird.Tag-1", "docker.io", "library/app", "_Weird.Tag-1", null)]
    [InlineData("", null, null, null, null)]
    [InlineData(":", null, null, null, null)]
    [InlineData("@sha256:" + Hash, null, null, null, null)]
    [InlineData("reg.example/", null, null, null, null)]
    [InlineData("/app", null, null, null, null)]
    [InlineData("App", null, null, null, null)]
    [InlineData("a//b", null, null, null, null)]
    [InlineData("a/../b", null, null, null, null)]
    [InlineData("-a", null, null, null, null)]
    [InlineData("a___b", null, null, null, null)]
    [InlineData("a:", null, null, null, null)]
    [InlineData("a:.b", null, null, null, null)]
    [InlineData("a:b c", null, null, null, null)]
    [InlineData("alpine\n", null, null, null, null)]
    [InlineData("a@sha256:12", null, null, null, null)]
    [InlineData("a@", null, null, null, null)]
    [InlineData("a@md5:" + Hash, null, null, null, null)]
    [InlineData("reg:0/a", null, null, null, null)]
    [InlineData("reg:65536/a", null, null, null, null)]
    [InlineData("reg_1.example/a", null, null, null, null)]
    [InlineData("r\u00e9g.example/a", null, null, null, null)]
    [InlineData(Hash, null, null, null, null)]
    public void TryParse_Text_FollowsDockersRules(string text, string? registry, string? repository, string? tag, string? digest)
    {
        var ok = ImageReference.TryParse(text, out var reference, out var error);

        Assert.Equal(registry is not null, ok);
        Assert.Equal(ok, error is null);
        Assert.Equal((registry, repository, tag, digest), (reference?.Registry, reference?.Repository, reference?.Tag, reference?.Digest?.ToString()));
    }

    [Theory]
    [InlineData(128, true)]
    [InlineData(129, false)]
    public void TryParse_TagLength_IsLimited(int length, bool valid) =>
        Assert.Equal(valid, ImageReference.TryParse("app:" + new string('t', length), out _, out _));

    [Theory]
    [InlineData(255 - 11, true)]
    [InlineData(255 - 10, false)]
    public void TryParse_NameLength_IsLimitedTogetherWithTheRegistry(int length, bool valid) =>
        Assert.Equal(valid, ImageReference.TryParse("r.example:1/".Replace(":1", "", StringComparison.Ordinal) + new string('a', length + 1), out _, out _));

    [Theory]
    [InlineData("alpine", "docker.io/library/alpine:latest")]
    [InlineData("reg:5000/a:v1@sha256:" + Hash, "reg:5000/a:v1@sha256:" + Hash)]
    [InlineData("reg:5000/a@sha256:" + Hash, "reg:5000/a@sha256:" + Hash)]
    public void ToString_OfAReference_IsItsFullForm(string text, string full)
    {
        Assert.True(ImageReference.TryParse(text, out var reference, out _));
        Assert.Equal(full, reference.ToString());
        Assert.True(ImageReference.TryParse(full, out var again, out _));
        Assert.Equal(reference, again);
    }

    [Fact]
    public void Wanted_WithTagAndDigest_IsTheDigest()
    {
        Assert.True(ImageReference.TryParse("a:v1@sha256:" + Hash, out var reference, out _));
        Assert.Equal("sha256:" + Hash, reference.Wanted);
    }
}
