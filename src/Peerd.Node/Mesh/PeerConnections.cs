using System.Collections.Concurrent;
using Microsoft.Extensions.Options;
using Peerd.Node.Limits;
using Peerd.Node.Membership;
using Peerd.Node.Mesh.Tls;
using Peerd.Node.Ring;

namespace Peerd.Node.Mesh;

/// <summary>
/// The other members of the ring, each with its connections; follows the ring. A member whose address changes gets new
/// connections. Thread-safe.
/// </summary>
internal sealed class PeerConnections(
    RingSource rings,
    NodeIdentity self,
    IOptions<MeshOptions> options,
    PeerTraffic traffic,
    MeshMetrics metrics,
    MeshTls tls,
    Bandwidth bandwidth,
    TimeProvider time) : BackgroundService
{
    private readonly ConcurrentDictionary<string, Peer> _peers = new(StringComparer.Ordinal);
    private readonly Lock _updating = new();
    private bool _disposed;

    /// <summary>All peers of the moment, in no order.</summary>
    public ICollection<Peer> All => _peers.Values;

    /// <summary>The peer of this name; null for this node itself and for names that are no members.</summary>
    public Peer? Find(string name)
    {
        if (_peers.TryGetValue(name, out var peer))
        {
            return peer;
        }

        // The ring may be newer than what the loop below has seen.
        Update(rings.Current.Members);
        return _peers.GetValueOrDefault(name);
    }

    public override void Dispose()
    {
        base.Dispose();
        lock (_updating)
        {
            _disposed = true;
            foreach (var peer in _peers.Values)
            {
                peer.Dispose();
            }

            _peers.Clear();
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await foreach (var ring in rings.WatchAsync(stoppingToken))
        {
            Update(ring.Members);
        }
    }

    private void Update(MemberList list)
    {
        lock (_updating)
        {
            if (_disposed)
            {
                return;
            }

            var members = list.Members.Where(member => member.Name != self.Name).ToDictionary(member => member.Name, StringComparer.Ordinal);
            foreach (var (name, peer) in _peers)
            {
                if (!members.TryGetValue(name, out var member) || !member.Address.Equals(peer.Member.Address))
                {
                    _peers.TryRemove(name, out _);
                    traffic.Forget(name);
                    peer.Dispose();
                }
            }

            foreach (var member in members.Values)
            {
                if (!_peers.ContainsKey(member.Name))
                {
                    _peers[member.Name] = new Peer(member, self.Name, options.Value, traffic.Of(member.Name), metrics, tls, time, bandwidth.Download);
                }
            }
        }
    }
}
