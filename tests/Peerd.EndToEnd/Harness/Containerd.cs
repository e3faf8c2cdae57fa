using Peerd.Contracts;
using Peerd.EndToEnd.Harness.Cri;

namespace Peerd.EndToEnd.Harness;

/// <summary>A real containerd daemon with its own store, and its clients.</summary>
internal sealed class Containerd
{
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan ShortTimeout = TimeSpan.FromSeconds(30);

    private const string HideAndRun = "mount --bind \"$2\" \"$3\" && exec \"$0\" --config \"$1\"";

    private readonly Lab _lab;
    private readonly ContainerdSetup _setup;
    private readonly string _folder;
    private readonly string _socket;
    private readonly string _name;
    private readonly CtrImages _ctr;

    private Containerd(Lab lab, ContainerdSetup setup, string name, string folder)
    {
        _lab = lab;
        _setup = setup;
        _name = name;
        _folder = folder;
        _socket = Path.Combine(folder, "c.sock");
        _ctr = new CtrImages(this, HostsFolder);
    }

    /// <summary>The daemon.</summary>
    public RunningProcess Process { get; private set; } = null!;

    /// <summary>Where it listens.</summary>
    public string Socket => _socket;

    // Seen as the root by the daemon only.
    private string Hidden => System.IO.Directory.CreateDirectory(Path.Combine(_folder, "hidden")).FullName;

    /// <summary>The program and its settings.</summary>
    public (string Program, string File) Settings => (_setup.Daemon, ConfigurationFile);

    /// <summary>Where it looks for hosts.</summary>
    public string HostsFolder => Path.Combine(_folder, "certs.d");

    private string ConfigurationFile => Path.Combine(_folder, "config.toml");

    private string BlobsFolder => Path.Combine(_folder, "root/io.containerd.content.v1.content/blobs/sha256");

    /// <summary>Starts a daemon of the default setup with an empty store.</summary>
    public static Task<Containerd> StartAsync(Lab lab, string name) => StartAsync(lab, name, ContainerdSetup.Default);

    /// <summary>Starts a daemon with an empty store.</summary>
    public static async Task<Containerd> StartAsync(Lab lab, string name, ContainerdSetup setup)
    {
        var containerd = new Containerd(lab, setup, name, lab.CreateFolder(name));
        await File.WriteAllTextAsync(containerd.ConfigurationFile, setup.Configuration(containerd._folder, containerd._socket, containerd.HostsFolder));
        await containerd.LaunchAsync();
        return containerd;
    }

    /// <summary>Kills the daemon and starts it again with the store that it had.</summary>
    public async Task RestartAsync()
    {
        await Process.KillAsync();
        await LaunchAsync();
    }

    /// <summary>A client of kubelet's kind.</summary>
    public CriImages ConnectCri() => new(_socket);

    /// <summary>Reads images of this registry through a mirror.</summary>
    /// <param name="registry">Host and port as in image references.</param>
    /// <param name="mirror">Where requests go.</param>
    /// <param name="upstream">Where they go when the mirror does not serve them; null: nowhere else.</param>
    public async Task UseMirrorAsync(string registry, Uri mirror, Uri? upstream = null)
    {
        var folder = System.IO.Directory.CreateDirectory(Path.Combine(HostsFolder, registry)).FullName;
        var url = mirror.GetLeftPart(UriPartial.Authority);
        await File.WriteAllTextAsync(Path.Combine(folder, "hosts.toml"), $"""
            server = "{upstream?.GetLeftPart(UriPartial.Authority) ?? url}"
            [host."{url}"]
            capabilities = ["pull", "resolve"]
            """);
    }

    /// <summary>Pulls and unpacks an image with <c>ctr</c>.</summary>
    /// <returns>The process of <c>ctr</c>; wait for its end.</returns>
    public Task<RunningProcess> StartPullAsync(string reference) => _ctr.StartPullAsync(reference, login: null);

    /// <summary>Pulls and unpacks an image with <c>ctr</c> and demands success.</summary>
    public async Task PullAsync(string reference, TimeSpan timeout) =>
        await DemandAsync(await StartPullAsync(reference), timeout);

    /// <summary>Pulls and unpacks an image.</summary>
    /// <param name="client">How.</param>
    /// <param name="reference">By tag or digest.</param>
    /// <param name="timeout">The pull is given up then.</param>
    /// <param name="login">Null: without credentials.</param>
    /// <returns>Null when the image is there, else what went wrong.</returns>
    public Task<string?> PullAsync(ImageClient client, string reference, TimeSpan timeout, RegistryLogin? login = null) =>
        UseAsync(client, images => images.PullAsync(reference, login, timeout));

