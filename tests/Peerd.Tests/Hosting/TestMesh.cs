using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Peerd.Contracts;
using Peerd.Node.Membership;
using Peerd.Node.Ring;
using Peerd.Tests.Origin;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Hosting;

/// <summary>
/// A registry, real nodes (<c>node-1</c>, …) that share one list of members, and members that are not what they should
/// be: <see cref="FakePeer"/>s (<c>fake-1</c>, …), dead ones that refuse connections, silent ones that take them and
/// say nothing. All on loopback; caches are deleted at the end.
/// </summary>
internal sealed class TestMesh : IAsyncDisposable
{
    private static int _lastSeed;

    private readonly SharedMembership _membership = new();
    private readonly List<Member> _members = [];
    private readonly List<Socket> _sockets = [];
    private readonly Func<string, string[]> _settings;
    private readonly bool _ownsRegistry;
    private readonly TimeProvider _time;
    private readonly Action<IServiceCollection> _customize;
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("peerd-mesh-");

    private TestMesh(FakeRegistry registry, bool ownsRegistry, Func<string, string[]> settings, TimeProvider time, Action<IServiceCollection> customize)
    {
        _time = time;
        _customize = customize;
        Registry = registry;
        _ownsRegistry = ownsRegistry;
        _settings = settings;
    }

    public FakeRegistry Registry { get; }

    public List<TestNode> Nodes { get; } = [];

    public List<FakePeer> Peers { get; } = [];

    /// <summary>The first node.</summary>
    public TestNode Node => Nodes[0];

    /// <summary>The first fake peer.</summary>
    public FakePeer Peer => Peers[0];

    /// <summary>Starts everything and waits until all nodes know all members.</summary>
    /// <param name="nodes">How many real nodes.</param>
    /// <param name="peers">How many fake peers.</param>
    /// <param name="dead">How many members that refuse connections: <c>dead-1</c>, ….</param>
    /// <param name="silent">How many members that take connections and never say a word: <c>silent-1</c>, ….</param>
    /// <param name="settings">Further settings of all nodes, such as <c>--Peerd:Mesh:Uploads=1</c>.</param>
    /// <param name="registry">A registry that several meshes share; none: one of its own.</param>
    /// <param name="cache">Cache folder of the nodes; none: folders of their own.</param>
    /// <param name="settingsOf">Further settings of the node with this name.</param>
    /// <param name="reachedAt">Address in the list of members, of nodes that listen at all; none: where they listen.</param>
    /// <param name="time">Clock of the nodes; none: the system's.</param>
    /// <param name="customize">Services of the nodes that are not the usual ones.</param>
    public static async Task<TestMesh> StartAsync(
        int nodes = 1,
        int peers = 0,
        int dead = 0,
        int silent = 0,
        string[]? settings = null,
        FakeRegistry? registry = null,
        string? cache = null,
        Func<string, string[]>? settingsOf = null,
        IPAddress? reachedAt = null,
        TimeProvider? time = null,
        Action<IServiceCollection>? customize = null)
    {
        var mesh = new TestMesh(
            registry ?? await FakeRegistry.StartAsync(), registry is null, name => [.. settings ?? [], .. settingsOf?.Invoke(name) ?? []], time ?? TimeProvider.System, customize ?? (static _ => { }));
        try
        {
            for (var i = 1; i <= nodes; i++)
            {
                await mesh.StartNodeAsync($"node-{i}", cache, reachedAt);
            }

            for (var i = 1; i <= peers; i++)
            {
                var peer = await FakePeer.StartAsync($"fake-{i}");
                mesh.Peers.Add(peer);
                mesh.Add(peer.Name, peer.EndPoint);
            }

            mesh.AddSockets("dead", dead, isListening: false);
            mesh.AddSockets("silent", silent, isListening: true);
            mesh._membership.Publish(mesh._members);
            await Task.WhenAll(mesh.Nodes.Select(node => node.WaitForMembersAsync(mesh._members.Count)));
            return mesh;
        }
        catch
        {
            await mesh.DisposeAsync();
            throw;
        }
    }

