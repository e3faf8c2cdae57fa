using Peerd.Contracts;

namespace Peerd.Simulation.Mesh;

/// <summary>What a node holds of a content, as somebody responsible knows it.</summary>
internal sealed class Holding(int pieceCount)
{
    public PieceSet Pieces { get; } = new(pieceCount);

    public bool IsComplete { get; set; }

    /// <summary>Adds what was told; false when it was known.</summary>
    public bool Add(PieceSet pieces, bool isComplete)
    {
        var before = (Pieces.Count, IsComplete);
        foreach (var (first, count) in pieces.Runs())
        {
            Pieces.AddRun(first, count);
        }

        IsComplete |= isComplete;
        return before != (Pieces.Count, IsComplete);
    }
}

/// <summary>A node's part of the directory for one content: filled by reports at once and by announcements later.</summary>
internal sealed class NodeDirectory(int pieceCount)
{
    private readonly SortedDictionary<int, Holding> _holdings = [];

    public IEnumerable<KeyValuePair<int, Holding>> Holdings => _holdings;

    public bool IsEmpty => _holdings.Count == 0;

    /// <summary>Enters what a node holds; null when all of it was known.</summary>
    public Holding? Enter(int node, PieceSet pieces, bool isComplete)
    {
        if (!_holdings.TryGetValue(node, out var holding))
        {
            _holdings.Add(node, holding = new Holding(pieceCount));
        }

        return holding.Add(pieces, isComplete) ? holding : null;
    }

    public bool Remove(int node) => _holdings.Remove(node);
}
