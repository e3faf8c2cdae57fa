using k8s.Models;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Peerd.Node.Hosting;

namespace Peerd.Tests.Chart;

[Collection(nameof(OneAfterTheOther))]
public sealed class ChartTests(ChartTests.Renders renders) : IClassFixture<ChartTests.Renders>
{
    private static readonly string[] Flags =
        ["peerd.configureMirrors", "peerd.overlaybd.configure", "peerd.cleanup", "peerd.uninstall.cleanup", "peerd.containerd.mount"];

    private static readonly string[] Others =
    [
        "peerd.image.ref=registry.test/peerd:1,peerd.image.pullPolicy=Always,peerd.image.pullSecrets[0].name=pull",
        "peerd.logLevel=debug,peerd.credentialsSecret=registries,peerd.settings.Origin.Auth=static,peerd.settings.Log.Format=json",
        "peerd.hosts[0]=https://mcr.microsoft.com,peerd.hosts[1]=http://registry.internal:5000/,peerd.hosts[2]=GHCR.io",
        "peerd.metrics.prometheus.aksAutoDiscovery=true,peerd.metrics.prometheus.podMonitor.enabled=true,peerd.metrics.prometheus.podMonitor.labels.release=prometheus",
        "peerd.metrics.prometheus.rules.enabled=true,peerd.metrics.prometheus.rules.labels.release=prometheus,peerd.metrics.grafanaDashboard.enabled=true",
        "peerd.networkPolicy.enabled=true,peerd.maxSurge=1,peerd.priorityClassName=mine,peerd.nodeSelector.pool=images",
        "peerd.ports.facade=31000,peerd.ports.mesh=31001,peerd.ports.metrics=31004,peerd.overlaybd.configure=true",
        "peerd.cache.folder=/mnt/peerd,peerd.cache.capacity=1.5TiB,peerd.settings.Cache.Memory=128MiB,peerd.settings.Mesh.Uploads=32",
        "peerd.mesh.tls.mode=generated,peerd.settings.Mesh.Tls.Reload=30s",
        "peerd.mesh.tls.mode=certManager,peerd.mesh.tls.issuer.name=ca,peerd.mesh.tls.issuer.kind=ClusterIssuer",
        "peerd.mesh.tls.mode=secret,peerd.mesh.tls.secret=mine,peerd.credentialsSecret=registries",
        "peerd.mesh.tls.mode=nodeFolder,peerd.mesh.tls.domain=images.example.org",
        "peerd.tolerations=null,peerd.affinity=null,peerd.resources=null,peerd.settings=null,peerd.hosts=null,peerd.nodeSelector=null",
        "peerd.resources.requests.ephemeral-storage=1Gi,peerd.resources.limits.cpu=1.5,peerd.resources.limits.hugepages-2Mi=64Mi,peerd.tolerations[0].key=gpu,peerd.tolerations[0].operator=Equal,peerd.tolerations[0].value=yes,peerd.tolerations[0].effect=NoSchedule",
        "peerd.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1,peerd.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchFields[0].key=metadata.name,peerd.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchFields[0].operator=In,peerd.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchFields[0].values[0]=n1",
        "peerd.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey=zone,peerd.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector.matchLabels.app=a",
        @"peerd.nodeSelector.kubernetes\.io/os=linux,peerd.nodeSelector.pool=images",
        "peerd.containerd.runFolder=/run/k3s/containerd,peerd.containerd.contentFolder=/c,peerd.containerd.certsFolder=/d",
    ];

    /// <summary>The options of all flags with each other.</summary>
    private static IEnumerable<string[]> Combinations =>
        Enumerable.Range(0, 1 << Flags.Length)
            .Select(bits => new[] { "--set", string.Join(',', Flags.Select((flag, i) => $"{flag}={((bits >> i & 1) == 1 ? "true" : "false")}")) });

    // Helm makes no namespace unless it is told to.
    [Fact]
    public void Documents_HelmInstall_HasItsNamespaceMade()
    {
        var root = LayoutTests.RepositoryRoot();
        var installs = new List<string>();
        foreach (var document in Directory.GetFiles(Path.Combine(root, "docs"), "*.md").Append(Path.Combine(root, "README.md")))
        {
            var hasNamespace = false;
            foreach (var written in File.ReadLines(document))
            {
                var line = written.TrimStart(' ', '\t', '>', '$');
                hasNamespace = line.StartsWith("kubectl create namespace peerd-ns", StringComparison.Ordinal) || (hasNamespace && line != "```");
                if (line.StartsWith("helm install ", StringComparison.Ordinal))
                {
                    installs.Add(line);
                    Assert.True(hasNamespace || line.Contains(" --create-namespace ", StringComparison.Ordinal), $"{Path.GetFileName(document)}: {line}");
                }
            }
        }

        Assert.True(installs.Count >= 4);
    }

