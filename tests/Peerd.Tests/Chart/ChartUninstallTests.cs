using System.Text;
using k8s.Models;

namespace Peerd.Tests.Chart;

/// <summary>What is put into the settings of a node is taken out again, by the very commands of the pods, with no more rights than they have.</summary>
[Collection(nameof(OneAfterTheOther))]
public sealed class ChartUninstallTests : IDisposable
{
    // As people leave it: comments, odd spacing, other settings and no line break at the end.
    private const string Overlaybd = "{\n\t\"logConfig\": { \"logLevel\": 1 }, // ours\n  \"p2pConfig\": {\"enable\":false,   \"address\": \"localhost:19145/dadip2p\"},\n  \"exporterConfig\": {}\n}";

    private const string Mirror = "# ours\nserver = \"https://registry-1.docker.io\"\n\n[host.\"https://mirror.example\"]\n  capabilities = [ \"pull\" ] # only\n";

    private readonly NodeFolders _node = new();

    public void Dispose() => _node.Dispose();

    [Theory]
    [InlineData("peerd.overlaybd.configure=true", "http://localhost:30000/blobs")]
    [InlineData("peerd.overlaybd.configure=true,peerd.ports.facade=31000", "http://localhost:31000/blobs")]
    public async Task Overlaybd_ConfiguredAndCleanedUp_IsByteIdentical(string set, string address)
    {
        _node.Write("/etc/overlaybd/overlaybd.json", Overlaybd);

        await AssertByteIdenticalAsync("configure-overlaybd", set, $"\"{address}\"");
    }

    [Theory]
    [InlineData("")]
    [InlineData(Mirror)]
    public async Task Containerd_ConfiguredAndCleanedUp_IsByteIdentical(string mirror)
    {
        _node.Write("/etc/containerd/certs.d/registry.example/hosts.toml", "server = \"https://registry.example\"\n");
        if (mirror.Length > 0)
        {
            _node.Write("/etc/containerd/certs.d/docker.io/hosts.toml", mirror);
        }

        await AssertByteIdenticalAsync("configure-containerd", "peerd.configureMirrors=true", ":30000");
    }

    // An upgrade leaves no mirror behind for a registry that the nodes do not know any more.
    [Theory]
    [InlineData("""peerd={"hosts":["reg.test:5000/","https://GHCR.io/"]}""", """peerd={"hosts":["http://quay.io"]}""", "quay.io/hosts.toml|server = \"http://quay.io\"")]
    [InlineData("""peerd={"hosts":["quay.io"]}""", """peerd={"settings":{"Origin":{"Registries":[{"Name":"docker.io","Endpoint":"https://proxy.test:5000/hub"}]}}}""", "docker.io/hosts.toml|server = \"https://proxy.test:5000\"")]
    public async Task Containerd_OtherRegistriesAfterAnUpgrade_OnlyThoseAreLedToTheFacade(string first, string second, string expected)
    {
        _node.Write("/etc/containerd/certs.d/theirs.test/hosts.toml", "server = \"https://theirs.test\"\n");
        var before = _node.Snapshot();
        var installed = await Manifests.OfAsync("--set-json", first);
        var upgraded = await Manifests.OfAsync("--set-json", second);

        await RunAsync(installed, installed.Node, "configure-containerd");
        Assert.NotEqual(before, _node.Snapshot());
        await RunAsync(upgraded, upgraded.Node, "configure-containerd");

        var file = Assert.Single(_node.Snapshot().Except(before), file => file.Bytes.Length > 0);
        Assert.Contains(expected.Split('|')[0], file.Path, StringComparison.Ordinal);
        Assert.Contains(expected.Split('|')[1], TextOf(file.Bytes), StringComparison.Ordinal);
        await RunAsync(installed, installed.Node, "configure-containerd");
        await RunAsync(installed, installed.Get<V1DaemonSet>("peerd-uninstall"), "configure-containerd");
        Assert.Equal(before, _node.Snapshot());
    }

