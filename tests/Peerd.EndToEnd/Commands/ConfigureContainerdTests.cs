using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Commands;

/// <summary>Real containerds are led to a node by the command, judged by doctor, and left as they were.</summary>
public sealed class ConfigureContainerdTests : LabTest
{
    private const string Repository = "team/app";

    [Theory]
    [InlineData("1.6")]
    [InlineData("1.7")]
    [InlineData("2.1")]
    public async Task Configure_RealContainerd_PullsThroughTheNodeAndDoctorAgrees(string version)
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 31, 300_000, 200_000);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, Repository, "v1");
        var node = PeerdNode.Create(Lab, "n1");
        await PeerdNode.StartAllAsync([node], [node], registry.Upstream);
        var containerd = await Containerd.StartAsync(Lab, "c1", new ContainerdSetup(version, HasCri: true));
        var facade = node.Facade.GetLeftPart(UriPartial.Authority);
        string[] configure = ["configure", "containerd", "--json", "--certs-dir", containerd.HostsFolder];

        await PeerdCommand.RunJsonAsync(Lab, [.. configure, "--mirror", facade, "--registry", $"http://{registry.Name}"]);
        Assert.Null(await containerd.PullAsync(ImageClient.Cri, $"{registry.Name}/{Repository}:v1", PullTimeout));

        // Were it not led to the node, the registry would have seen containerd itself.
        Assert.Empty(await containerd.FindWrongContentAsync(image.All, ImageClient.Cri));
        Assert.True((await NodeMetrics.ReadAsync(node, host: null, TestContext.Current.CancellationToken)).Sum("peerd_facade_requests_total", "code=\"200\"") > 0);
        var (program, file) = containerd.Settings;
        var report = await PeerdCommand.RunJsonAsync(
            Lab, "doctor", "--json", "--check", "containerd", "--containerd", program, "--containerd-file", file, "--certs-dir", containerd.HostsFolder, "--facade", facade);
        Assert.True((int)report["errors"]! == 0 && (int)report["warnings"]! == 0, report.ToJsonString());

        await PeerdCommand.RunJsonAsync(Lab, [.. configure, "--remove"]);
        Assert.Empty(Directory.GetFileSystemEntries(containerd.HostsFolder));
    }
}