    /// <summary>Removes an image that was pulled in this way, and everything that no other image needs.</summary>
    public Task RemoveAsync(ImageClient client, string reference) => UseAsync(client, async images =>
    {
        await images.RemoveAsync(reference);
        return true;
    });

    /// <summary>Digests of all contents in the store, as containerd lists them.</summary>
    /// <param name="client">Whose.</param>
    public Task<IReadOnlyList<Digest>> ListContentAsync(ImageClient client = ImageClient.Ctr) => UseAsync(client, ListAsync);

    /// <summary>Puts a content into the store that no image names, where kubelet's images are.</summary>
    /// <param name="part">The content.</param>
    public async Task IngestAsync(TestImage.Part part)
    {
        const string Ingest = "exec \"$0\" --address \"$1\" --namespace k8s.io content ingest --expected-digest \"$2\" ingested <\"$3\"";
        await DemandAsync(await _lab.StartAsync($"ctr ingest of {_name}", "/bin/sh", ["-c", Ingest, _setup.Client, _socket, $"{part.Digest}", part.File]), ShortTimeout);
    }

    /// <summary>Deletes a content's file and tells containerd nothing.</summary>
    /// <param name="content">In the store.</param>
    public void DeleteFile(Digest content) => File.Delete(FileOf(content));

    /// <summary>Contents whose bytes on disk have another digest than their name says; null when there is no such content.</summary>
    /// <param name="expected">What should be there.</param>
    /// <param name="client">Who has pulled it.</param>
    public async Task<IReadOnlyList<string>> FindWrongContentAsync(IEnumerable<TestImage.Part> expected, ImageClient client = ImageClient.Ctr)
    {
        var wrong = new List<string>();
        var listed = await ListContentAsync(client);
        foreach (var part in expected)
        {
            var file = FileOf(part.Digest);
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

    /// <summary>Starts <c>ctr</c>.</summary>
    /// <param name="what">What it does, for people.</param>
    /// <param name="arguments">Its arguments, without the address.</param>
    public Task<RunningProcess> StartCtrAsync(string what, params string[] arguments) =>
        _lab.StartAsync($"ctr {what} of {_name}", _setup.Client, ["--address", _socket, .. arguments]);

    /// <summary>Runs <c>ctr</c> and demands success.</summary>
    /// <param name="what">What it does, for people.</param>
    /// <param name="timeout">It is given up then.</param>
    /// <param name="arguments">Its arguments, without the address.</param>
    public async Task<RunningProcess> RunCtrAsync(string what, TimeSpan timeout, params string[] arguments)
    {
        var process = await StartCtrAsync(what, arguments);
        await DemandAsync(process, timeout);
        return process;
    }

    private string FileOf(Digest content) => Path.Combine(BlobsFolder, content.Hex);

    private async Task LaunchAsync()
    {
        System.IO.Directory.CreateDirectory(Path.Combine(_folder, "root"));
        Process = _setup.IsHidden
            ? await _lab.StartAsync(_name, "/usr/bin/unshare", ["--mount", "/bin/sh", "-c", HideAndRun, _setup.Daemon, ConfigurationFile, Hidden, Path.Combine(_folder, "root")])
            : await _lab.StartAsync(_name, _setup.Daemon, ["--config", ConfigurationFile]);
        await Wait.UntilAsync($"{_name} answers", Process, AnswersAsync, StartTimeout);
        if (_setup.HasCri)
        {
            using var cri = ConnectCri();
            await Wait.UntilAsync($"{_name} answers as kubelet's runtime", Process, cri.AnswersAsync, StartTimeout);
        }
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

    private async Task<IReadOnlyList<Digest>> ListAsync(IImageClient images)
    {
        var process = await RunCtrAsync("list", ShortTimeout, "--namespace", images.Namespace, "content", "list", "--quiet");
        return [.. process.Output.Where(line => line.Length > 0).Select(Digest.Parse)];
    }

    private async Task<T> UseAsync<T>(ImageClient client, Func<IImageClient, Task<T>> use)
    {
        if (client == ImageClient.Ctr)
        {
            return await use(_ctr);
        }

        using var cri = ConnectCri();
        return await use(cri);
    }

    private static async Task DemandAsync(RunningProcess process, TimeSpan timeout)
    {
        if (await process.WaitForExitAsync(timeout) != 0)
        {
            throw new InvalidOperationException($"{process.Name} failed.\n{process.Tail()}");
        }
    }
}