    [Fact]
    public async Task Overlaybd_NotOnTheNode_IsRefusedAndNothingIsLeft()
    {
        _node.Write("/etc/overlaybd/other.json", "{}");
        var before = _node.Snapshot();
        var manifests = await Manifests.OfAsync("--set", "peerd.overlaybd.configure=true");

        var run = await _node.RunAsync(manifests, manifests.Node, "configure-overlaybd");

        Assert.Equal(1, run.ExitCode);
        Assert.Contains("/etc/overlaybd/overlaybd.json does not exist: is overlaybd installed here?", run.Error, StringComparison.Ordinal);
        Assert.Equal(before, _node.Snapshot());
    }

    [Fact]
    public async Task Hook_Default_RunsOnTheNodesOfTheMeshBeforeAnythingIsDeleted()
    {
        var manifests = await Manifests.OfAsync("--set", "peerd.overlaybd.configure=true,peerd.nodeSelector.pool=images");
        var hook = manifests.Get<V1DaemonSet>("peerd-uninstall");
        var (pod, node) = (hook.Spec.Template.Spec, manifests.Node.Spec.Template.Spec);

        Assert.Equal(["configure-containerd", "configure-overlaybd"], pod.InitContainers.Select(container => container.Name));
        Assert.All(pod.InitContainers, container => Assert.Contains("--remove", container.Args));
        Assert.All(node.InitContainers, container => Assert.DoesNotContain("--remove", container.Args));
        Assert.Equal(
            node.InitContainers.Select(container => (container.Name, string.Join(' ', container.VolumeMounts.Where(mount => mount.Name != "settings").Select(mount => mount.MountPath)))),
            pod.InitContainers.Select(container => (container.Name, string.Join(' ', container.VolumeMounts.Select(mount => mount.MountPath)))));
        Assert.Equal(k8s.KubernetesYaml.Serialize(node.Tolerations), k8s.KubernetesYaml.Serialize(pod.Tolerations));
        Assert.Equal(k8s.KubernetesYaml.Serialize(node.Affinity), k8s.KubernetesYaml.Serialize(pod.Affinity));
        Assert.Equal(node.NodeSelector, pod.NodeSelector);
        Assert.Contains("pool", pod.NodeSelector.Keys);
        Assert.False(pod.AutomountServiceAccountToken);
    }

    // Helm takes them in the order of their weights and waits for the Job only.
    [Fact]
    public async Task Hook_Default_WaitsForAllNodes()
    {
        var manifests = await Manifests.OfAsync();
        var hooks = manifests.All.Where(item => item.Metadata.Annotations?.ContainsKey("helm.sh/hook") == true).ToList();

        Assert.All(hooks, hook => Assert.Equal("pre-delete", hook.Metadata.Annotations["helm.sh/hook"]));
        Assert.All(hooks, hook => Assert.Equal("before-hook-creation,hook-succeeded", hook.Metadata.Annotations["helm.sh/hook-delete-policy"]));
        Assert.Equal(
            ["-1 DaemonSet", "-2 Role", "-2 RoleBinding", "-2 ServiceAccount", "0 Job"],
            hooks.Select(hook => $"{hook.Metadata.Annotations["helm.sh/hook-weight"]} {hook.Kind}").Order(StringComparer.Ordinal));
        var job = manifests.Get<V1Job>("peerd-uninstall");
        var waiter = Assert.Single(job.Spec.Template.Spec.Containers);
        Assert.Equal(["--namespace=peerd-ns", "rollout", "status", "daemonset/peerd-uninstall", "--timeout=240s"], waiter.Args);
        Assert.Equal((0, "Never"), (job.Spec.BackoffLimit, job.Spec.Template.Spec.RestartPolicy));
    }

