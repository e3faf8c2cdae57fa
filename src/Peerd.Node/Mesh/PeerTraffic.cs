using System.Collections.Concurrent;

namespace Peerd.Node.Mesh;

/// <summary>Bytes and failures by member, for <c>peerd peers</c>. Bounded: only names of members are counted.</summary>
internal sealed class PeerTraffic
{
    private readonly ConcurrentDictionary<string, Counters> _byNode = new(StringComparer.Ordinal);

    public Counters Of(string node) => _byNode.GetOrAdd(node, static _ => new Counters());

    /// <summary>Counts bytes sent to a caller that says it is this node; callers that are no members are not counted.</summary>
    public void Sent(string? node, int bytes)
    {
        if (node is not null && _byNode.TryGetValue(node, out var counters))
        {
            Interlocked.Add(ref counters.SentBytes, bytes);
        }
    }

    public void Forget(string node) => _byNode.TryRemove(node, out _);

    internal sealed class Counters
    {
        public long ReceivedBytes;
        public long SentBytes;
        public long Failures;
    }
}
