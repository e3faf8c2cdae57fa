using System.Text;
using Peerd.Node.Storage.Containerd;

namespace Peerd.Tests.Storage.Containerd;

public sealed class ManifestTypeTests
{
    [Theory]
    [InlineData("""{"schemaVersion":2,"mediaType":"application/x"}""", "application/x")]
    [InlineData("""{"schemaVersion":2,"manifests":[]}""", "application/vnd.oci.image.index.v1+json")]
    [InlineData("""{"schemaVersion":2,"mediaType":"\ud800"}""", null)]
    [InlineData("""{"schemaVersion":2,"\ud800":1}""", null)]
    [InlineData("{", null)]
    [InlineData("", null)]
    public void Of_AnyBytes_IsTheTypeOrNothing(string json, string? expected) => Assert.Equal(expected, ManifestType.Of(Encoding.UTF8.GetBytes(json)));

    [Fact]
    public void Of_EndlessType_IsNothing() =>
        Assert.Null(ManifestType.Of(Encoding.UTF8.GetBytes($$"""{"schemaVersion":2,"mediaType":"{{new string('x', 100_000)}}"}""")));
}
