using System.Text.Json.Nodes;
using k8s;
using k8s.Models;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Lifecycle;

/// <summary>
/// The container of the chart's pod that serves: the program of this run, started by runc as the default render says, with its user,
/// capabilities, seccomp profile, root file system and mounts, on the network of this machine. Needs root. Dispose it to end it.
/// </summary>
internal sealed class ChartContainer : IAsyncDisposable
{
    /// <summary>Where the render has the cache.</summary>
    public const string CacheFolder = "/var/lib/peerd";

    private const string Runc = "/usr/sbin/runc";

    // What RuntimeDefault means is compiled into containerd; this is the profile from which podman and buildah take it, nearly the same.
    private const string RuntimeDefault = "/usr/share/containers/seccomp.json";
    private const string Architecture = "amd64";

    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(60);

    private readonly Lab _lab;
    private readonly string _id;

    private ChartContainer(Lab lab, string id, RunningProcess process)
    {
        _lab = lab;
        _id = id;
        Process = process;
    }

    /// <summary>The pods' DaemonSet, as the chart renders it by default; a unit test holds that it does.</summary>
    public static V1DaemonSet DaemonSet => Assert.Single(
        KubernetesYaml.LoadAllFromString(File.ReadAllText(Path.Combine(Repository.Root, "tests/Peerd.Tests/Chart/golden/default.yaml"))).OfType<V1DaemonSet>(), set => set.Metadata.Name == "peerd");

    /// <summary>What the nodes are configured with by default.</summary>
    public static JsonObject Settings => JsonNode.Parse(DaemonSet.Spec.Template.Metadata.Annotations["peerd/settings"])!["Peerd"]!.AsObject();

    private static V1Container Server => Assert.Single(DaemonSet.Spec.Template.Spec.Containers);

    /// <summary>runc, which hands signals on to the program and ends with it, with its code.</summary>
    public RunningProcess Process { get; }

    /// <summary>Starts the program for a node, whose configuration is written before.</summary>
    /// <param name="lab">Owns its files and its process.</param>
    /// <param name="node">Has its ports, its configuration and its cache.</param>
    /// <param name="name">Tells it from others of the lab.</param>
    public static async Task<ChartContainer> StartAsync(Lab lab, PeerdNode node, string name)
    {
        var bundle = lab.CreateFolder($"bundle-{name}");
        Assert.Equal(0, (await lab.RunAsync("runc spec", Runc, ["spec", "--bundle", bundle], Timeout)).ExitCode);
        var file = Path.Combine(bundle, "config.json");
        var spec = JsonNode.Parse(await File.ReadAllTextAsync(file))!.AsObject();
        Describe(spec, lab, node, bundle);
        await File.WriteAllTextAsync(file, spec.ToJsonString());
        var id = $"{Path.GetFileName(lab.Folder)}-{name}";
        return new ChartContainer(lab, id, await lab.StartAsync(name, Runc, ["--root", RootOf(lab), "run", "--bundle", bundle, id]));
    }

    /// <summary>Id of the program on this machine.</summary>
    public async Task<int> IdAsync()
    {
        var state = await _lab.RunAsync("runc state", Runc, ["--root", RootOf(_lab), "state", _id], Timeout);
        return JsonNode.Parse(string.Concat(state.Output))!["pid"]!.GetValue<int>();
    }

    /// <summary>Runs a command of the program in the container, as <c>kubectl exec</c> and probes do.</summary>
    public Task<RunningProcess> ExecuteAsync(params string[] arguments) =>
        _lab.RunAsync("runc exec", Runc, ["--root", RootOf(_lab), "exec", _id, .. Program, .. arguments], Timeout);

    /// <summary>What the kubelet asks until it says yes.</summary>
    public Task<bool> HasStartedAsync() => AskAsync(Server.StartupProbe);

    /// <summary>What the kubelet asks from then on, and ends it when the answer is no for a while.</summary>
    public Task<bool> IsLiveAsync() => AskAsync(Server.LivenessProbe);

    /// <summary>What the kubelet asks from then on; while the answer is no, an upgrade does not count on the pod.</summary>
    public Task<bool> IsReadyAsync() => AskAsync(Server.ReadinessProbe);

