using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Node.Limits;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Mesh.Tls;
using Peerd.Node.Ring;
using Peerd.Tests.Hosting;
using Peerd.Tests.Membership;

namespace Peerd.Tests.Mesh;

/// <summary>The node <c>self</c>, its ring and its connections to members, most of which exist by name only; time stands still.</summary>
internal sealed class PeersSetup : IAsyncDisposable
{
    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private readonly TestMembership _membership;
    private readonly Bandwidth _bandwidth;
    private readonly int _members;

    public PeersSetup(params string[] members)
        : this([.. members.Select(TestMembership.MemberOf)])
    {
    }

    public PeersSetup(params Member[] members)
    {
        _members = members.Length;
        _membership = new TestMembership(new MemberList(members));
        Rings = new RingSource(_membership, Time, NullLogger<RingSource>.Instance);
        _bandwidth = new Bandwidth(Options.Create(new LimitOptions()), Time);
        Peers = new PeerConnections(Rings, Self, Options.Create(new MeshOptions()), new PeerTraffic(), new MeshMetrics(Meters), MeshTls.Off, _bandwidth, Time);
    }

    public ArmedTime Time { get; } = new();

    public NodeIdentity Self { get; } = new("self", 1, string.Empty);

    public RingSource Rings { get; }

    public PeerConnections Peers { get; }

    public IMeterFactory Meters => _services.GetRequiredService<IMeterFactory>();

    /// <summary>A content of which one comes before the other in the order of those responsible.</summary>
    public static Digest ContentNearerTo(string name, string than)
    {
        for (var i = 0; ; i++)
        {
            if (Digest.OfSha256(BitConverter.GetBytes(i)) is var digest && HashRing.IsNearer(digest, name, than))
            {
                return digest;
            }
        }
    }

    public async Task StartAsync()
    {
        await Rings.StartAsync(CancellationToken.None);
        await Wait.UntilAsync(() => Rings.Current.Count == _members, "the first list is known");
    }

    /// <summary>Makes these the members.</summary>
    public async Task TellAsync(params string[] names)
    {
        _membership.Tell(names);
        await Wait.UntilAsync(() => Rings.Current.Count == names.Length && names.All(name => Rings.Current.IndexOf(name) >= 0), "the list has changed");
        Peers.Find("nobody");
    }

    /// <summary>Makes these the members, sooner or later.</summary>
    public void TellSoon(params string[] names) => _membership.Tell(names);

    public async ValueTask DisposeAsync()
    {
        await Rings.StopAsync(CancellationToken.None);
        Rings.Dispose();
        Peers.Dispose();
        _bandwidth.Dispose();
        await _services.DisposeAsync();
    }
}
