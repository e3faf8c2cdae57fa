using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>A registry with one image that asks for the password of the only user with every request.</summary>
/// <param name="Registry">The registry itself.</param>
/// <param name="Image">Its only image.</param>
internal sealed record PasswordRegistry(DockerRegistry Registry, TestImage Image)
{
    private const string Repository = "team/basic";
    private const string Tag = "v1";

    // Of the login, with bcrypt.
    private const string PasswordFile = "puller:$2y$05$abcdefghijklmnopqrstuuabXcdEv8y5P1fNp6atN5T5ilrOgFoty";

    /// <summary>Who may pull.</summary>
    public static RegistryLogin Login => PrivateRegistry.Login;

    /// <summary>The image by tag.</summary>
    public string Reference => $"{Registry.Name}/{Repository}:{Tag}";

    /// <summary>Where the manifest of the tag is, at the mirrors of the registry.</summary>
    public string ManifestPath => $"v2/{Repository}/manifests/{Tag}?ns={Registry.Name}";

    /// <summary>Starts it with its image, whose bytes no other registry has.</summary>
    public static async Task<PasswordRegistry> StartAsync(Lab lab, int port)
    {
        var passwords = Path.Combine(lab.Folder, "passwords");
        await File.WriteAllTextAsync(passwords, PasswordFile);
        var registry = await DockerRegistry.StartAsync(lab, port, passwords);
        var image = TestImage.Generate(lab.CreateFolder("image"), seed: port, 300_000, 10_000);
        await registry.PushAsync(image, Repository, Tag, Login.ToBasic());
        return new PasswordRegistry(registry, image);
    }
}
