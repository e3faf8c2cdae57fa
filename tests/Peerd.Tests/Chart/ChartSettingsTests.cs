using System.Text.Json.Nodes;
using k8s;
using k8s.Models;
using Microsoft.Extensions.Configuration;

namespace Peerd.Tests.Chart;

/// <summary>What becomes of values in the settings of the node, and in what scrapes it.</summary>
[Collection(nameof(OneAfterTheOther))]
public sealed class ChartSettingsTests
{
    [Fact]
    public async Task Settings_Default_AreThoseOfANodeInACluster()
    {
        var manifests = await Manifests.OfAsync();

        Assert.Equal(
            [
                "Peerd:Cache:Capacity=20GiB", "Peerd:Cache:Directory=/var/lib/peerd", "Peerd:Events:Namespace=n1", "Peerd:Events:Pod=n1", "Peerd:Events:Uid=n1", "Peerd:Facade:Listen=127.0.0.1:30000",
                "Peerd:Handover:DrainTime=25s", "Peerd:Handover:Enabled=True", "Peerd:Log:Level=Information",
                "Peerd:Membership:Selector=kubernetes.io/os=linux,type!=virtual-kubelet", "Peerd:Membership:Source=kubernetes", "Peerd:Membership:StateFile=/var/lib/peerd/members.json", "Peerd:Mesh:Listen=[::]:30001",
                "Peerd:Metrics:Listen=[::]:30004", "Peerd:Node:Name=n1",
            ],
            ValuesOf(manifests));
        Assert.Equal("spec.nodeName", manifests.Server.Env[0].ValueFrom.FieldRef.FieldPath);
        Assert.Equal(["serve", "--config", "/etc/peerd/settings.json", "--Peerd:Handover:ProbeSocket=/run/peerd/probe"], manifests.Server.Args);
        Assert.Contains(manifests.Server.VolumeMounts, mount => mount is { Name: "settings", MountPath: "/etc/peerd" });
    }

