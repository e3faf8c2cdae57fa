using System.Text;
using Peerd.Contracts;

namespace Peerd.Tests.Facade;

/// <summary>A facade with one image in repository <c>team/app</c> of <c>reg.test</c>: index, manifest, config, layer, tag <c>v1</c>.</summary>
public sealed class MirrorFixture : IAsyncLifetime
{
    public const int LayerSize = 3_001_174;
    public const string IndexType = "application/vnd.oci.image.index.v1+json";
    public const string ManifestType = "application/vnd.docker.distribution.manifest.v2+json";
    public const string Unknown = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

    internal FacadeHost Host { get; private set; } = null!;

    public byte[] Index { get; } = Encoding.UTF8.GetBytes("""{"schemaVersion":2,"manifests":[]}""");

    public byte[] Manifest { get; } = Encoding.UTF8.GetBytes($$$"""{"schemaVersion":2,"mediaType":"{{{ManifestType}}}","config":{},"layers":[]}""");

    public byte[] Config { get; } = Encoding.UTF8.GetBytes("""{"architecture":"amd64","config":{"Cmd":["sh"]}}""");

    public byte[] Layer { get; } = MakeBytes(LayerSize);

    internal Digest IndexDigest { get; private set; }

    internal Digest ManifestDigest { get; private set; }

    internal Digest ConfigDigest { get; private set; }

    internal Digest LayerDigest { get; private set; }

    public static byte[] MakeBytes(int size, int seed = 1)
    {
        var bytes = new byte[size];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    public async ValueTask InitializeAsync()
    {
        Host = await FacadeHost.StartAsync();
        IndexDigest = Host.Contents.Add(Index, IndexType);
        ManifestDigest = Host.Contents.Add(Manifest);
        ConfigDigest = Host.Contents.Add(Config);
        LayerDigest = Host.Contents.Add(Layer);
        Host.Origin.Tag("v1", IndexDigest, Index.Length, IndexType);
    }

    public ValueTask DisposeAsync() => Host.DisposeAsync();
}
