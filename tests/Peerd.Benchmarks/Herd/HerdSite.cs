using Peerd.Contracts;
using Peerd.EndToEnd.Harness;
using Peerd.Node.Membership;
using Peerd.Node.Ring;

namespace Peerd.Benchmarks.Herd;

/// <summary>What stays the same for all herds of one benchmark: hosts with their links, the registry and its images.</summary>
internal sealed class HerdSite
{
    private const string Tag = "v1";
    private const string WarmUpRepository = "herd/warm-up";
    private const int FirstSeed = 61;

    private readonly Dictionary<int, TestImage> _images = [];

    private HerdSite(HerdSettings settings, LabHost registryHost, LabHost proxyHost, IReadOnlyList<LabHost> nodeHosts, IReadOnlyList<LabZone> zones, DockerRegistry registry)
    {
        Settings = settings;
        RegistryHost = registryHost;
        ProxyHost = proxyHost;
        NodeHosts = nodeHosts;
        Zones = zones;
        Registry = registry;
    }

    public HerdSettings Settings { get; }

    public LabHost RegistryHost { get; }

    public LabHost ProxyHost { get; }

    public IReadOnlyList<LabHost> NodeHosts { get; }

    /// <summary>Two, which nobody is in.</summary>
    public IReadOnlyList<LabZone> Zones { get; }

    public DockerRegistry Registry { get; }

    /// <summary>Makes the network and the images.</summary>
    public static async Task<HerdSite> CreateAsync(Lab lab, HerdSettings settings, long imageSize, CancellationToken cancellationToken)
    {
        var network = await LabNetwork.CreateAsync(lab);
        var registryHost = await network.AddHostAsync("registry", settings.Rate);
        var proxyHost = await network.AddHostAsync("proxy", settings.Rate);
        var nodeHosts = new List<LabHost>();
        for (var i = 1; i <= settings.Nodes; i++)
        {
            nodeHosts.Add(await network.AddHostAsync($"n{i}", settings.Rate));
        }

        LabZone[] zones = [await network.AddZoneAsync(), await network.AddZoneAsync()];
        var site = new HerdSite(settings, registryHost, proxyHost, nodeHosts, zones, await DockerRegistry.StartAsync(lab, registryHost));
        if (settings.WarmUpSize > 0)
        {
            var half = (int)(settings.WarmUpSize / 2);
            await site.Registry.PushAsync(TestImage.Generate(lab.CreateFolder("warm-up"), FirstSeed, half, half), WarmUpRepository, Tag);
        }

        foreach (var layers in settings.Layers)
        {
            var sizes = Enumerable.Repeat((int)(imageSize / layers), layers).ToArray();
            var image = TestImage.Generate(lab.CreateFolder($"image-{layers}"), FirstSeed + layers, sizes);
            site._images.Add(layers, image);
            await site.Registry.PushAsync(image, RepositoryOf(layers), Tag);

            // From the registry's own host, where no link is in between: its files are then in memory, and this
            // program's own code has run once.
            if (await site.CreatePuller(registryHost, site.Registry.Endpoint, layers).PullAsync(cancellationToken) is { } error)
            {
                throw new InvalidOperationException($"the registry does not have what it was given: {error}");
            }
        }

        return site;
    }

    /// <summary>The image with this many layers.</summary>
    public TestImage Image(int layers) => _images[layers];

    /// <summary>Bytes of a complete pull.</summary>
    public long ImageSize(int layers) => _images[layers].All.Sum(part => part.Size);

    /// <summary>Pulls from this host.</summary>
    public ImagePuller CreatePuller(LabHost host, Uri source, int layers) => new(host, source, Registry.Upstream, RepositoryOf(layers), Tag);

    /// <summary>
    /// Has all nodes pull another image, as nodes that have been running for a while have done: the runtime compiles what is
    /// used for the first time, and nodes that share two processors would compete for them as no real nodes do.
    /// </summary>
    public async Task WarmUpAsync(IReadOnlyList<LabHost> hosts, IReadOnlyList<PeerdNode> nodes, CancellationToken cancellationToken)
    {
        if (Settings.WarmUpSize > 0)
        {
            var errors = await Task.WhenAll(hosts.Zip(nodes, (host, node) =>
                new ImagePuller(host, node.Facade, Registry.Upstream, WarmUpRepository, Tag).PullAsync(cancellationToken)));
            if (Array.Find(errors, error => error is not null) is { } error)
            {
                throw new InvalidOperationException($"the nodes cannot pull: {error}\n{string.Join('\n', nodes.Where(node => node.Process.HasExited).Select(node => node.Process.Tail()))}");
            }
        }
    }

    /// <summary>Index of the node that coordinates the first layer, or else of the last one that coordinates none of them.</summary>
    public int FindNode(IReadOnlyList<PeerdNode> nodes, int layers, bool isOwner)
    {
        var ring = new HashRing(new MemberList(nodes.Select(node => new Member(node.Name, new(node.Mesh.Host, node.Mesh.Port), string.Empty))));
        var owners = _images[layers].Layers.Select(layer => OwnerOf(layer.Digest)).ToArray();
        var found = isOwner ? owners[0] : nodes.Select(node => node.Name).LastOrDefault(name => !owners.Contains(name)) ?? nodes[^1].Name;
        return nodes.Index().First(node => node.Item.Name == found).Index;

        string OwnerOf(Digest content)
        {
            Span<int> responsible = stackalloc int[1];
            ring.FindResponsible(content, responsible);
            return ring[responsible[0]].Name;
        }
    }

    private static string RepositoryOf(int layers) => $"herd/layers-{layers}";
}
