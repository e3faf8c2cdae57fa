using System.Buffers;
using System.Text;
using Peerd.Contracts;

namespace Peerd.Tests.Contracts;

public sealed class ManifestMediaTypeTests
{
    [Theory]
    [InlineData("""{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{},"layers":[]}""", "application/vnd.docker.distribution.manifest.v2+json")]
    [InlineData("""{"layers":[{"mediaType":"x"}],"config":{"mediaType":"y"},"schemaVersion":2}""", ManifestMediaType.Image)]
    [InlineData("""{"schemaVersion":2,"manifests":[{"mediaType":"x"}]}""", ManifestMediaType.Index)]
    [InlineData("""{"schemaVersion":2,"mediaType":"text/html\r\nX-Evil: 1","manifests":[]}""", ManifestMediaType.Index)]
    [InlineData("""{"schemaVersion":2,"mediaType":7,"manifests":[]}""", ManifestMediaType.Index)]
    public void Detect_OfManifest_IsItsType(string json, string expected) => Assert.Equal(expected, Detect(json));

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("<html></html>")]
    [InlineData("""{"schemaVersion":2}""")]
    [InlineData("""{"schemaVersion":1,"manifests":[]}""")]
    [InlineData("""{"schemaVersion":2,"manifests":{}}""")]
    [InlineData("""{"architecture":"amd64","config":{"Cmd":["sh"]},"rootfs":{}}""")]
    [InlineData("""{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}""")]
    [InlineData("""{"schemaVersion":2,"manifests":[]} {}""")]
    [InlineData("""{"schemaVersion":2,"manifests":[]""")]
    [InlineData("{\"schemaVersion\":2,\"mediaType\":\"\\ud800\",\"manifests\":[]}")]
    public void Detect_OfOtherBytes_IsNull(string text) => Assert.Null(Detect(text));

    [Fact]
    public void Detect_OfDeepNesting_IsNull() => Assert.Null(Detect("{\"a\":" + new string('[', 100_000)));

    [Fact]
    public void Detect_OfGzip_IsNull() => Assert.Null(ManifestMediaType.Detect(new ReadOnlySequence<byte>([0x1f, 0x8b, 8, 0, 0xff, 0xfe])));

    [Theory]
    [InlineData("application/vnd.oci.image.index.v1+json", true)]
    [InlineData("application/vnd.docker.distribution.manifest.list.v2+json", true)]
    [InlineData("application/vnd.docker.distribution.manifest.v1+prettyjws", true)]
    [InlineData("application/octet-stream", false)]
    [InlineData("application/json", false)]
    [InlineData("text/html", false)]
    [InlineData("application/vnd.oci.image.index.v1+json\n", false)]
    [InlineData("application/vnd.oci.image.index.v1+json; charset=utf-8", false)]
    [InlineData("", false)]
    [InlineData(null, false)]
    public void IsSpecific_OfType_TellsManifestsFromTheRest(string? mediaType, bool expected) =>
        Assert.Equal(expected, ManifestMediaType.IsSpecific(mediaType));

    private static string? Detect(string text) => ManifestMediaType.Detect(new ReadOnlySequence<byte>(Encoding.UTF8.GetBytes(text)));
}
