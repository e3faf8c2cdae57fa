using Peerd.Contracts.V1;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>What each node was told by the pushes of a coordinator: the model that tests compare with.</summary>
internal sealed class ToldNodes(Coordinator coordinator)
{
    private readonly Dictionary<string, ToldNode> _nodes = new(StringComparer.Ordinal);

    public ToldNode this[string node]
    {
        get
        {
            if (!_nodes.TryGetValue(node, out var told))
            {
                _nodes.Add(node, told = new ToldNode());
            }

            return told;
        }
    }

    public IEnumerable<KeyValuePair<string, ToldNode>> All => _nodes;

    /// <summary>The node has closed its stream and forgets all.</summary>
    public void Forget(string node) => _nodes.Remove(node);

    /// <summary>Takes the pushes that are due and returns them.</summary>
    public List<(string Node, LookupResponse Push)> Take(TimeSpan now)
    {
        var pushes = coordinator.TakePushes(now).ToList();
        foreach (var (node, push) in pushes)
        {
            this[node].Apply(push);
        }

        return pushes;
    }

    /// <summary>The segments of an assignment, each with the node that it is to come from.</summary>
    public static IEnumerable<(int Segment, string Node)> Segments(IEnumerable<Assignment> assigned) =>
        assigned.SelectMany(assignment => Segments(assignment.Segments).Select(segment => (segment, assignment.Node)));

    public static IEnumerable<int> Segments(IEnumerable<SegmentRun> runs) => runs.SelectMany(run => Enumerable.Range((int)run.First, (int)run.Count));
}

/// <summary>What one node knows from the pushes that it received.</summary>
internal sealed class ToldNode
{
    public SortedSet<int> Granted { get; } = [];

    public SortedSet<int> Revoked { get; } = [];

    public SortedSet<int> Reclaimed { get; } = [];

    /// <summary>From whom it was last told to fetch which segment.</summary>
    public SortedDictionary<int, string> Assigned { get; } = [];

    /// <summary>The last pause of the origin that it was told of, in milliseconds.</summary>
    public uint OriginPauseMs { get; private set; }

    public long? Size { get; private set; }

    public string MediaType { get; private set; } = string.Empty;

    public LookupState State { get; private set; }

    public Dictionary<int, ulong[]> Checksums { get; } = [];

    public Dictionary<string, (bool Complete, SortedSet<int> Held, SortedSet<int> Receiving)> Holders { get; } = new(StringComparer.Ordinal);

    public void Apply(LookupResponse push)
    {
        Size = push.Size > 0 ? push.Size : Size;
        MediaType = push.MediaType.Length > 0 ? push.MediaType : MediaType;
        State = push.State != LookupState.Unspecified ? push.State : State;
        foreach (var gone in push.Gone)
        {
            Holders.Remove(gone);
        }

        foreach (var holder in push.Holders)
        {
            if (!Holders.TryGetValue(holder.Node, out var known) || holder.Replace)
            {
                known = (false, [], []);
            }

            known.Held.UnionWith(Pieces(holder.Pieces));
            known.Receiving.UnionWith(Pieces(holder.Receiving));
            Holders[holder.Node] = (known.Complete || holder.Complete, known.Held, known.Receiving);
        }

        Granted.ExceptWith(ToldNodes.Segments(push.Revoked));
        Revoked.UnionWith(ToldNodes.Segments(push.Revoked));
        Granted.UnionWith(ToldNodes.Segments(push.Granted));
        Reclaimed.UnionWith(ToldNodes.Segments(push.Reclaimed));
        OriginPauseMs = push.OriginPauseMs > 0 ? push.OriginPauseMs : OriginPauseMs;
        foreach (var (segment, node) in ToldNodes.Segments(push.Assigned))
        {
            Assigned[segment] = node;
        }

        foreach (var checksums in push.Checksums)
        {
            Checksums[(int)checksums.Piece] = [.. checksums.Frames];
        }
    }

    private static IEnumerable<int> Pieces(IEnumerable<PieceRun> runs) => runs.SelectMany(run => Enumerable.Range((int)run.First, (int)run.Count));
}
