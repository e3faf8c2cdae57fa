using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>
/// A node sends containerd away that pulls from a registry with passwords, and so does a node that is not there: containerd, configured
/// as people do it, goes to the registry itself.
/// </summary>
public sealed class PasswordRegistryTests : LabTest
{
    [Theory]
    [InlineData("1.6")]
    [InlineData("1.7")]
    [InlineData("2.1")]
    public async Task Pull_NodeKnowsNothingThenIsGone_ComesFromTheRegistryItself(string version)
    {
        var registry = await PasswordRegistry.StartAsync(Lab, FreePorts.Take());
        var node = PeerdNode.Create(Lab, "n1");
        await PeerdNode.StartAllAsync([node], [node], registry.Registry.Upstream);
        var containerd = await Containerd.StartAsync(Lab, "c1", new ContainerdSetup(version, HasCri: true));
        await PeerdCommand.RunJsonAsync(
            Lab, "configure", "containerd", "--json", "--certs-dir", containerd.HostsFolder, "--mirror", node.Facade.GetLeftPart(UriPartial.Authority), "--registry", $"http://{registry.Registry.Name}");

        await PullAsync(containerd, registry);
        var metrics = await NodeMetrics.ReadAsync(node, host: null, TestContext.Current.CancellationToken);
        Assert.InRange(metrics.Sum("peerd_facade_requests_total", "code=\"404\""), 1, long.MaxValue);
        Assert.Equal(0, metrics.Sum("peerd_facade_requests_total", "code=\"200\""));

        await containerd.RemoveAsync(ImageClient.Cri, registry.Reference);
        await node.Process.KillAsync();
        await PullAsync(containerd, registry);
    }

    private static async Task PullAsync(Containerd containerd, PasswordRegistry registry)
    {
        var before = registry.Registry.BytesSoFar;
        PullAssert.Succeeded(await containerd.PullAsync(ImageClient.Cri, registry.Reference, PullTimeout, PasswordRegistry.Login));

        Assert.Empty(await containerd.FindWrongContentAsync(registry.Image.All, ImageClient.Cri));
        Assert.InRange(registry.Registry.BytesSoFar - before, registry.Image.Layers.Sum(layer => layer.Size), long.MaxValue);
    }
}