    [Fact]
    public async Task Lint_Strict_FindsNothing()
    {
        foreach (var options in Others.Select(set => new[] { "--set", set }).Prepend([]))
        {
            var run = await ChartTool.HelmAsync(["lint", ChartTool.Chart, "--strict", .. options]);

            Assert.True(run.ExitCode == 0, run.Output + run.Error);
        }
    }

    [Fact]
    public async Task Template_Default_IsTheGoldenFile() =>
        RenewedFile.AssertHolds(await ChartTool.TemplateAsync(), "tests", "Peerd.Tests", "Chart", "golden", "default.yaml");

    [Fact]
    public async Task Template_AnyValues_RendersWhatFitsTogether()
    {
        foreach (var manifests in renders.All.Concat(await RenderAsync(Combinations)))
        {
            Assert.Distinct(manifests.All.Select(item => (item.Kind, item.Metadata.NamespaceProperty, item.Metadata.Name)));
            Assert.All(manifests.Pods, pod =>
            {
                var mounted = Manifests.ContainersOf(pod).SelectMany(container => container.VolumeMounts ?? []).Select(mount => mount.Name).Distinct().Order(StringComparer.Ordinal);
                Assert.Equal(mounted, (pod.Volumes ?? []).Select(volume => volume.Name).Order(StringComparer.Ordinal));
            });
            Assert.Equal("app=peerd", string.Join(',', manifests.Node.Spec.Selector.MatchLabels.Select(label => $"{label.Key}={label.Value}")));
            Assert.Equal("peerd", manifests.Node.Spec.Template.Metadata.Labels["app"]);
            Assert.Single(manifests.All.OfType<V1DaemonSet>(), set => set.Spec.Template.Metadata.Labels["app"] == "peerd");
        }
    }

