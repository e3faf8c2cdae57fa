using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
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

    [Theory]
    [InlineData("1.6")]
    [InlineData("1.7")]
    [InlineData("2.1")]
    public async Task Configure_FileOfOthersAndDefault_RealContainerdTakesBothAndRemoveLeavesTheBytes(string version)
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 33, 100_000);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, Repository, "v1");
        var node = PeerdNode.Create(Lab, "n1");

        // Nothing listens at these names: what is pulled comes through the node.
        var (others, unknown) = (new Upstream($"127.0.0.1:{FreePorts.Take()}", registry.Endpoint), new Upstream($"127.0.0.1:{FreePorts.Take()}", registry.Endpoint));
        await PeerdNode.StartAllAsync([node], [node], others, unknown);
        var containerd = await Containerd.StartAsync(Lab, "c1", new ContainerdSetup(version, HasCri: true));
        var file = Path.Combine(Directory.CreateDirectory(Path.Combine(containerd.HostsFolder, others.Name)).FullName, "hosts.toml");
        var before = $"# theirs\r\nserver = \"http://{others.Name}\"\r\n\r\n[host.\"http://127.0.0.1:1\"] # a cache\r\n  capabilities = [ 'pull', \"resolve\" ]\r\n";
        await File.WriteAllTextAsync(file, before, TestContext.Current.CancellationToken);
        string[] configure = ["configure", "containerd", "--json", "--certs-dir", containerd.HostsFolder];

        await PeerdCommand.RunJsonAsync(Lab, [.. configure, "--mirror", node.Facade.GetLeftPart(UriPartial.Authority), "--registry", $"http://{others.Name}", "--default"]);

        foreach (var upstream in (Upstream[])[others, unknown])
        {
            Assert.Null(await containerd.PullAsync(ImageClient.Cri, $"{upstream.Name}/{Repository}:v1", PullTimeout));
        }

        await PeerdCommand.RunJsonAsync(Lab, [.. configure, "--remove"]);
        Assert.Equal(before, await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken));
        Assert.Equal([Path.GetDirectoryName(file)!], Directory.GetFileSystemEntries(containerd.HostsFolder));
    }

    // What doctor says of a hosts.toml is what containerd does with it.
    [Theory]
    [InlineData("1.6")]
    [InlineData("1.7")]
    [InlineData("2.1")]
    public async Task Doctor_HostsOfARealContainerd_AreGoodWhenItPullsThroughThem(string version)
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 32, 100_000);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, Repository, "v1");
        var node = PeerdNode.Create(Lab, "n1");
        var facade = node.Facade.GetLeftPart(UriPartial.Authority);
        var host = $"[host.\"{facade}\"]\n";
        string[] files =
        [
            host,
            host[..^2],
            host + "capabilities = [\"pull\", \"resolve\"]\n",
            host + "capabilities = \"pull\"\n",
            host + "capabilities = [\"pull\", \"referrers\"]\n",
            host + "skip_verify = \"yes\"\n",
            host + "dial_timeout = 5\n",
            host + "dial_timeout = \"5s\"\n",
            host + "[host.\"" + facade + "\".header]\nx = 1\n",
            "server = [\"http://127.0.0.1:1\"]\n" + host,
            "ca = \"gone.crt\"\n" + host,
            "\uFEFF" + host,
            "host = 1\n",
        ];

        // Nothing listens there: who ignores a file gets nothing.
        Upstream[] named = [.. files.Select(_ => new Upstream($"127.0.0.1:{FreePorts.Take()}", registry.Endpoint))];
        await PeerdNode.StartAllAsync([node], [node], named);
        var containerd = await Containerd.StartAsync(Lab, "c1", new ContainerdSetup(version, HasCri: true));
        foreach (var (upstream, file) in named.Zip(files))
        {
            await File.WriteAllTextAsync(Path.Combine(Directory.CreateDirectory(Path.Combine(containerd.HostsFolder, upstream.Name)).FullName, "hosts.toml"), file, TestContext.Current.CancellationToken);
        }

        var (program, settings) = containerd.Settings;
        var findings = await DoctorAsync(program, settings, containerd.HostsFolder, facade);
        var pulled = new List<bool>();
        foreach (var (upstream, file) in named.Zip(files))
        {
            var error = await containerd.PullAsync(ImageClient.Cri, $"{upstream.Name}/{Repository}:v1", PullTimeout);
            var isGood = !findings.Any(finding => finding.Severity == "error" && finding.Seen.Contains(upstream.Name, StringComparison.Ordinal));
            Assert.True(isGood == error is null, $"{file}\ndoctor calls it {(isGood ? "good" : "bad")}, the pull said: {error}");
            pulled.Add(isGood);
        }

        Assert.Equal([false, true], pulled.Distinct().Order());
    }

    // What containerd itself makes of its settings is what counts: its program is asked, its files are real ones.
    [Theory]
    [InlineData("1.6", false)]
    [InlineData("1.7", false)]
    [InlineData("2.1", true)]
    public async Task Doctor_BadSettingsOfARealContainerd_EachIsFoundWithAdvice(string version, bool isOneFolderOnly)
    {
        var folder = Lab.CreateFolder("settings");
        var setup = new ContainerdSetup(version, HasCri: true, DiscardsLayers: true);
        var certs = Path.Combine(folder, "certs.d");
        foreach (var (name, text) in new[]
        {
            ("_default", "[host.\"http://127.0.0.1:1\"]\n"),
            ("quay.io", "[host.\"http://127.0.0.1:2\"]\n"),
            ("ghcr.io", "[host.\"http://127.0.0.1:1\"\n"),
            ("docker.io", "[host.\"http://127.0.0.1:9\"]\n"),
        })
        {
            await File.WriteAllTextAsync(Path.Combine(Directory.CreateDirectory(Path.Combine(certs, name)).FullName, "hosts.toml"), text, TestContext.Current.CancellationToken);
        }

        var unset = await DoctorOfAsync(string.Empty);
        Assert.Contains(unset, finding => finding.Severity == "error" && finding.Seen.Contains("config_path is not set", StringComparison.Ordinal));
        Assert.Contains(unset, finding => finding.Seen.Contains("discard_unpacked_layers is true", StringComparison.Ordinal) && finding.Advice.Contains("set it to false", StringComparison.Ordinal));
        Assert.Contains(unset, finding => finding.Severity == "error" && finding.Seen.Contains("ghcr.io", StringComparison.Ordinal) && finding.Seen.Contains("containerd ignores the whole file", StringComparison.Ordinal));
        Assert.Contains(unset, finding => finding.Severity == "warning" && finding.Seen.Contains("quay.io hides _default", StringComparison.Ordinal));
        Assert.Contains(unset, finding => finding.Severity == "error" && finding.Seen.Contains("nothing listens at http://127.0.0.1:9", StringComparison.Ordinal) && finding.Advice.Contains("start peerd", StringComparison.Ordinal));

        // Who lets layers be discarded asks for the older way, which takes several folders.
        setup = setup with { DiscardsLayers = false };
        var two = await DoctorOfAsync($"{certs}:/etc/docker/certs.d");
        Assert.Equal(isOneFolderOnly, two.Any(finding => finding.Severity == "error" && finding.Seen.Contains("take it for one folder", StringComparison.Ordinal)));
        Assert.DoesNotContain(two, finding => finding.Seen.Contains("config_path is not set", StringComparison.Ordinal));

        async Task<IReadOnlyList<(string Severity, string Seen, string Advice)>> DoctorOfAsync(string hosts)
        {
            var file = Path.Combine(folder, "config.toml");
            await File.WriteAllTextAsync(file, setup.Configuration(folder, Path.Combine(folder, "c.sock"), hosts), TestContext.Current.CancellationToken);
            return await DoctorAsync(setup.Daemon, file, certs, "http://127.0.0.1:9");
        }
    }

    private async Task<IReadOnlyList<(string Severity, string Seen, string Advice)>> DoctorAsync(string program, string file, string hosts, string facade)
    {
        var process = await PeerdCommand.RunAsync(
            Lab, "doctor", "--json", "--check", "containerd", "--containerd", program, "--containerd-file", file, "--certs-dir", hosts, "--facade", facade);
        Assert.Equal(1, process.ExitCode);
        return [.. JsonNode.Parse(process.Output.Last(line => line.Length > 0))!["findings"]!.AsArray()
            .Select(finding => ((string)finding!["severity"]!, (string)finding["seen"]!, (string?)finding["advice"] ?? string.Empty))];
    }
}
