using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>Every containerd works with no mesh between: what fails through a mesh is the mesh's fault.</summary>
[Collection(PullSiteDefinition.Name)]
public sealed class ContainerdTests(PullSite site) : LabTest
{
    public static MatrixTheoryData<string, ImageClient> Cases => new(["1.6", "1.7", "2.1"], Enum.GetValues<ImageClient>());

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task PullFromRegistryThenRemove_ContentIsRightAndNothingIsLeft(string version, ImageClient client)
    {
        var port = site.TakePort();
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: port, 100_000);
        var registry = await DockerRegistry.StartAsync(Lab, port);
        await registry.PushAsync(image, "team/app", "v1");
        var containerd = (await site.UseContainerdsAsync(new ContainerdSetup(version, HasCri: true), registry))[0];
        await containerd.UseMirrorAsync(registry.Name, registry.Endpoint);
        var reference = $"{registry.Name}/team/app:v1";

        PullAssert.Succeeded(await containerd.PullAsync(client, reference, PullTimeout));
        Assert.Empty(await containerd.FindWrongContentAsync(image.All, client));
        await containerd.RemoveAsync(client, reference);

        await Wait.UntilAsync("nothing of the image is left", containerd.Process, async () => !(await containerd.ListContentAsync(client)).Intersect(image.All.Select(part => part.Digest)).Any(), PullTimeout);
    }

    internal override string Tail() => $"{base.Tail()}\n{site.Tail()}";
}