    // Keys that mean nothing, and values that the node would refuse at its start.
    [Fact]
    public async Task Template_AnyValues_MakesSettingsThatANodeTakes()
    {
        var folder = System.IO.Directory.CreateTempSubdirectory("peerd-chart-test-");
        try
        {
            foreach (var manifests in renders.All)
            {
                ConfigurationKeys.Check(manifests.Settings);
                var file = Path.Combine(folder.FullName, "settings.json");
                await File.WriteAllTextAsync(file, manifests.SettingsJson);

                // All but what is of the node and its cluster.
                await using var node = NodeHost.Create(
                    ["--Peerd:Node:Name=n1", "--Peerd:Membership:Source=static", $"--Peerd:Cache:Directory={folder.FullName}/cache", "--Peerd:Log:Level=Warning"], new FileInfo(file));
                node.Services.GetRequiredService<IStartupValidator>().Validate();

                Assert.Equal("kubernetes", manifests.Settings["Peerd:Membership:Source"]);
                Assert.True(manifests.Settings["Peerd:Origin:CredentialsFile"] is not { } credentials
                    || manifests.Server.VolumeMounts.Any(mount => mount.Name == "credentials" && credentials.StartsWith(mount.MountPath + "/", StringComparison.Ordinal)));
            }
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    // kubectl's own types, which are those of the API server.
    [Fact]
    public async Task Template_AnyValues_IsReadByKubectl() => await AssertReadAsync([.. renders.All.Select(manifests => manifests.Text)]);

    // YAML takes them for numbers, and the API server takes no numbers.
    [Fact]
    public async Task Template_NamesOfDigits_IsReadByKubectl()
    {
        var texts = new List<string>();
        foreach (var options in Others.Select(set => new[] { "--set", set }).Prepend([]))
        {
            texts.Add(await ChartTool.TemplateAsync("123", "123", ChartTool.Chart, options));
            Assert.DoesNotMatch("(namespace|instance|names): *\\[?123", texts[^1]);
        }

        await AssertReadAsync(texts);
    }

    // What labels of Kubernetes may not hold, nor be as long as.
    [Theory]
    [InlineData("1.2.3-rc.1+build.5", "v4.5.6+2026.dirty", "peerd-1.2.3-rc.1_build.5", "v4.5.6_2026.dirty")]
    [InlineData("1.2.3-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.-b", "1.2.3", "peerd-1.2.3-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "1.2.3")]
    public async Task Template_OtherVersions_AreLabels(string version, string program, string expectedChart, string expectedProgram)
    {
        var folder = System.IO.Directory.CreateTempSubdirectory("peerd-chart-test-");
        try
        {
            var package = await ChartTool.HelmAsync("package", ChartTool.Chart, "--version", version, "--app-version", program, "--destination", folder.FullName);
            Assert.True(package.ExitCode == 0, package.Error);
            var text = await ChartTool.TemplateAsync("peerd", "peerd-ns", Assert.Single(folder.GetFiles()).FullName, []);

            Assert.All(
                k8s.KubernetesYaml.LoadAllFromString(text).Cast<k8s.IKubernetesObject<V1ObjectMeta>>(),
                item => Assert.Equal((expectedChart, expectedProgram), (item.Metadata.Labels["helm.sh/chart"], item.Metadata.Labels["app.kubernetes.io/version"])));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    // Folders of the node, as they are called, whatever YAML makes of such a name.
    [Theory]
    [InlineData("/a #b")]
    [InlineData("/ %y & 'c' \"d\" {e} ä")]
    public async Task Template_FoldersOfAnyName_AreMounted(string folder)
    {
        string[] values = ["peerd.cache.folder", "peerd.containerd.runFolder", "peerd.containerd.contentFolder", "peerd.containerd.certsFolder", "peerd.overlaybd.configFolder", "peerd.mesh.tls.nodeFolder"];
        var manifests = await Manifests.OfAsync(["--set", "peerd.overlaybd.configure=true,peerd.mesh.tls.mode=nodeFolder", .. values.SelectMany((value, i) => new[] { "--set-json", $"{value}={System.Text.Json.JsonSerializer.Serialize($"{folder}/{i}")}" })]);

        Assert.Equal(values.Select((_, i) => $"{folder}/{i}"), manifests.Node.Spec.Template.Spec.Volumes.Select(volume => volume.HostPath?.Path).OfType<string>().Order(StringComparer.Ordinal));
        Assert.Contains(manifests.Server.VolumeMounts, mount => mount.MountPath == $"{folder}/2");
    }

    [Fact]
    public async Task Template_WrongType_IsRefusedByBothReaders()
    {
        var text = (await ChartTool.TemplateAsync()).Split("\n---\n").First(part => part.Contains("\nkind: DaemonSet\n", StringComparison.Ordinal));
        var wrong = text.Replace("hostNetwork: true", "hostNetwork: maybe", StringComparison.Ordinal);
        var unknown = text.Replace("hostNetwork: true", "hostNetwrk: true", StringComparison.Ordinal);

        Assert.NotEqual(0, (await ChartTool.KubectlAsync(wrong, "set", "env", "--local", "-f", "-", "A=b", "-o", "name")).ExitCode);
        Assert.ThrowsAny<Exception>(() => k8s.KubernetesYaml.LoadAllFromString(wrong, strict: true));
        Assert.Contains("hostNetwrk", Assert.ThrowsAny<Exception>(() => k8s.KubernetesYaml.LoadAllFromString(unknown, strict: true)).ToString(), StringComparison.Ordinal);
    }

    private static async Task<IReadOnlyList<Manifests>> RenderAsync(IEnumerable<string[]> renders)
    {
        var all = new List<Manifests>();
        foreach (var options in renders)
        {
            all.Add(await Manifests.OfAsync(options));
        }

        return all;
    }

    /// <summary>All at once: kubectl starts slowly.</summary>
    private static async Task AssertReadAsync(IReadOnlyList<string> texts)
    {
        var workloads = texts.SelectMany(text => text.Split("\n---\n")).Where(part => part.Contains("\nkind: DaemonSet\n", StringComparison.Ordinal) || part.Contains("\nkind: Job\n", StringComparison.Ordinal)).ToList();

        Assert.Equal(3 * texts.Count, workloads.Count);
        await AssertReadAsync(string.Join("\n---\n", texts), "annotate", "--local", "-f", "-", "a=b", "-o", "name");
        await AssertReadAsync(string.Join("\n---\n", workloads), "set", "env", "--local", "-f", "-", "A=b", "-o", "name");
    }

    private static async Task AssertReadAsync(string text, params string[] arguments)
    {
        var run = await ChartTool.KubectlAsync(text, arguments);

        Assert.True(run.ExitCode == 0, run.Error);
    }

    /// <summary>The chart by default and with each of the other values, rendered once: that takes a third of a second each.</summary>
    public sealed class Renders : IAsyncLifetime
    {
        internal IReadOnlyList<Manifests> All { get; private set; } = [];

        public async ValueTask InitializeAsync() => All = await RenderAsync([[], .. Others.Select(set => new[] { "--set", set })]);

        public ValueTask DisposeAsync() => default;
    }
}
