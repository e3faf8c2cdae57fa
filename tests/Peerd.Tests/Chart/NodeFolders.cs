using k8s.Models;

namespace Peerd.Tests.Chart;

/// <summary>
/// The folders of a pretended node, and init containers that run on it: with the program of this build, the mounts of the
/// container, a read-only root file system and no capability.
/// </summary>
internal sealed class NodeFolders : IDisposable
{
    // Arguments: a folder for the overlay, folder of the node, where the container sees it, the settings of the pod, the
    // command.
    private const string Script = """
        mount -t tmpfs none "$1" && mkdir "$1/upper" "$1/work"
        mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" /etc
        mkdir -p "$3" && mount --bind "$2" "$3"
        mkdir -p /etc/peerd && cp "$4" /etc/peerd/settings.json
        mount -o remount,bind,ro / && mount -o remount,ro /etc
        shift 4
        exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs env DOTNET_EnableDiagnostics=0 "$@"
        """;

    private readonly DirectoryInfo _folder = System.IO.Directory.CreateTempSubdirectory("peerd-node-test-");

    private string Root => Path.Combine(_folder.FullName, "node");

    /// <summary>Writes a file of the node.</summary>
    public void Write(string path, string text)
    {
        System.IO.Directory.CreateDirectory(Path.GetDirectoryName(Root + path)!);
        File.WriteAllText(Root + path, text);
    }

    /// <summary>All files of the node, byte by byte, and folders, which have none.</summary>
    public IReadOnlyList<(string Path, string Bytes)> Snapshot() =>
    [
        .. new DirectoryInfo(Root).EnumerateFileSystemInfos("*", SearchOption.AllDirectories)
            .Select(item => ($"{item.FullName[Root.Length..]} {item.UnixFileMode}", item is FileInfo ? Convert.ToHexString(File.ReadAllBytes(item.FullName)) : string.Empty))
            .OrderBy(item => item.Item1, StringComparer.Ordinal),
    ];

    /// <summary>Runs an init container, which may see one folder of the node below <c>/etc</c>, and the settings.</summary>
    public async Task<ChartTool> RunAsync(Manifests manifests, V1DaemonSet set, string name)
    {
        var pod = set.Spec.Template.Spec;
        var container = Assert.Single(pod.InitContainers, item => item.Name == name);
        var mount = Assert.Single(container.VolumeMounts, item => item.Name != "settings");
        var volume = Assert.Single(pod.Volumes, item => item.Name == mount.Name);
        var settings = Path.Combine(_folder.FullName, "settings.json");
        await File.WriteAllTextAsync(settings, container.VolumeMounts.Any(item => item is { Name: "settings", MountPath: "/etc/peerd" }) ? manifests.SettingsJson : "not mounted");
        Assert.StartsWith("/etc/", mount.MountPath, StringComparison.Ordinal);
        Assert.Null(container.Command);

        var overlay = _folder.CreateSubdirectory("overlay").FullName;
        return await ChartTool.SystemAsync(
            "unshare",
            ["--mount", "--propagation", "private", "bash", "-ec", Script, "container", overlay, Root + volume.HostPath.Path, mount.MountPath, settings, "dotnet", Path.Combine(AppContext.BaseDirectory, "peerd.dll"), .. container.Args]);
    }

    public void Dispose() => _folder.Delete(recursive: true);
}
