using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>Real containerds pull a real image from a real registry, each through its own node.</summary>
public sealed class ContainerdPullTests : LabTest
{
    private const string Repository = "team/app";
    private const int MiB = 1 << 20;

    /// <summary>Blobs of this size or more must be read about once; below it a race costs nothing worth having.</summary>
    private const long LargeBlob = 8 * MiB;

    [Fact]
    public async Task Pull_FourNodesAtOnceThenRegistryGone_EachByteIsReadOnceAndFifthNodeStillPulls()
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 11, 48 * MiB, 40 * MiB, 24 * MiB, 300_000);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, Repository, "v1");
        var nodes = PeerdNode.CreateMany(Lab, 5);
        await PeerdNode.StartAllAsync(nodes, nodes, registry.Upstream);
        var containerds = await StartContainerdsAsync(nodes, registry);
        var reference = $"{registry.Name}/{Repository}";

        await Task.WhenAll(containerds.Take(4).Select(containerd => containerd.PullAsync($"{reference}:v1", PullTimeout)));

        foreach (var containerd in containerds.Take(4))
        {
            Assert.Empty(await containerd.FindWrongContentAsync(image.All));
        }

        var read = registry.ReadSoFar();
        Assert.All(image.Blobs.Where(blob => blob.Size >= LargeBlob), blob =>
            Assert.InRange((double)read[blob.Digest].Bytes / blob.Size, 1.0, 1.05));

        await registry.StopAsync();
        await containerds[4].PullAsync($"{reference}@{image.Index.Digest}", PullTimeout);

        Assert.Empty(await containerds[4].FindWrongContentAsync(image.All));
    }

    [Fact]
    public async Task Pull_NodeKilledInTheMiddle_OtherPullsFinish()
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 12, 48 * MiB, 40 * MiB, 24 * MiB);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, Repository, "v1");
        await using var link = new SlowLink(registry.Endpoint, 40 * MiB);
        var nodes = PeerdNode.CreateMany(Lab, 4);
        await PeerdNode.StartAllAsync(nodes, nodes, registry.Behind(link));
        var containerds = await StartContainerdsAsync(nodes, registry);

        var pulls = await Task.WhenAll(containerds.Select(containerd => containerd.StartPullAsync($"{registry.Name}/{Repository}:v1")));
        await Wait.UntilAsync("a third of the image has left the registry", null, () => Task.FromResult(link.Delivered > image.All.Sum(part => part.Size) / 3), PullTimeout);
        Assert.All(pulls, pull => Assert.False(pull.HasExited));
        await nodes[3].Process.KillAsync();

        foreach (var pull in pulls.Take(3))
        {
            Assert.True(await pull.WaitForExitAsync(PullTimeout) == 0, pull.Tail());
        }

        foreach (var containerd in containerds.Take(3))
        {
            Assert.Empty(await containerd.FindWrongContentAsync(image.All));
        }
    }

    private async Task<Containerd[]> StartContainerdsAsync(IReadOnlyList<PeerdNode> nodes, DockerRegistry registry)
    {
        var containerds = await Task.WhenAll(nodes.Select(node => Containerd.StartAsync(Lab, "c" + node.Name)));
        foreach (var (containerd, node) in containerds.Zip(nodes))
        {
            await containerd.UseMirrorAsync(registry.Name, node.Facade);
        }

        return containerds;
    }
}