    // What kubectl asks for is known to kubectl only.
    [Fact]
    public async Task Hook_Job_EndsWhenAllNodesAreDoneAndAsksForWhatItsRoleAllows()
    {
        var manifests = await Manifests.OfAsync();
        await using var cluster = await FakeCluster.StartAsync();
        cluster.AddDaemonSet(await StateAsync(done: 1), await StateAsync(done: 2));
        var waiter = Assert.Single(manifests.Get<V1Job>("peerd-uninstall").Spec.Template.Spec.Containers);
        var cache = Directory.CreateTempSubdirectory("peerd-kubectl-");

        var run = await ChartTool.KubectlAsync(string.Empty, [.. waiter.Args, "--kubeconfig", cluster.Kubeconfig, "--cache-dir", cache.FullName]);
        cache.Delete(recursive: true);

        Assert.True(run.ExitCode == 0, run.Error);
        Assert.Equal(
            ["Waiting for daemon set \"peerd-uninstall\" rollout to finish: 1 of 2 updated pods are available...", "daemon set \"peerd-uninstall\" successfully rolled out"],
            run.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        var rule = Assert.Single(manifests.Get<V1Role>("peerd-uninstall").Rules);
        var asked = cluster.Asked.Where(request => !IsDiscovery(request.AbsolutePath)).ToList();
        Assert.NotEmpty(asked);
        Assert.All(asked, request => Assert.True(IsAllowed(request, rule), $"{request} is not allowed"));
    }

    [Theory]
    [InlineData("peerd.uninstall.cleanup=false")]
    [InlineData("peerd.configureMirrors=false")]
    public async Task Hook_NothingToDo_IsNotThere(string set) =>
        Assert.DoesNotContain("helm.sh/hook", await ChartTool.TemplateAsync("--set", set), StringComparison.Ordinal);

    /// <summary>The DaemonSet of the clean-up on two nodes, as an API server has it.</summary>
    private static async Task<V1DaemonSet> StateAsync(int done)
    {
        var set = (await Manifests.OfAsync()).Get<V1DaemonSet>("peerd-uninstall");
        set.Metadata.Generation = 1;
        set.Spec.UpdateStrategy = new V1DaemonSetUpdateStrategy { Type = "RollingUpdate" };
        set.Status = new V1DaemonSetStatus
        {
            ObservedGeneration = 1,
            DesiredNumberScheduled = 2,
            CurrentNumberScheduled = 2,
            UpdatedNumberScheduled = 2,
            NumberAvailable = done,
            NumberReady = done,
        };
        return set;
    }

    // What everybody may read who has logged in (system:discovery).
    private static bool IsDiscovery(string path) => path is "/version" or "/api" or "/api/v1" or "/apis" || (path.StartsWith("/apis/", StringComparison.Ordinal) && path.Count(c => c == '/') == 3) || path.StartsWith("/openapi/", StringComparison.Ordinal);

    // As the API server sees it: the name of a list or a watch is that of its field selector.
    private static bool IsAllowed(Uri request, V1PolicyRule rule)
    {
        var path = request.AbsolutePath.Split('/');
        if (path is not ["", "apis", var group, "v1", "namespaces", "peerd-ns", var resource, ..])
        {
            return false;
        }

        var query = System.Web.HttpUtility.ParseQueryString(request.Query);
        var (verb, name) = path.Length == 8 ? ("get", path[7]) : (query["watch"] is "true" or "1" ? "watch" : "list", query["fieldSelector"]?.Split('=') is ["metadata.name", var named] ? named : string.Empty);
        return rule.Verbs.Contains(verb) && rule.ApiGroups.Contains(group) && rule.Resources.Contains(resource) && rule.ResourceNames.Contains(name);
    }

    /// <summary>Each way to take out what the DaemonSet put in, and each of them twice.</summary>
    private async Task AssertByteIdenticalAsync(string container, string set, string written)
    {
        var installed = await Manifests.OfAsync("--set", set);
        var cleanup = await Manifests.OfAsync("--set", $"{set},peerd.cleanup=true");
        var before = _node.Snapshot();
        foreach (var remove in new[] { installed.Get<V1DaemonSet>("peerd-uninstall"), cleanup.Node, cleanup.Get<V1DaemonSet>("peerd-uninstall") })
        {
            await RunAsync(installed, installed.Node, container);
            var configured = _node.Snapshot();
            await RunAsync(installed, installed.Node, container);

            Assert.Contains(configured, file => TextOf(file.Bytes).Contains(written, StringComparison.Ordinal));
            Assert.Equal(configured, _node.Snapshot());

            await RunAsync(cleanup, remove, container);
            Assert.Equal(before, _node.Snapshot());
            await RunAsync(cleanup, remove, container);
            Assert.Equal(before, _node.Snapshot());
        }
    }

    private async Task RunAsync(Manifests manifests, V1DaemonSet set, string container)
    {
        var run = await _node.RunAsync(manifests, set, container);

        Assert.Equal((0, string.Empty), (run.ExitCode, run.Error));
    }

    private static string TextOf(string bytes) => Encoding.UTF8.GetString(Convert.FromHexString(bytes));
}
