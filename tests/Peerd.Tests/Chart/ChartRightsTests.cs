using k8s.Models;

namespace Peerd.Tests.Chart;

/// <summary>What the pods may do, on the node and in the cluster. What is more than nothing is explained in docs/kubernetes.md.</summary>
[Collection(nameof(OneAfterTheOther))]
public sealed class ChartRightsTests
{
    private const string All = "peerd.overlaybd.configure=true,peerd.credentialsSecret=registries,peerd.metrics.prometheus.aksAutoDiscovery=true,peerd.networkPolicy.enabled=true";

    [Fact]
    public async Task Containers_All_HaveNoRightsBeyondTheirUser()
    {
        var manifests = await Manifests.OfAsync("--set", All);

        Assert.All(manifests.Pods.SelectMany(Manifests.ContainersOf), container =>
        {
            var context = container.SecurityContext;
            Assert.False(context.Privileged);
            Assert.False(context.AllowPrivilegeEscalation);
            Assert.True(context.ReadOnlyRootFilesystem);
            Assert.Equal(["ALL"], context.Capabilities.Drop);
            Assert.Null(context.Capabilities.Add);
            Assert.Equal("RuntimeDefault", context.SeccompProfile.Type);
            Assert.NotNull(container.Resources.Requests);
            Assert.True(container.Resources.Limits.ContainsKey("memory"));
        });

        // Those that use folders of the node are root, without its capabilities.
        Assert.Equal(
            ["configure-containerd", "configure-containerd", "configure-overlaybd", "configure-overlaybd", "peerd"],
            manifests.Pods.SelectMany(Manifests.ContainersOf).Where(container => container.SecurityContext.RunAsUser == 0).Select(container => container.Name).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Pods_All_ShareOnlyTheNetworkWithTheNode()
    {
        var manifests = await Manifests.OfAsync("--set", All);

        Assert.True(manifests.Node.Spec.Template.Spec.HostNetwork);
        Assert.Single(manifests.Pods, pod => pod.HostNetwork == true);
        Assert.All(manifests.Pods, pod => Assert.Equal((null, null), (pod.HostPID, pod.HostIPC)));
    }

    [Fact]
    public async Task Server_Mounts_OfTheNodeAreWritableForTheCacheOnly()
    {
        var manifests = await Manifests.OfAsync("--set", All);

        Assert.Equal(
            ["/etc/peerd ro", "/etc/peerd-credentials ro", "/run/containerd ro", "/run/peerd rw", "/var/lib/containerd/io.containerd.content.v1.content ro", "/var/lib/peerd rw", "/var/run/secrets/kubernetes.io/serviceaccount ro"],
            manifests.Server.VolumeMounts.Select(mount => $"{mount.MountPath} {(mount.ReadOnlyProperty == true ? "ro" : "rw")}").Order(StringComparer.Ordinal));
        Assert.Null(manifests.Node.Spec.Template.Spec.Volumes.Single(volume => volume.Name == "run").HostPath);
    }

    // Where client libraries look for it, and only for what asks the cluster.
    [Fact]
    public async Task Account_Token_IsGivenToWhoAsksTheApiServer()
    {
        var manifests = await Manifests.OfAsync("--set", All);
        var pod = manifests.Node.Spec.Template.Spec;
        var sources = pod.Volumes.Single(volume => volume.Name == "account").Projected.Sources;

        Assert.Equal(["false peerd", "false ", " peerd-uninstall"], manifests.Pods.Select(each => $"{(each.AutomountServiceAccountToken is { } mounts ? mounts ? "true" : "false" : string.Empty)} {each.ServiceAccountName}"));
        Assert.Equal("peerd", Assert.Single(Manifests.ContainersOf(pod), container => container.VolumeMounts.Any(mount => mount.Name == "account")).Name);
        Assert.Equal("/var/run/secrets/kubernetes.io/serviceaccount", manifests.Server.VolumeMounts.Single(mount => mount.Name == "account").MountPath);
        Assert.Equal(
            ["token", "ca.crt", "namespace"],
            sources.Select(source => source.ServiceAccountToken?.Path ?? source.ConfigMap?.Items.Single().Path ?? source.DownwardAPI.Items.Single().Path));
        Assert.Equal(("kube-root-ca.crt", "ca.crt", "metadata.namespace"), (sources[1].ConfigMap.Name, sources[1].ConfigMap.Items[0].Key, sources[2].DownwardAPI.Items[0].FieldRef.FieldPath));

        // The API server gives none that lasts less than 10 minutes, and the kubelet renews it in time.
        Assert.True(sources[0].ServiceAccountToken.ExpirationSeconds >= 600);
    }

    [Fact]
    public async Task Configurers_Mounts_AreTheirOwnFolderAndTheSettings()
    {
        var manifests = await Manifests.OfAsync("--set", All);

        Assert.Equal(
            ["configure-containerd /etc/containerd/certs.d rw", "configure-containerd /etc/peerd ro", "configure-overlaybd /etc/overlaybd rw"],
            manifests.Pods.SelectMany(pod => pod.InitContainers ?? []).SelectMany(container => container.VolumeMounts, (container, mount) => $"{container.Name} {mount.MountPath} {(mount.ReadOnlyProperty == true ? "ro" : "rw")}").Distinct().Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task HostPaths_NothingSwitchedOn_AreTheCacheOnly()
    {
        var manifests = await Manifests.OfAsync("--set", "peerd.configureMirrors=false,peerd.containerd.mount=false");

        Assert.Equal(["/var/lib/peerd"], manifests.Pods.SelectMany(pod => pod.Volumes ?? []).Where(volume => volume.HostPath is not null).Select(volume => volume.HostPath.Path));
        Assert.DoesNotContain("peerd-uninstall", manifests.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Roles_All_AllowReadingNodesAndTheCleanUpItself()
    {
        var manifests = await Manifests.OfAsync("--set", All);
        var rules = manifests.All.OfType<V1ClusterRole>().SelectMany(role => role.Rules).Concat(manifests.All.OfType<V1Role>().SelectMany(role => role.Rules));

        Assert.Equal(
            [" events create,patch", " nodes list,watch", "apps daemonsets/peerd-uninstall get,list,watch"],
            rules.Select(rule => $"{string.Join(',', rule.ApiGroups)} {string.Join(',', rule.Resources)}{string.Concat((rule.ResourceNames ?? []).Select(name => "/" + name))} {string.Join(',', rule.Verbs)}").Order(StringComparer.Ordinal));
        Assert.Equal("peerd", Assert.Single(manifests.All.OfType<V1ClusterRoleBinding>()).RoleRef.Name);
        Assert.Equal(["peerd", "peerd-uninstall"], manifests.All.OfType<V1RoleBinding>().Select(binding => binding.RoleRef.Name).Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("peerd.logLevel=info")]
    [InlineData("peerd.ports.facade=31000")]
    public async Task Facade_AnyPort_IsOnTheNodesOwnLoopback(string set)
    {
        var manifests = await Manifests.OfAsync("--set", set);
        var port = set.EndsWith("31000", StringComparison.Ordinal) ? 31000 : 30000;

        Assert.Equal($"127.0.0.1:{port}", manifests.Settings["Peerd:Facade:Listen"]);
    }

    [Fact]
    public async Task NetworkPolicy_Enabled_LeavesTheFacadeOut()
    {
        var manifests = await Manifests.OfAsync("--set", All);
        var policy = Assert.Single(manifests.All.OfType<V1NetworkPolicy>());

        Assert.Equal(["30001", "30004"], Assert.Single(policy.Spec.Ingress).Ports.Select(port => port.Port.Value));
        Assert.Equal("peerd", policy.Spec.PodSelector.MatchLabels["app"]);
    }

    // On the network of the node a port that is declared is one of the node, and the second pod is not scheduled.
    [Fact]
    public async Task Upgrade_SecondPodOnTheNode_IsAllowedAndAwaited()
    {
        var manifests = await Manifests.OfAsync("--set", "peerd.maxSurge=2");
        var rolling = manifests.Node.Spec.UpdateStrategy.RollingUpdate;
        var pod = manifests.Node.Spec.Template.Spec;

        Assert.Equal(("2", "0"), (rolling.MaxSurge.Value, rolling.MaxUnavailable.Value));
        Assert.All(Manifests.ContainersOf(pod), container => Assert.Empty(container.Ports ?? []));
        Assert.True(manifests.Node.Spec.MinReadySeconds > 0);
        Assert.True(pod.TerminationGracePeriodSeconds > Peerd.Node.Hosting.Handover.SuccessorTimeout.TotalSeconds + 25 + 3, "as long as a new process may take, the drain time, and 3 s");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Events_Value_DecidesOnTheRightAndThePod(bool enabled)
    {
        var manifests = await Manifests.OfAsync("--set", $"peerd.events.enabled={(enabled ? "true" : "false")}");
        var names = manifests.Server.Env.Where(variable => variable.Name.StartsWith("Peerd__Events__", StringComparison.Ordinal)).Select(variable => $"{variable.Name} {variable.ValueFrom.FieldRef.FieldPath}");

        Assert.Equal(enabled ? ["Peerd__Events__Pod metadata.name", "Peerd__Events__Namespace metadata.namespace", "Peerd__Events__Uid metadata.uid"] : [], names);
        Assert.Equal(enabled, manifests.All.OfType<V1Role>().Any(role => role.Rules.Any(rule => rule.Resources.Contains("events"))));
    }
}
