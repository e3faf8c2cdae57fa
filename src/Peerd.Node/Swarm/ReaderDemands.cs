using System.Runtime.InteropServices;
using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>What the readers of one content need of what is missing, and what the owner was told of that. Not thread-safe.</summary>
/// <param name="table">What is here.</param>
/// <param name="isWholeTold">The owner was told that all is wanted; else that nothing is.</param>
internal sealed class ReaderDemands(PieceTable table, bool isWholeTold)
{
    private readonly List<Demand> _all = [];
    private PieceSet? _toldWanted = isWholeTold ? null : new PieceSet(table.Layout.PieceCount);
    private int _toldFirst = -1;

    /// <summary>The most wanted first.</summary>
    public ReadOnlySpan<Demand> All => CollectionsMarshal.AsSpan(_all);

    /// <summary>All of them are fetched ahead only: readers ask for what they wait for themselves.</summary>
    public bool IsAhead { get; private set; }

    /// <summary>They need this, and nothing of what was said before.</summary>
    public void Set(IEnumerable<Demand> demands, bool isAhead)
    {
        IsAhead = isAhead;
        _all.Clear();
        _all.AddRange(demands);
    }

    /// <summary>A reader needs the piece now.</summary>
    public bool Include(int piece)
    {
        foreach (var demand in _all)
        {
            if (demand.Includes(piece))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The missing piece that is needed most; -1 when none is.</summary>
    public int First()
    {
        foreach (var demand in _all)
        {
            var piece = table.Have.NextClear(demand.Position);
            if (piece >= 0 && demand.Includes(piece))
            {
                return piece;
            }
        }

        return -1;
    }

    /// <summary>Missing pieces that readers need; null when that is all that is missing.</summary>
    public PieceSet? Wanted()
    {
        if (_all.Exists(demand => demand.Ahead == int.MaxValue && demand.End >= table.Layout.PieceCount && demand.Position <= table.Have.NextClear(0)))
        {
            return null;
        }

        var wanted = new PieceSet(table.Layout.PieceCount);
        var isAll = true;
        for (var piece = table.Have.NextClear(0); piece >= 0; piece = table.Have.NextClear(piece + 1))
        {
            if (Include(piece))
            {
                wanted.Add(piece);
            }
            else
            {
                isAll = false;
            }
        }

        return isAll && wanted.Count > 0 ? null : wanted;
    }

    /// <summary>This is wanted now: the owner need not be told.</summary>
    public bool IsTold(PieceSet? wanted)
    {
        if (_toldWanted is null)
        {
            // It was told that all is wanted.
            return wanted is null || table.Have.IsFull;
        }

        // What a reader waits for now may have been told as something for later; owners deal in order otherwise.
        var isFirstTold = First() is var first && (first < 0 || first == _toldFirst || first == wanted?.NextSet(0) || table.Granted.Contains(first) || table.InFlight.Contains(first));
        return wanted is not null && isFirstTold && wanted.CountOf(_toldWanted, within: null) == 0 && (wanted.Count > 0 || _toldWanted.Count == 0);
    }

    /// <summary>The owner is told that this is wanted: empty for all, an empty run for nothing.</summary>
    public IReadOnlyList<PieceRun> Tell(PieceSet? wanted)
    {
        _toldWanted = wanted;
        _toldFirst = First();
        return _toldWanted is null ? []
            : _toldWanted.Count == 0 ? [new PieceRun()]
            : _toldFirst > _toldWanted.NextSet(0) ? [new PieceRun { First = (uint)_toldFirst, Count = 1 }, .. _toldWanted.ToPieceRuns()]
            : [.. _toldWanted.ToPieceRuns()];
    }

    /// <summary>Segments of which something that is needed is missing, by the place of the demand that needs them.</summary>
    public Dictionary<int, int> RankSegments()
    {
        var layout = table.Layout;
        var ranks = new Dictionary<int, int>();
        foreach (var (rank, demand) in _all.Index())
        {
            var end = (int)Math.Min(Math.Min(demand.End, layout.PieceCount), (long)demand.Position + demand.Ahead);
            for (var piece = table.Have.NextClear(demand.Position); piece >= 0 && piece < end && ranks.Count < layout.SegmentCount; piece = table.Have.NextClear(piece + 1))
            {
                ranks.TryAdd(piece / layout.PiecesPerSegment, rank);
                piece = Math.Max(piece, ((piece / layout.PiecesPerSegment) + 1) * layout.PiecesPerSegment - 1);
            }
        }

        return ranks;
    }
}
