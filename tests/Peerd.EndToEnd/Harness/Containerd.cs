using Peerd.Contracts;

namespace Peerd.EndToEnd.Harness;

/// <summary>A real containerd daemon with its own store, and <c>ctr</c> as its client.</summary>
internal sealed class Containerd
{
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(20);
    private static readonly string Snapshotter = File.ReadAllText("/proc/filesystems").Contains("overlay", StringComparison.Ordinal) ? "overlayfs" : "native";

    private readonly Lab _lab;
    private readonly string _folder;
    private readonly string _socket;
    private readonly string _name;

    private Containerd(Lab lab, string name, string folder)
    {
        _lab = lab;
        _name = name;
        _folder = folder;
        _socket = Path.Combine(folder, "c.sock");
    }

    private string HostsFolder => Path.Combine(_folder, "certs.d");

    private string BlobsFolder => Path.Combine(_folder, "root/io.containerd.content.v1.content/blobs/sha256");

    /// <summary>Starts a daemon with an empty store.</summary>
    public static async Task<Containerd> StartAsync(Lab lab, string name)
    {
        var containerd = new Containerd(lab, name, lab.CreateFolder(name));
        var config = Path.Combine(containerd._folder, "config.toml");
        await File.WriteAllTextAsync(config, $"""
            version = 2
            root = "{containerd._folder}/root"
            state = "{containerd._folder}/state"
            disabled_plugins = [
              "io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
              "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt",
              "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
            ]
            [grpc]
            address = "{containerd._socket}"
            [debug]
            level = "warn"
            """);
        var process = await lab.StartAsync(name, "/usr/bin/containerd", ["--config", config]);
        await Wait.UntilAsync($"{name} answers", process, containerd.AnswersAsync, StartTimeout);
        return containerd;
    }

    /// <summary>Reads images of this registry through a mirror and nowhere else.</summary>
    /// <param name="registry">Host and port as in image references.</param>
    /// <param name="mirror">Where requests go.</param>
    public async Task UseMirrorAsync(string registry, Uri mirror)
    {
        var folder = System.IO.Directory.CreateDirectory(Path.Combine(HostsFolder, registry)).FullName;
        var url = mirror.GetLeftPart(UriPartial.Authority);
        await File.WriteAllTextAsync(Path.Combine(folder, "hosts.toml"), $"""
            server = "{url}"
            [host."{url}"]
            capabilities = ["pull", "resolve"]
            """);
    }

    /// <summary>Pulls and unpacks an image.</summary>
    /// <returns>The process of <c>ctr</c>; wait for its end.</returns>
    public Task<RunningProcess> StartPullAsync(string reference) =>
        StartCtrAsync("pull", "images", "pull", "--hosts-dir", HostsFolder, "--snapshotter", Snapshotter, reference);

    /// <summary>Pulls and unpacks an image and demands success.</summary>
    public async Task PullAsync(string reference, TimeSpan timeout) =>
        await DemandAsync(await StartPullAsync(reference), timeout);

    /// <summary>Digests of all contents in the store, as containerd lists them.</summary>
    public async Task<IReadOnlyList<Digest>> ListContentAsync()
    {
        var process = await StartCtrAsync("list", "content", "list", "--quiet");
        await DemandAsync(process, TimeSpan.FromSeconds(20));
        return [.. process.Output.Where(line => line.Length > 0).Select(Digest.Parse)];
    }

    /// <summary>Contents whose bytes on disk have another digest than their name says; null when there is no such content.</summary>
    public async Task<IReadOnlyList<string>> FindWrongContentAsync(IEnumerable<TestImage.Part> expected)
    {
        var wrong = new List<string>();
        var listed = await ListContentAsync();
        foreach (var part in expected)
        {
            var file = Path.Combine(BlobsFolder, part.Digest.Hex);
            if (!listed.Contains(part.Digest) || !File.Exists(file))
            {
                wrong.Add($"{_name}: {part.Digest} is missing");
                continue;
            }

            await using var stream = File.OpenRead(file);
            using var hash = part.Digest.CreateHash();
            var actual = Digest.FromHash(hash.AlgorithmName, await System.Security.Cryptography.SHA256.HashDataAsync(stream));
            if (actual != part.Digest)
            {
                wrong.Add($"{_name}: {part.Digest} has the bytes of {actual}");
            }
        }

        return wrong;
    }

    private async Task<bool> AnswersAsync()
    {
        if (!File.Exists(_socket))
        {
            return false;
        }

        var process = await StartCtrAsync("version", "version");
        return await process.WaitForExitAsync(TimeSpan.FromSeconds(20)) == 0;
    }

    private Task<RunningProcess> StartCtrAsync(string what, params string[] arguments) =>
        _lab.StartAsync($"ctr {what} of {_name}", "/usr/bin/ctr", ["--address", _socket, .. arguments]);

    private static async Task DemandAsync(RunningProcess process, TimeSpan timeout)
    {
        if (await process.WaitForExitAsync(timeout) != 0)
        {
            throw new InvalidOperationException($"{process.Name} failed.\n{process.Tail()}");
        }
    }
}
