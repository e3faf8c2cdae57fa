using System.Text.Json.Nodes;
using Peerd.Contracts;
using Peerd.Node.Ring;

namespace Peerd.EndToEnd.Harness;

/// <summary>One <c>peerd serve</c>: its ports, its configuration file and its process.</summary>
internal sealed class PeerdNode
{
    private static readonly TimeSpan ReadyTimeout = TimeSpan.FromSeconds(30);

    private readonly Lab _lab;
    private readonly LabHost? _host;
    private RunningProcess? _process;

    private PeerdNode(Lab lab, string name, LabHost? host, Uri? mesh = null)
    {
        _lab = lab;
        _host = host;
        Name = name;
        (Facade, Mesh, Metrics) = host is null
            ? (NewEndpoint(), mesh ?? NewEndpoint(), NewEndpoint())
            : (new Uri("http://127.0.0.1:30000/"), new Uri($"http://{host.Address}:30001/"), new Uri("http://127.0.0.1:30004/"));
        ConfigurationFile = Path.Combine(lab.CreateFolder(name), "node.json");
        CacheFolder = Path.Combine(lab.Folder, name, "cache");
    }

    /// <summary>Name of the node in the mesh.</summary>
    public string Name { get; }

    /// <summary>The JSON file that it is started with.</summary>
    public string ConfigurationFile { get; }

    /// <summary>Zone of the node; empty for none.</summary>
    public string Zone { get; set; } = string.Empty;

    /// <summary>Its piece cache.</summary>
    public string CacheFolder { get; }

    /// <summary>Where containerd asks.</summary>
    public Uri Facade { get; }

    /// <summary>Where peers ask.</summary>
    public Uri Mesh { get; }

    /// <summary>Where health and metrics are.</summary>
    public Uri Metrics { get; }

    /// <summary>The command line that its process starts with.</summary>
    public IReadOnlyList<string> Program { get; set; } = Repository.Peerd;

    /// <summary>Variables that its process is started with besides those of the test; not on a host of its own.</summary>
    public IReadOnlyDictionary<string, string>? Environment { get; set; }

    /// <summary>The running process.</summary>
    public RunningProcess Process => _process ?? throw new InvalidOperationException($"{Name} was not started");

    /// <summary>Ports and folders for a node that does not run yet.</summary>
    public static PeerdNode Create(Lab lab, string name) => new(lab, name, null);

    /// <summary>Ports and folders for a node that does not run yet, and is reached by its peers at this address.</summary>
    public static PeerdNode Create(Lab lab, string name, Uri mesh) => new(lab, name, null, mesh);

    /// <summary>A node that does not run yet, with the usual ports on a host of its own.</summary>
    /// <param name="lab">Owns its process and files.</param>
    /// <param name="host">Where it runs; also its name.</param>
    public static PeerdNode Create(Lab lab, LabHost host) => new(lab, host.Name, host);

    /// <summary>Ports and folders for nodes n1, n2, … that do not run yet.</summary>
    public static PeerdNode[] CreateMany(Lab lab, int count) => [.. Enumerable.Range(1, count).Select(i => Create(lab, $"n{i}"))];

    /// <summary>Starts nodes of one mesh at once and waits until all are ready.</summary>
    public static Task StartAllAsync(IReadOnlyList<PeerdNode> nodes, IReadOnlyList<PeerdNode> members, params Upstream[] upstreams) =>
        Task.WhenAll(nodes.Select(node => node.StartAsync(members, upstreams)));

    /// <summary>The node that the ring of these nodes makes responsible for a content.</summary>
    public static PeerdNode FindOwner(IReadOnlyList<PeerdNode> members, Digest content) => FindResponsible(members, content)[0];

    /// <summary>The nodes that the ring of these nodes makes responsible for a content: its owner, and then its replica if there are two.</summary>
    public static PeerdNode[] FindResponsible(IReadOnlyList<PeerdNode> members, Digest content)
    {
        var ring = new HashRing(new(members.Select(member => new Node.Membership.Member(member.Name, new(member.Mesh.Host, member.Mesh.Port), string.Empty))));
        var responsible = new int[Math.Min(members.Count, ProtocolConstants.Replicas)];
        ring.FindResponsible(content, responsible);
        return Array.ConvertAll(responsible, index => members.First(member => member.Name == ring[index].Name));
    }

    /// <summary>Writes the configuration, starts the process and waits until it is ready.</summary>
    public Task StartAsync(IReadOnlyList<PeerdNode> members, params Upstream[] upstreams) =>
        StartAsync(Configure(members, upstreams));

    /// <summary>Writes this configuration, starts the process and waits until it is ready.</summary>
    public async Task StartAsync(JsonObject configuration)
    {
        WriteConfiguration(configuration);
        await StartAgainAsync();
    }

    /// <summary>Starts the process with whatever the configuration file says, and waits until it is ready.</summary>
    public async Task StartAgainAsync()
    {
        await LaunchAsync();
        await Wait.UntilOkAsync(new Uri(Metrics, "readyz"), Process, ReadyTimeout, _host);
    }

    /// <summary>Starts the process with whatever the configuration file says.</summary>
    /// <param name="program">The command line that it starts with; null for <see cref="Program"/>.</param>
    public async Task<RunningProcess> LaunchAsync(IReadOnlyList<string>? program = null)
    {
        program ??= Program;
        string[] arguments = [.. program.Skip(1), "serve", "--config", ConfigurationFile];
        return _process = await (_host is null ? _lab.StartAsync(Name, program[0], arguments, Environment) : _host.StartAsync(_lab, Name, program[0], arguments));
    }

    /// <summary>The configuration as a tree that a test may change before it writes it.</summary>
    public JsonObject Configure(IReadOnlyList<PeerdNode> members, params Upstream[] upstreams) =>
        JsonNode.Parse($$"""
            {
              "Peerd": {
                "Node": { "Name": "{{Name}}", "Zone": "{{Zone}}" },
                "Facade": { "Listen": "{{Facade.Authority}}" },
                "Mesh": { "Listen": "{{Mesh.Authority}}" },
                "Metrics": { "Listen": "{{Metrics.Authority}}" },
                "Log": { "Level": "{{(TestOutput.IsKept ? "Trace" : "Information")}}" },
                "Cache": { "Directory": "{{CacheFolder}}" },
                "Membership": {
                  "Members": [{{Join(members.Select(member => $$"""{ "Name": "{{member.Name}}", "Address": "{{member.Mesh.Authority}}", "Zone": "{{member.Zone}}" }"""))}}]
                },
                "Origin": {
                  "Registries": [{{Join(upstreams.Select(upstream => $$"""{ "Name": "{{upstream.Name}}", "Endpoint": "{{upstream.Endpoint.GetLeftPart(UriPartial.Authority)}}" }"""))}}]
                }
              }
            }
            """)!.AsObject();

    /// <summary>Puts a configuration in place of the former one in a single step, as careful people do.</summary>
    public void WriteConfiguration(JsonObject configuration)
    {
        var temporary = ConfigurationFile + ".new";
        File.WriteAllText(temporary, configuration.ToJsonString(new() { WriteIndented = true }));
        File.Move(temporary, ConfigurationFile, overwrite: true);
    }

    private static string Join(IEnumerable<string> items) => string.Join(", ", items);

    private static Uri NewEndpoint() => new($"http://127.0.0.1:{FreePorts.Take()}/");
}