    /// <summary>A blob at the registry for which the ring makes these members responsible, the owner first.</summary>
    public SampleContent BlobOwnedBy(int size, params ReadOnlySpan<string> responsible)
    {
        var sample = SampleOwnedBy(size, responsible);
        Registry.AddBlob(sample.Bytes);
        return sample;
    }

    /// <summary>A content that the registry does not know, for which the ring makes these members responsible.</summary>
    public SampleContent UnknownOwnedBy(params ReadOnlySpan<string> responsible) => UnknownOwnedBy(1000, responsible);

    /// <summary>The same of this size.</summary>
    public SampleContent UnknownOwnedBy(int size, params ReadOnlySpan<string> responsible) => SampleOwnedBy(size, responsible);

    /// <summary>A blob at the registry.</summary>
    public SampleContent Blob(int size)
    {
        var sample = NewSample(size);
        Registry.AddBlob(sample.Bytes);
        return sample;
    }

    /// <summary>A content that no other test has; the registry does not know it.</summary>
    public static SampleContent NewSample(int size) => new(Interlocked.Increment(ref _lastSeed), size);

    /// <summary>What happens when a process is to save the list of members for another one.</summary>
    public Action KeepMembers
    {
        get => _membership.Keep;
        set => _membership.Keep = value;
    }

    /// <summary>Takes a member off the list; its process goes on.</summary>
    public void Leave(string name)
    {
        _members.RemoveAll(member => member.Name == name);
        _membership.Publish(_members);
    }

    public async ValueTask DisposeAsync()
    {
        // Fakes first: a node that stops takes leave of its peers, and some of them never answer.
        foreach (var peer in Peers)
        {
            await peer.DisposeAsync();
        }

        foreach (var socket in _sockets)
        {
            socket.Dispose();
        }

        foreach (var node in Nodes)
        {
            await node.DisposeAsync();
        }

        if (_ownsRegistry)
        {
            await Registry.DisposeAsync();
        }

        _folder.Delete(recursive: true);
    }

    private SampleContent SampleOwnedBy(int size, ReadOnlySpan<string> responsible)
    {
        var ring = new HashRing(new MemberList(_members));
        Span<int> found = stackalloc int[ProtocolConstants.Replicas];
        while (true)
        {
            var sample = NewSample(size);
            ring.FindResponsible(sample.Digest, found);
            var isRight = true;
            for (var i = 0; i < responsible.Length; i++)
            {
                isRight &= ring[found[i]].Name == responsible[i];
            }

            if (isRight)
            {
                return sample;
            }
        }
    }

    private async Task StartNodeAsync(string name, string? cache, IPAddress? reachedAt)
    {
        var node = await TestNode.StartAsync(
            name,
            [$"--Peerd:Cache:Directory={cache ?? Path.Combine(_folder.FullName, name)}", $"--Peerd:Origin:Registries:0:Endpoint={Registry.Url}", .. _settings(name)],
            config: null,
            services => _customize(services.AddSingleton<IMembershipSource>(_membership).AddSingleton(_time)));
        Nodes.Add(node);
        Add(name, reachedAt is null ? node.MeshEndPoint : new IPEndPoint(reachedAt, node.MeshEndPoint.Port));
    }

    private void Add(string name, IPEndPoint address) => _members.Add(new Member(name, new DnsEndPoint(address.Address.ToString(), address.Port), string.Empty));

    private void AddSockets(string name, int count, bool isListening)
    {
        for (var i = 1; i <= count; i++)
        {
            // Bound, the port is nobody else's; the system takes connections only for a socket that listens.
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            _sockets.Add(socket);
            socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            if (isListening)
            {
                socket.Listen();
            }

            Add($"{name}-{i}", (IPEndPoint)socket.LocalEndPoint!);
        }
    }

    private sealed class SharedMembership : IMembershipSource
    {
        private readonly Latest<MemberList> _lists = new(MemberList.Empty);

        public Action Keep { get; set; } = static () => { };

        public Task KeepAsync()
        {
            Keep();
            return Task.CompletedTask;
        }

        public void Publish(IEnumerable<Member> members) => _lists.Publish(new MemberList(members));

        public IAsyncEnumerable<MemberList> WatchAsync(CancellationToken cancellationToken) => _lists.WatchAsync(cancellationToken);
    }
}
