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
    /// <summary>How far this node's list of members may be behind that of a node which names one to it.</summary>
    public static readonly TimeSpan ListsDiffer = TimeSpan.FromSeconds(2);

    /// <summary>So long after it has left, others may still name a member.</summary>
    private static readonly TimeSpan LeftMemory = TimeSpan.FromMinutes(1);

    /// <summary>So long a member that has left is still told who goes where: it may be the owner of what others read right now.</summary>
    internal static readonly TimeSpan Farewell = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<string, Peer> _peers = new(StringComparer.Ordinal);
    private readonly Lock _updating = new();
    private readonly ConcurrentDictionary<string, long> _left = new(StringComparer.Ordinal);
    private readonly Dictionary<Peer, ITimer> _retired = [];
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
        Update();
        return _peers.GetValueOrDefault(name);
    }

    /// <summary>
    /// The same for a name that another node told. Lists of members do not change everywhere at once, so a name that is
    /// not known here may be a member's in a moment; one that has just left is none.
    /// </summary>
    public ValueTask<Peer?> FindSoonAsync(string name, CancellationToken cancellationToken) =>
        Find(name) is { } peer ? new(peer) : name == self.Name || HasJustLeft(name) ? new((Peer?)null) : new(WaitForAsync(name, cancellationToken));

    public override void Dispose()
    {
        base.Dispose();
        lock (_updating)
        {
            _disposed = true;
            foreach (var peer in _peers.Values.Concat(_retired.Keys).ToList())
            {
                Close(peer);
            }

            _peers.Clear();
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await foreach (var _ in rings.WatchAsync(stoppingToken))
        {
            Update();
        }
    }

    private bool HasJustLeft(string name) => _left.TryGetValue(name, out var at) && time.GetElapsedTime(at) < LeftMemory;

    private async Task<Peer?> WaitForAsync(string name, CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(ListsDiffer, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, patience.Token);
        try
        {
            await foreach (var ring in rings.WatchAsync(either.Token))
            {
                if (ring.IndexOf(name) >= 0)
                {
                    return Find(name);
                }
            }
        }
        catch (OperationCanceledException)
        {
        }

        return null;
    }

    private void Update()
    {
        lock (_updating)
        {
            if (_disposed)
            {
                return;
            }

            var members = rings.Current.Members.Members.Where(member => member.Name != self.Name).ToDictionary(member => member.Name, StringComparer.Ordinal);
            foreach (var name in _left.Keys.Where(name => members.ContainsKey(name) || !HasJustLeft(name)))
            {
                _left.TryRemove(name, out _);
            }

            foreach (var (name, peer) in _peers)
            {
                var member = members.GetValueOrDefault(name);
                if (member?.Address.Equals(peer.Member.Address) == true)
                {
                    continue;
                }

                _peers.TryRemove(name, out _);
                traffic.Forget(name);
                if (member is null)
                {
                    _left[name] = time.GetTimestamp();
                    peer.Retire();
                    _retired.Add(peer, time.CreateTimer(_ => Close(peer), state: null, Farewell, Timeout.InfiniteTimeSpan));
                }
                else
                {
                    // Another process: nobody hears at the former address.
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

    private void Close(Peer peer)
    {
        lock (_updating)
        {
            if (_retired.Remove(peer, out var timer))
            {
                timer.Dispose();
            }

            peer.Dispose();
        }
    }
}