    /// <summary>Sends the program a signal, such as <c>STOP</c>.</summary>
    public async Task SignalAsync(string signal) =>
        Assert.Equal(0, (await _lab.RunAsync("kill", "/bin/sh", ["-c", $"kill -s {signal} {await IdAsync()}"], Timeout)).ExitCode);

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        // A container outlives runc if that is killed.
        await _lab.RunAsync("runc delete", Runc, ["--root", RootOf(_lab), "delete", "--force", _id], Timeout);
        await Process.WaitForExitAsync(Timeout);
    }

    private async Task<bool> AskAsync(V1Probe probe) => (await ExecuteAsync([.. probe.Exec.Command.Skip(1)])).ExitCode == 0;

    private static string RootOf(Lab lab) => Path.Combine(lab.Folder, "runc");

    // The image's entry point is the program; a build for developers needs the runtime that runs this test.
    private static string[] Program => Repository.Peerd is ["dotnet", .. var rest] ? [Environment.ProcessPath!, .. rest] : Repository.Peerd;

    private static void Describe(JsonObject spec, Lab lab, PeerdNode node, string bundle)
    {
        var (pod, rights) = (DaemonSet.Spec.Template.Spec, Server.SecurityContext);
        Assert.True(pod.HostNetwork);
        Assert.False(rights.Privileged);
        Assert.Equal(["ALL"], rights.Capabilities.Drop);
        Assert.Null(rights.Capabilities.Add);
        Assert.Equal("RuntimeDefault", rights.SeccompProfile.Type);

        var process = spec["process"]!;
        process["terminal"] = false;
        process["user"] = new JsonObject { ["uid"] = rights.RunAsUser, ["gid"] = rights.RunAsGroup };
        process["noNewPrivileges"] = rights.AllowPrivilegeEscalation == false;
        process["capabilities"] = new JsonObject();
        process["rlimits"] = new JsonArray();
        process["args"] = new JsonArray([.. Program.Concat(Server.Args).Select(argument => JsonValue.Create(argument))]);
        process["env"] = new JsonArray($"Peerd__Node__Name={node.Name}", $"Peerd__Facade__Listen={node.Facade.Authority}", $"Peerd__Mesh__Listen={node.Mesh.Authority}");
        spec["root"] = new JsonObject { ["path"] = RootFileSystem(bundle), ["readonly"] = rights.ReadOnlyRootFilesystem };
        spec["linux"]!["seccomp"] = Seccomp();
        var namespaces = spec["linux"]!["namespaces"]!.AsArray();
        namespaces.Remove(namespaces.Single(item => (string?)item!["type"] == "network"));

        var mounts = spec["mounts"]!.AsArray();
        foreach (var folder in new[] { "/usr", "/etc/ssl", Path.GetDirectoryName(Environment.ProcessPath!)!, Repository.Root }.Where(folder => folder == "/usr" || !folder.StartsWith("/usr/", StringComparison.Ordinal)))
        {
            // Instead of the files of the image.
            mounts.Add(Bind(folder, folder, isReadOnly: true));
        }

        foreach (var mount in Server.VolumeMounts)
        {
            var isReadOnly = mount.ReadOnlyProperty == true;
            switch (mount.Name)
            {
                case "settings":
                    var settings = lab.CreateFolder($"{Path.GetFileName(bundle)}-settings");
                    File.Copy(node.ConfigurationFile, Path.Combine(settings, "settings.json"));
                    mounts.Add(Bind(settings, mount.MountPath, isReadOnly));
                    break;
                case "cache":
                    Directory.CreateDirectory(node.CacheFolder);
                    mounts.Add(Bind(node.CacheFolder, mount.MountPath, isReadOnly));
                    break;
                case "run":
                    mounts.Add(new JsonObject { ["destination"] = mount.MountPath, ["type"] = "tmpfs", ["source"] = "tmpfs", ["options"] = new JsonArray("size=1m", isReadOnly ? "ro" : "rw") });
                    break;
                case "account":
                    // Nor is there a cluster.
                    break;
                default:
                    // There is no containerd.
                    Assert.StartsWith("containerd", mount.Name, StringComparison.Ordinal);
                    break;
            }
        }
    }

    // As the machine's own: its programs and libraries are below /usr.
    private static string RootFileSystem(string bundle)
    {
        var root = Directory.CreateDirectory(Path.Combine(bundle, "rootfs")).FullName;
        foreach (var link in new[] { "bin", "sbin", "lib", "lib64" }.Where(name => new DirectoryInfo($"/{name}").LinkTarget is not null))
        {
            File.CreateSymbolicLink(Path.Combine(root, link), new DirectoryInfo($"/{link}").LinkTarget!);
        }

        return root;
    }

    private static JsonObject Bind(string source, string destination, bool isReadOnly) =>
        new() { ["destination"] = destination, ["type"] = "bind", ["source"] = source, ["options"] = new JsonArray("rbind", isReadOnly ? "ro" : "rw") };

    // The profile says what it allows to whom; runc is told what it allows to who has no capability.
    private static JsonObject Seccomp()
    {
        var profile = JsonNode.Parse(File.ReadAllText(RuntimeDefault))!;
        var calls = new JsonArray();
        foreach (var call in profile["syscalls"]!.AsArray().Where(IsForAll))
        {
            var rule = new JsonObject { ["names"] = call!["names"]!.DeepClone(), ["action"] = call["action"]!.DeepClone() };
            if (call["args"] is JsonArray { Count: > 0 } arguments)
            {
                rule["args"] = arguments.DeepClone();
            }

            if (call["errnoRet"] is { } error)
            {
                rule["errnoRet"] = error.DeepClone();
            }

            calls.Add(rule);
        }

        return new JsonObject
        {
            ["defaultAction"] = profile["defaultAction"]!.DeepClone(),
            ["defaultErrnoRet"] = profile["defaultErrnoRet"]!.DeepClone(),
            ["architectures"] = new JsonArray("SCMP_ARCH_X86_64"),
            ["syscalls"] = calls,
        };

        static bool IsForAll(JsonNode? call) =>
            call!["includes"]?["caps"] is null && (call["includes"]?["arches"] is not JsonArray arches || arches.Any(architecture => (string?)architecture == Architecture));
    }
}
