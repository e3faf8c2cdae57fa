using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>A tag whose registry is gone still leads to the image that it led to.</summary>
[Collection(PullSiteDefinition.Name)]
public sealed class StaleTagTests(PullSite site) : LabTest
{
    private const string Repository = "team/app";
    private const string Tag = "v1";

    public static MatrixTheoryData<string, ImageClient> Cases => new(["1.6", "1.7", "2.1"], Enum.GetValues<ImageClient>());

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task PullByTag_RegistryGone_SameNodePullsTheSameImageAgain(string version, ImageClient client)
    {
        var port = site.TakePort();
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: port, 200_000);
        var registry = await DockerRegistry.StartAsync(Lab, port);
        await registry.PushAsync(image, Repository, Tag);
        var containerd = (await site.UseContainerdsAsync(new ContainerdSetup(version, HasCri: true), registry))[0];
        var reference = $"{registry.Name}/{Repository}:{Tag}";
        PullAssert.Succeeded(await containerd.PullAsync(client, reference, PullTimeout));
        await containerd.RemoveAsync(client, reference);
        await Wait.UntilAsync("nothing of the image is left", containerd.Process, async () => !(await containerd.ListContentAsync(client)).Intersect(image.All.Select(part => part.Digest)).Any(), PullTimeout);

        await registry.StopAsync();

        PullAssert.Succeeded(await containerd.PullAsync(client, reference, PullTimeout));
        Assert.Empty(await containerd.FindWrongContentAsync(image.All, client));
    }

    internal override string Tail() => $"{base.Tail()}\n{site.Tail()}";
}