    [Fact]
    public async Task Settings_Hosts_AreTheRegistries()
    {
        var manifests = await Manifests.OfAsync("--set-json", """peerd.hosts=["https://mcr.microsoft.com/","GHCR.io","http://registry.internal:5000"]""");

        Assert.Equal(
            [
                "Peerd:Origin:Registries:0:Name=mcr.microsoft.com", "Peerd:Origin:Registries:1:Name=ghcr.io",
                "Peerd:Origin:Registries:2:Endpoint=http://registry.internal:5000", "Peerd:Origin:Registries:2:Name=registry.internal:5000",
            ],
            ValuesOf(manifests).Where(value => value.StartsWith("Peerd:Origin", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("info", "Information")]
    [InlineData("warn", "Warning")]
    [InlineData("fatal", "Critical")]
    [InlineData("Trace", "Trace")]
    public async Task Settings_LogLevel_IsTakenInBothForms(string value, string expected) =>
        Assert.Equal(expected, (await Manifests.OfAsync("--set", $"peerd.logLevel={value}")).Settings["Peerd:Log:Level"]);

    [Fact]
    public async Task Settings_Others_AreAddedToThoseOfTheChart()
    {
        var manifests = await Manifests.OfAsync("--set-json", """peerd.settings={"Cache":{"Memory":"128MiB"},"Blobs":{"Hosts":[".example.org"],"MoreHosts":["https://a.example.net"]},"Origin":{"Auth":"static"}}""", "--set", "peerd.credentialsSecret=registries");

        Assert.Equal(("128MiB", "20GiB", ".example.org", "static"), (manifests.Settings["Peerd:Cache:Memory"], manifests.Settings["Peerd:Cache:Capacity"], manifests.Settings["Peerd:Blobs:Hosts:0"], manifests.Settings["Peerd:Origin:Auth"]));
        Assert.Equal("https://a.example.net", manifests.Settings["Peerd:Blobs:MoreHosts:0"]);
        Assert.Equal("/etc/peerd-credentials/config.json", manifests.Settings["Peerd:Origin:CredentialsFile"]);
    }

    // Who is a member and has no pod owns contents, and nobody answers for them.
    [Theory]
    [InlineData("""{"nodeSelector":{"pool":"images","gpu":""}}""", "gpu=,kubernetes.io/os=linux,pool=images,type!=virtual-kubelet")]
    [InlineData("""{"nodeSelector":{"kubernetes.io/os":"windows"}}""", "kubernetes.io/os=linux,type!=virtual-kubelet")]
    [InlineData("""{"nodeSelector":{"pool":"images"},"settings":{"Membership":{"Selector":"pool in (images,builds)"}}}""", "pool in (images,builds)")]
    [InlineData("""{"nodeSelector":{"pool":"images"},"settings":{"Membership":{"Selector":""}}}""", "")]
    [InlineData("""{"nodeSelector":{"pool":"images"},"settings":{"Membership":{"Resync":"1h"}}}""", "kubernetes.io/os=linux,pool=images,type!=virtual-kubelet")]
    public async Task Settings_NodeSelector_IsTheSelectorOfMembers(string values, string expected)
    {
        var manifests = await Manifests.OfAsync("--set-json", $"peerd={values}");

        Assert.Equal(expected, manifests.Settings["Peerd:Membership:Selector"]);
        Assert.Equal(("kubernetes", "linux"), (manifests.Settings["Peerd:Membership:Source"], manifests.Node.Spec.Template.Spec.NodeSelector["kubernetes.io/os"]));
    }

    // Without it are values that an upgrade with --reuse-values has kept from a chart that did not know it.
    [Theory]
    [InlineData("[::]", "[::]")]
    [InlineData("0.0.0.0", "0.0.0.0")]
    [InlineData(null, "[::]")]
    public async Task Settings_Listen_IsWhereMeshAndMetricsListen(string? listen, string expected)
    {
        var manifests = listen is null ? await Manifests.OfAsync("--set", "peerd.listen=null") : await Manifests.OfAsync("--set-string", $"peerd.listen={listen}");

        Assert.Equal(
            ($"{expected}:30001", $"{expected}:30004", "127.0.0.1:30000"),
            (manifests.Settings["Peerd:Mesh:Listen"], manifests.Settings["Peerd:Metrics:Listen"], manifests.Settings["Peerd:Facade:Listen"]));
        Assert.Contains(manifests.Server.Env, variable => variable.Name == "Peerd__Mesh__Listen" && variable.Value == $"{expected}:30001");
    }

    // kubectl exec gives a command the variables of the container; elsewhere it has the file of --config.
    [Theory]
    [InlineData("none", false)]
    [InlineData("generated", true)]
    public async Task Ports_Others_AreKnownToCommandsInThePod(string mode, bool hasCertificates)
    {
        var manifests = await Manifests.OfAsync("--set", $"peerd.ports.facade=31000,peerd.ports.mesh=31001,peerd.mesh.tls.mode={mode}");
        var variables = manifests.Server.Env.Where(variable => variable.Value is not null).ToDictionary(variable => variable.Name, variable => variable.Value);
        var settings = JsonNode.Parse(manifests.SettingsJson)!["Peerd"]!;

        Assert.Equal(("127.0.0.1:31000", "[::]:31001"), (variables["Peerd__Facade__Listen"], variables["Peerd__Mesh__Listen"]));
        Assert.Equal(("127.0.0.1:31000", "[::]:31001"), (settings["Facade"]!["Listen"]!.GetValue<string>(), settings["Mesh"]!["Listen"]!.GetValue<string>()));
        Assert.Equal(hasCertificates, variables.ContainsKey("Peerd__Mesh__Tls__Certificate"));
    }

    // Settings are read at the start only, so pods must be replaced.
    [Fact]
    public async Task Pods_OtherSettings_AreReplaced()
    {
        var templates = new List<string>();
        foreach (var set in new[] { "peerd.cache.capacity=20GiB", "peerd.cache.capacity=30GiB", "peerd.uninstall.timeoutSeconds=10" })
        {
            templates.Add(KubernetesYaml.Serialize((await Manifests.OfAsync("--set", set)).Node.Spec.Template));
        }

        Assert.NotEqual(templates[0], templates[1]);
        Assert.Equal(templates[0], templates[2]);
    }

    // A pod of before an upgrade that starts again while the upgrade runs, or does not go on, must not find what is meant for the new ones.
    [Theory]
    [InlineData("peerd.cache.capacity=30GiB")]
    [InlineData("peerd.overlaybd.configure=true,peerd.credentialsSecret=registries,peerd.mesh.tls.mode=generated,peerd.metrics.prometheus.aksAutoDiscovery=true")]
    public async Task Pods_Settings_AreTheirOwnAndNotInWhatUpgradesChange(string set)
    {
        var manifests = await Manifests.OfAsync("--set", set);

        Assert.All(manifests.Pods, pod =>
        {
            Assert.DoesNotContain(pod.Volumes ?? [], volume => volume.ConfigMap is not null);
            Assert.All(Manifests.ContainersOf(pod), container =>
            {
                Assert.Null(container.EnvFrom);
                Assert.DoesNotContain(container.Env ?? [], variable => variable.ValueFrom?.ConfigMapKeyRef is not null);
            });
        });

        // What people look at is the same.
        var map = manifests.Get<V1ConfigMap>("peerd");
        Assert.Equal(manifests.SettingsJson, map.Data["settings.json"]);
        Assert.Contains("helm upgrade", map.Metadata.Annotations["peerd/note"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Settings_MoreThanAPodCanCarry_AreRefused()
    {
        var values = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(values, $"peerd: {{hosts: [{string.Join(',', Enumerable.Range(0, 4000).Select(i => $"host-{i}.example.org"))}]}}", TestContext.Current.CancellationToken);
            Assert.Contains("a pod carries at most", (await Assert.ThrowsAsync<InvalidOperationException>(() => Manifests.OfAsync("--values", values))).Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(values);
        }
    }

    [Fact]
    public async Task PodMonitor_Enabled_FindsThePods()
    {
        var manifests = await Manifests.OfAsync("--set", "peerd.metrics.prometheus.podMonitor.enabled=true,peerd.metrics.prometheus.podMonitor.labels.release=mine");
        var monitor = manifests.Get<PodMonitor>("peerd");
        var endpoint = Assert.Single(monitor.Spec.PodMetricsEndpoints);

        Assert.Equal(manifests.Node.Spec.Selector.MatchLabels, monitor.Spec.Selector.MatchLabels);
        Assert.Equal(("/metrics/prometheus", "15s"), (endpoint.Path, endpoint.Interval));
        Assert.Equal(
            ["keep __meta_kubernetes_pod_container_name peerd", "__address__ __meta_kubernetes_pod_ip $1:30004", "__address__ __meta_kubernetes_pod_ip [$1]:30004", "node __meta_kubernetes_pod_node_name "],
            endpoint.Relabelings.Select(rule => $"{rule.Action ?? rule.TargetLabel} {Assert.Single(rule.SourceLabels)} {rule.Replacement ?? rule.Regex}"));
        Assert.Equal(("peerd", 1), (manifests.Server.Name, manifests.Node.Spec.Template.Spec.Containers.Count));
        Assert.Equal("mine", monitor.Metadata.Labels["release"]);
    }

    private static IEnumerable<string> ValuesOf(Manifests manifests) =>
        manifests.Settings.AsEnumerable().Where(pair => pair.Value is not null).Select(pair => $"{pair.Key}={pair.Value}").Order(StringComparer.Ordinal);
}
