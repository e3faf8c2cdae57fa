using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
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

        // It counts for all registries until they have a folder of their own, which then must find its certificates.
        var byDefault = Directory.CreateDirectory(Path.Combine(containerd.HostsFolder, "_default")).FullName;
        await File.WriteAllTextAsync(Path.Combine(byDefault, "hosts.toml"), "ca = \"corp.crt\"\n[host.\"http://127.0.0.1:1\"]\n", TestContext.Current.CancellationToken);
        using (var key = ECDsa.Create())
        using (var certificate = new CertificateRequest("CN=corp", key, HashAlgorithmName.SHA256).CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.MaxValue))
        {
            await File.WriteAllTextAsync(Path.Combine(byDefault, "corp.crt"), certificate.ExportCertificatePem(), TestContext.Current.CancellationToken);
        }

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
        Assert.Equal(byDefault, Assert.Single(Directory.GetFileSystemEntries(containerd.HostsFolder)));
    }
}
