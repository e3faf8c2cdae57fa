using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>
/// A node of this build and one for another kind of processor, which <c>PEERD_OTHER_PROGRAM</c> names, are a mesh: <c>./test.sh
/// arm64</c> runs this with the program for arm64.
/// </summary>
public sealed class MixedMeshTests : LabTest
{
    private const string Repository = "team/app";
    private const int MiB = 1 << 20;

    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(10);

    [Theory(Explicit = true)]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Pull_ThroughOneThenRegistryGone_OtherHasEveryByteFromIt(bool otherIsFirst)
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 61, 21 * MiB, 6 * MiB, 300_000);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, Repository, "v1");
        var nodes = PeerdNode.CreateMany(Lab, 2);
        var other = nodes[otherIsFirst ? 0 : 1];
        other.Program = Harness.Repository.OtherPeerd ?? throw new InvalidOperationException("PEERD_OTHER_PROGRAM names no program");
        await PeerdNode.StartAllAsync(nodes, nodes, registry.Upstream);

        // What runs is asked, for the program may be a script that starts an emulator.
        Assert.All(nodes, node => Assert.Equal(node == other, MachineCode.OfProcess(node.Process.Id).Any(machine => machine != MachineCode.Own)));
        var containerds = await Task.WhenAll(nodes.Select(node => Containerd.StartAsync(Lab, "c" + node.Name)));
        foreach (var (containerd, node) in containerds.Zip(nodes))
        {
            await containerd.UseMirrorAsync(registry.Name, node.Facade);
        }

        await containerds[0].PullAsync($"{registry.Name}/{Repository}:v1", PullTimeout);
        await registry.StopAsync();
        await containerds[1].PullAsync($"{registry.Name}/{Repository}@{image.Index.Digest}", PullTimeout);

        Assert.Empty(await containerds[0].FindWrongContentAsync(image.All));
        Assert.Empty(await containerds[1].FindWrongContentAsync(image.All));
        var served = await NodeMetrics.ReadAsync(nodes[1], host: null, TestContext.Current.CancellationToken);
        // Of small contents it has a copy of its own before anybody asks for them.
        Assert.InRange(served.Sum("peerd_served_bytes_total", "source=\"peer\""), image.Layers.Where(layer => layer.Size > MiB).Sum(layer => layer.Size), image.Size);
        foreach (var node in nodes)
        {
            Assert.Equal(0, await node.Process.StopAsync(StopLimit));
        }
    }
}
