using Grpc.Core;
using Peerd.Node.Ring;

namespace Peerd.Node.Mesh;

/// <summary>
/// How many Lookup and Announce streams callers have open: each member has its own places, and names that are no members share
/// those of one, so that nobody gets more by thinking of names. Thread-safe.
/// </summary>
internal sealed class CallerStreams(RingSource rings, MeshMetrics metrics)
{
    /// <summary>Lookup streams of one member: contents that it fetches at one time.</summary>
    public const int MaxLookups = 1024;

    /// <summary>Announce streams of one member: one, those that ended and do not know it yet, and another process of the node.</summary>
    public const int MaxAnnounces = 16;

    private readonly Lock _lock = new();
    private readonly Dictionary<(string Node, bool IsLookup), int> _open = [];

    /// <summary>Streams that are open, of all callers.</summary>
    public int Open
    {
        get
        {
            lock (_lock)
            {
                return _open.Values.Sum();
            }
        }
    }

    /// <summary>Takes a place. Dispose what is returned when the stream has ended.</summary>
    /// <exception cref="RpcException">RESOURCE_EXHAUSTED: there is none.</exception>
    public IDisposable Enter(string node, bool isLookup)
    {
        // The empty name stands for all that are no members.
        var key = (rings.Knows(node) ? node : string.Empty, isLookup);
        lock (_lock)
        {
            var open = _open.GetValueOrDefault(key);
            if (open < (isLookup ? MaxLookups : MaxAnnounces))
            {
                _open[key] = open + 1;
                return new Place(this, key);
            }
        }

        metrics.Refused(MeshRefusal.Stream);
        var whose = key.Item1.Length > 0 ? $"node '{node}'" : "callers that are no members";
        throw new RpcException(new Status(StatusCode.ResourceExhausted, $"too many {(isLookup ? "Lookup" : "Announce")} streams of {whose} are open"));
    }

    private void Leave((string Node, bool IsLookup) key)
    {
        lock (_lock)
        {
            if (--_open[key] == 0)
            {
                _open.Remove(key);
            }
        }
    }

    private sealed class Place(CallerStreams streams, (string Node, bool IsLookup) key) : IDisposable
    {
        private int _left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _left, 1) == 0)
            {
                streams.Leave(key);
            }
        }
    }
}
