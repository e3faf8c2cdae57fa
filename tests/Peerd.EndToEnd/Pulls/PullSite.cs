using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>
/// A mesh of nodes and a containerd of each setup on each of them, for many tests one after the other: every test starts a
/// registry of its own, with an image that no other has, on one of the ports that the nodes know.
/// </summary>
public sealed class PullSite : IAsyncLifetime
{
    private const int Ports = 128;

    private readonly Dictionary<ContainerdSetup, Containerd[]> _containerds = [];
    private readonly Queue<int> _ports = new(Enumerable.Range(0, Ports).Select(_ => FreePorts.Take()));
    private readonly Lab _lab = new();

    /// <summary>How many nodes pull at once.</summary>
    public const int Herd = 3;

    /// <summary>The nodes that pull at once, and one more that comes later.</summary>
    internal PeerdNode[] Nodes { get; private set; } = [];

    /// <inheritdoc />
    public async ValueTask InitializeAsync()
    {
        Nodes = PeerdNode.CreateMany(_lab, Herd + 1);
        Upstream[] upstreams = [.. _ports.Select(port => new Upstream($"127.0.0.1:{port}", new Uri($"http://127.0.0.1:{port}")))];
        await PeerdNode.StartAllAsync(Nodes, Nodes, upstreams);
    }

    /// <summary>A port for a registry that the nodes know and no other test uses.</summary>
    internal int TakePort() => _ports.Dequeue();

    /// <summary>A daemon on each node that reads images of this registry through its node and nowhere else.</summary>
    internal async Task<Containerd[]> UseContainerdsAsync(ContainerdSetup setup, DockerRegistry registry)
    {
        if (!_containerds.TryGetValue(setup, out var containerds))
        {
            var name = $"c{setup.Version}{(setup.ChunkSize > 0 ? "-chunked" : string.Empty)}";
            containerds = await Task.WhenAll(Nodes.Select(node => Containerd.StartAsync(_lab, $"{name}-{node.Name}", setup)));
            _containerds[setup] = containerds;
        }

        await Task.WhenAll(containerds.Zip(Nodes, (containerd, node) => containerd.UseMirrorAsync(registry.Name, node.Facade)));
        return containerds;
    }

    /// <summary>The last lines of what lives longer than one test.</summary>
    internal string Tail() => string.Join('\n', Nodes.Select(node => node.Process).Concat(_containerds.Values.SelectMany(all => all.Select(one => one.Process))).Select(process => process.Tail()));

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await _lab.DisposeAsync();
        RemoveSharedFolder();
    }

    // From 1.7 on containerd makes this folder, whatever its configuration says, and uses it for containers only.
    private static void RemoveSharedFolder()
    {
        var folder = new DirectoryInfo("/run/containerd");
        if (folder.Exists && !folder.EnumerateFileSystemInfos().Any())
        {
            folder.Delete();
        }
    }
}
