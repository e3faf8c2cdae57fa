using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>A registry with one image that only one user may pull, and the server of its tokens.</summary>
internal sealed class PrivateRegistry : IAsyncDisposable
{
    /// <summary>Where its image is.</summary>
    public const string Repository = "team/private";

    private const string Tag = "v1";

    private PrivateRegistry(TokenServer tokens, DockerRegistry registry, TestImage image)
    {
        Tokens = tokens;
        Registry = registry;
        Image = image;
    }

    /// <summary>Who may pull.</summary>
    public static RegistryLogin Login { get; } = new("puller", $"{TestOutput.SecretMarker}Password-only-for-the-lab");

    /// <summary>Issues its tokens.</summary>
    public TokenServer Tokens { get; }

    /// <summary>The registry itself.</summary>
    public DockerRegistry Registry { get; }

    /// <summary>Its only image.</summary>
    public TestImage Image { get; }

    /// <summary>The image by tag.</summary>
    public string Reference => $"{Registry.Name}/{Repository}:{Tag}";

    /// <summary>The image by digest.</summary>
    public string DigestReference => $"{Registry.Name}/{Repository}@{Image.Index.Digest}";

    /// <summary>Where the manifest of the tag is, at the registry and at its mirrors.</summary>
    public string ManifestPath => PathOf("manifests", Tag);

    /// <summary>The same by tag and by digest, that of the platform's image, too.</summary>
    public IEnumerable<string> ManifestPaths => new[] { Tag, $"{Image.Index.Digest}", $"{Image.Manifest.Digest}" }.Select(reference => PathOf("manifests", reference));

    /// <summary>Where config and layers are.</summary>
    public IEnumerable<string> BlobPaths => Image.Blobs.Select(blob => PathOf("blobs", $"{blob.Digest}"));

    /// <summary>The same as overlaybd asks for them.</summary>
    public IEnumerable<string> BlobUrlPaths => BlobPaths.Select(path => $"blobs/{Registry.Endpoint}{path}");

    /// <summary>Where the list of tags is.</summary>
    public string TagsPath => PathOf("tags", "list");

    /// <summary>The same contents where another repository would have them.</summary>
    /// <param name="repository">Has none of them.</param>
    public IEnumerable<string> PathsIn(string repository) =>
        Image.All.Select(part => PathOf(Image.Blobs.Contains(part) ? "blobs" : "manifests", $"{part.Digest}", repository));

    private string PathOf(string kind, string reference, string repository = Repository) => $"v2/{repository}/{kind}/{reference}?ns={Registry.Name}";

    /// <summary>Starts it with its image, whose bytes no other registry has.</summary>
    public static async Task<PrivateRegistry> StartAsync(Lab lab, int port)
    {
        var tokens = await TokenServer.StartAsync(lab.CreateFolder("tokens"), Login, Repository);
        try
        {
            var registry = await DockerRegistry.StartAsync(lab, port, tokens);
            var image = TestImage.Generate(lab.CreateFolder("image"), seed: port, 900_000, 300_000);
            await registry.PushAsync(image, Repository, Tag, tokens.IssueForWriting(Repository));
            return new PrivateRegistry(tokens, registry, image);
        }
        catch
        {
            await tokens.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc />
    public ValueTask DisposeAsync() => Tokens.DisposeAsync();
}
