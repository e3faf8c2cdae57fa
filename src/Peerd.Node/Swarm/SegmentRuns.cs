using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>Runs of segments in messages.</summary>
internal static class SegmentRuns
{
    /// <summary>The segments as runs, in order.</summary>
    public static IEnumerable<SegmentRun> Of(IEnumerable<int> segments)
    {
        SegmentRun? run = null;
        foreach (var segment in segments.Order())
        {
            if (run is not null && run.First + run.Count == segment)
            {
                run.Count++;
                continue;
            }

            if (run is not null)
            {
                yield return run;
            }

            run = new SegmentRun { First = (uint)segment, Count = 1 };
        }

        if (run is not null)
        {
            yield return run;
        }
    }

    /// <summary>The set of these segments, clipped to what the content has.</summary>
    public static PieceSet ToSet(IEnumerable<SegmentRun> runs, ContentLayout layout)
    {
        var set = new PieceSet(layout.SegmentCount);
        foreach (var run in runs)
        {
            set.AddRun(run.First, run.Count);
        }

        return set;
    }

    /// <summary>The pieces of a segment, clipped to what the content has.</summary>
    public static (int First, int End) PiecesOf(int segment, ContentLayout layout) =>
        (segment * layout.PiecesPerSegment, Math.Min(layout.PieceCount, (segment + 1) * layout.PiecesPerSegment));

    /// <summary>The numbers in the set.</summary>
    public static IEnumerable<int> Numbers(PieceSet set)
    {
        for (var number = set.NextSet(0); number >= 0; number = set.NextSet(number + 1))
        {
            yield return number;
        }
    }
}
