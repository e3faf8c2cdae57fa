using k8s.Models;
using Peerd.Tests.Cli;

namespace Peerd.Tests.Chart;

/// <summary>What is put into the settings of a node is taken out again: the very commands of the pods, on files.</summary>
public sealed class ChartUninstallTests : IDisposable
{
    // As people leave it: comments, odd spacing, other settings and no line break at the end.
    private const string Overlaybd = "{\n\t\"logConfig\": { \"logLevel\": 1 }, // ours\n  \"p2pConfig\": {\"enable\":false,   \"address\": \"localhost:19145/dadip2p\"},\n  \"exporterConfig\": {}\n}";

    private readonly DirectoryInfo _folder = System.IO.Directory.CreateTempSubdirectory("peerd-chart-test-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Theory]
    [InlineData("peerd.overlaybd.configure=true", "http://localhost:30000/blobs")]
    [InlineData("peerd.overlaybd.configure=true,peerd.ports.facade=31000", "http://localhost:31000/blobs")]
    public async Task Overlaybd_InstalledAndUninstalled_IsByteIdentical(string set, string address)
    {
        var manifests = await Manifests.OfAsync("--set", set);
        var cleanup = await Manifests.OfAsync("--set", $"{set},peerd.cleanup=true");
        var file = Path.Combine(_folder.FullName, "overlaybd.json");
        await File.WriteAllTextAsync(file, Overlaybd);

        foreach (var remove in new[] { manifests.Get<V1DaemonSet>("peerd-uninstall"), cleanup.Node, cleanup.Get<V1DaemonSet>("peerd-uninstall") })
        {
            await RunAsync(manifests.Node, "configure-overlaybd", "--file", file);
            Assert.Contains($"\"{address}\"", await File.ReadAllTextAsync(file), StringComparison.Ordinal);

            await RunAsync(remove, "configure-overlaybd", "--file", file);
            await RunAsync(remove, "configure-overlaybd", "--file", file);

            Assert.Equal(Overlaybd, await File.ReadAllTextAsync(file));
            Assert.Equal([file], _folder.GetFiles().Select(left => left.FullName));
        }
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
            node.InitContainers.Select(container => (container.Name, string.Join(' ', container.VolumeMounts.Select(mount => mount.MountPath)))),
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

    [Theory]
    [InlineData("peerd.uninstall.cleanup=false")]
    [InlineData("peerd.configureMirrors=false")]
    public async Task Hook_NothingToDo_IsNotThere(string set) =>
        Assert.DoesNotContain("helm.sh/hook", await ChartTool.TemplateAsync("--set", set), StringComparison.Ordinal);

    /// <summary>Runs the command line of a container of a DaemonSet, on files of ours.</summary>
    private static async Task RunAsync(V1DaemonSet set, string container, params string[] paths)
    {
        var command = Assert.Single(set.Spec.Template.Spec.InitContainers, item => item.Name == container);
        Assert.Null(command.Command);

        var run = await CommandRun.OfAsync([.. command.Args, .. paths]);

        Assert.Equal((0, string.Empty), (run.ExitCode, run.Error));
    }
}
