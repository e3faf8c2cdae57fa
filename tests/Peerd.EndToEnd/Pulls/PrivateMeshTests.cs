using System.Net;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>
/// Images of a private registry through the mesh: the registry's challenge is handed to containerd, which fetches its own token
/// and brings it to its node. Nodes have no credentials of their own.
/// </summary>
[Collection(PullSiteDefinition.Name)]
public sealed class PrivateMeshTests(PullSite site) : LabTest
{
    public static MatrixTheoryData<string, ImageClient, bool> Cases => new(["1.6", "1.7", "2.1"], Enum.GetValues<ImageClient>(), [false, true]);

    public static MatrixTheoryData<string, ImageClient> Clients => new(["1.6", "1.7", "2.1"], Enum.GetValues<ImageClient>());

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Pull_WithLogin_EachByteLeavesTheRegistryOnceAndAFourthNodePullsWithoutRegistry(string version, ImageClient client, bool byDigest)
    {
        await using var registry = await PrivateRegistry.StartAsync(Lab, site.TakePort());
        var containerds = await UseAsync(version, registry);
        var reference = byDigest ? registry.DigestReference : registry.Reference;

        var errors = await Task.WhenAll(containerds.Take(PullSite.Herd).Select(containerd => containerd.PullAsync(client, reference, PullTimeout, PrivateRegistry.Login)));

        PullAssert.Succeeded(errors);
        Amplification.Demand(registry.Registry, registry.Image);
        Assert.NotEmpty(registry.Tokens.Granted);

        await registry.Registry.StopAsync();
        PullAssert.Succeeded(await containerds[PullSite.Herd].PullAsync(client, reference, PullTimeout, PrivateRegistry.Login));

        var wrong = await Task.WhenAll(containerds.Select(containerd => containerd.FindWrongContentAsync(registry.Image.All, client)));
        Assert.Empty(wrong.SelectMany(list => list));
    }

    [Theory]
    [MemberData(nameof(Clients))]
    public async Task Pull_WithoutLoginOrWithAWrongOne_FailsAndNothingLeavesTheRegistry(string version, ImageClient client)
    {
        await using var registry = await PrivateRegistry.StartAsync(Lab, site.TakePort());
        var containerd = (await UseAsync(version, registry))[0];

        Assert.NotNull(await containerd.PullAsync(client, registry.Reference, PullTimeout));
        Assert.NotNull(await containerd.PullAsync(client, registry.DigestReference, PullTimeout));
        Assert.NotNull(await containerd.PullAsync(client, registry.Reference, PullTimeout, PrivateRegistry.Login with { Password = "S3cret-wrong" }));

        Assert.Empty(registry.Tokens.Granted);
        Assert.Equal(0, registry.Registry.BytesSoFar);

        // What failed stands in nobody's way.
        PullAssert.Succeeded(await containerd.PullAsync(client, registry.Reference, PullTimeout, PrivateRegistry.Login));
    }

    [Fact]
    public async Task Manifest_AskedWithoutToken_HasTheChallengeOfTheRegistryUnchanged()
    {
        await using var registry = await PrivateRegistry.StartAsync(Lab, site.TakePort());
        using var client = new HttpClient { Timeout = PullTimeout };
        using var direct = await client.GetAsync(new Uri(registry.Registry.Endpoint, registry.ManifestPath));

        using var relayed = await client.GetAsync(new Uri(site.Nodes[0].Facade, registry.ManifestPath));

        Assert.Equal(HttpStatusCode.Unauthorized, direct.StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, relayed.StatusCode);
        Assert.Equal(Assert.Single(direct.Headers.GetValues("WWW-Authenticate")), Assert.Single(relayed.Headers.GetValues("WWW-Authenticate")));
    }

    // The listener is the border: whoever reaches it may have what the mesh has, if he knows the digest.
    [Fact]
    public async Task Blob_AskedWithoutTokenAfterAPull_IsServedAndNoSecretIsKept()
    {
        await using var registry = await PrivateRegistry.StartAsync(Lab, site.TakePort());
        var containerd = (await UseAsync("2.1", registry))[0];
        PullAssert.Succeeded(await containerd.PullAsync(ImageClient.Cri, registry.Reference, PullTimeout, PrivateRegistry.Login));
        var before = registry.Registry.BytesSoFar;
        using var client = new HttpClient { Timeout = PullTimeout };

        foreach (var (path, blob) in registry.BlobPaths.Zip(registry.Image.Blobs))
        {
            foreach (var node in site.Nodes)
            {
                Assert.Equal(await File.ReadAllBytesAsync(blob.File), await client.GetByteArrayAsync(new Uri(node.Facade, path)));
            }
        }

        Assert.Equal(before, registry.Registry.BytesSoFar);
        await PullAssert.NoSecretIsKeptAsync(Lab, site.Nodes);
    }

    // Whoever is asked for Basic credentials sends the password itself, so nobody but the registry may ask for it.
    [Theory]
    [MemberData(nameof(Clients))]
    public async Task Pull_RegistryAsksForAPassword_NodeDoesNot(string version, ImageClient client)
    {
        var registry = await PasswordRegistry.StartAsync(Lab, site.TakePort());
        var containerd = (await site.UseContainerdsAsync(new ContainerdSetup(version, HasCri: true), registry.Registry))[0];
        using var http = new HttpClient { Timeout = PullTimeout };
        using var answer = await http.GetAsync(new Uri(site.Nodes[0].Facade, registry.ManifestPath));

        Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        Assert.False(answer.Headers.Contains("WWW-Authenticate"));
        Assert.NotNull(await containerd.PullAsync(client, registry.Reference, PullTimeout, PasswordRegistry.Login));
        Assert.Equal(0, registry.Registry.BytesSoFar);
    }

    internal override string Tail() => $"{base.Tail()}\n{site.Tail()}";

    private Task<Containerd[]> UseAsync(string version, PrivateRegistry registry) =>
        site.UseContainerdsAsync(new ContainerdSetup(version, HasCri: true), registry.Registry);
}
