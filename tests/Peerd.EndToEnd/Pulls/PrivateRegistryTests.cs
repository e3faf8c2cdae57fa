using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>Private registries and tokens are real, with no mesh between: what fails through a mesh is the mesh's fault.</summary>
[Collection(PullSiteDefinition.Name)]
public sealed class PrivateRegistryTests(PullSite site) : LabTest
{
    public static MatrixTheoryData<string, ImageClient> Cases => new(["1.6", "1.7", "2.1"], Enum.GetValues<ImageClient>());

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task PullFromRegistry_WithLogin_GetsItsOwnToken(string version, ImageClient client)
    {
        await using var registry = await PrivateRegistry.StartAsync(Lab, site.TakePort());
        var containerd = await UseAsync(version, registry);

        PullAssert.Succeeded(await containerd.PullAsync(client, registry.Reference, PullTimeout, PrivateRegistry.Login));

        Assert.Empty(await containerd.FindWrongContentAsync(registry.Image.All, client));
        Assert.NotEmpty(registry.Tokens.Granted);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task PullFromRegistry_WithoutLoginOrWithAWrongOne_Fails(string version, ImageClient client)
    {
        await using var registry = await PrivateRegistry.StartAsync(Lab, site.TakePort());
        var containerd = await UseAsync(version, registry);

        Assert.NotNull(await containerd.PullAsync(client, registry.Reference, PullTimeout));
        Assert.NotNull(await containerd.PullAsync(client, registry.Reference, PullTimeout, PrivateRegistry.Login with { Password = "S3cret-wrong" }));

        Assert.Empty(registry.Tokens.Granted);
        Assert.Equal(0, registry.Registry.BytesSoFar);
    }

    internal override string Tail() => $"{base.Tail()}\n{site.Tail()}";

    private async Task<Containerd> UseAsync(string version, PrivateRegistry registry)
    {
        var containerd = (await site.UseContainerdsAsync(new ContainerdSetup(version, HasCri: true), registry.Registry))[0];
        await containerd.UseMirrorAsync(registry.Registry.Name, registry.Registry.Endpoint);
        return containerd;
    }
}
