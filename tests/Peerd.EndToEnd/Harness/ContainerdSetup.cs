namespace Peerd.EndToEnd.Harness;

/// <summary>Which containerd to start, and what is on in it.</summary>
/// <param name="Version">One of those that <c>scripts/install-test-tools.sh</c> puts into <c>.tools</c>.</param>
/// <param name="HasCri">Kubelet's interface is served, too.</param>
/// <param name="ChunkSize">Bytes of a layer that are fetched with one request, several of them at a time; 0: a layer is one request. From 2.1 on.</param>
/// <param name="IsHidden">No other process sees its files.</param>
/// <param name="DiscardsLayers">Layers are deleted when they are unpacked. With kubelet's interface.</param>
internal sealed record ContainerdSetup(string Version, bool HasCri = false, int ChunkSize = 0, bool IsHidden = false, bool DiscardsLayers = false)
{
    /// <summary>The snapshotter that this machine can use.</summary>
    public static readonly string Snapshotter = File.ReadAllText("/proc/filesystems").Contains("overlay", StringComparison.Ordinal) ? "overlayfs" : "native";

    /// <summary>The oldest version, without kubelet's interface.</summary>
    public static ContainerdSetup Default { get; } = new("1.6");

    /// <summary>Path of the daemon.</summary>
    public string Daemon => Path.Combine(Folder, "containerd");

    /// <summary>Path of its client.</summary>
    public string Client => Path.Combine(Folder, "ctr");

    private string Folder => Path.Combine(Repository.Root, ".tools", "containerd-" + Version);

    private bool IsSecond => Version.StartsWith("2.", StringComparison.Ordinal);

    /// <summary>The configuration file.</summary>
    /// <param name="folder">For all that the daemon writes.</param>
    /// <param name="socket">Where it listens.</param>
    /// <param name="hosts">Folder of the registries' hosts.toml files, for kubelet's interface.</param>
    public string Configuration(string folder, string socket, string hosts) => $"""
        version = {(IsSecond ? 3 : 2)}
        root = "{folder}/root"
        state = "{folder}/state"
        disabled_plugins = [
          "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
          "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing",
          "io.containerd.tracing.processor.v1.otlp", {(HasCri ? string.Empty : Cri)}
        ]
        [grpc]
        address = "{socket}"
        [debug]
        level = "warn"
        {Plugins(folder, hosts)}
        """;

    private string Cri => IsSecond
        ? "\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\", \"io.containerd.nri.v1.nri\""
        : "\"io.containerd.grpc.v1.cri\"";

    private string Plugins(string folder, string hosts) => (HasCri, IsSecond) switch
    {
        (true, true) => $"""
            [plugins."io.containerd.cri.v1.images"]
            snapshotter = "{Snapshotter}"
            discard_unpacked_layers = {(DiscardsLayers ? "true" : "false")}
            [plugins."io.containerd.cri.v1.images".registry]
            config_path = "{hosts}"
            [plugins."io.containerd.cri.v1.runtime".cni]
            bin_dirs = ["{folder}/cni"]
            conf_dir = "{folder}/cni"
            [plugins."io.containerd.nri.v1.nri"]
            disable = true
            [plugins."io.containerd.transfer.v1.local"]
            concurrent_layer_fetch_buffer = {ChunkSize}
            """,
        (true, false) => $"""
            [plugins."io.containerd.grpc.v1.cri".containerd]
            snapshotter = "{Snapshotter}"
            discard_unpacked_layers = {(DiscardsLayers ? "true" : "false")}
            [plugins."io.containerd.grpc.v1.cri".cni]
            bin_dir = "{folder}/cni"
            conf_dir = "{folder}/cni"
            [plugins."io.containerd.grpc.v1.cri".registry]
            config_path = "{hosts}"
            """,
        (false, true) => $"""
            [plugins."io.containerd.transfer.v1.local"]
            concurrent_layer_fetch_buffer = {ChunkSize}
            """,
        (false, false) => string.Empty,
    };
}
