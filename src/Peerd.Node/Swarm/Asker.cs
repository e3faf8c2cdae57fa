using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>The session of a node that asks for the content: what it wants, and what it is to be told next. Not thread-safe.</summary>
internal sealed class Asker
{
    /// <summary>Runs of wanted pieces that are told and kept.</summary>
    public const int MostRuns = 4096;

    private LookupResponse _pending = new();

    public bool CanReachOrigin { get; set; }

    /// <summary>Its origin asked for a pause: it can reach it again when that is over.</summary>
    public bool IsPaused { get; set; }

    /// <summary>Runs of pieces that it said last that it wants, as long as the size is not known: of the rest of a message nothing is kept.</summary>
    public (uint First, uint Count)[] WantedRuns { get; private set; } = [];

    /// <summary>Segments that it wants; null for all.</summary>
    public PieceSet? Wanted { get; set; }

    /// <summary>The segment that it needs before all others; -1 when it told none.</summary>
    public int WantedFirst { get; set; } = -1;

    /// <summary>Leases that it let expire since it last made progress: who has shown that it reads comes before.</summary>
    public int Expired { get; set; }

    /// <summary>It is granted nothing before, while others can read.</summary>
    public TimeSpan NoGrantsUntil { get; set; } = TimeSpan.MinValue;

    /// <summary>How many segments it was ever granted.</summary>
    public int GrantedEver { get; set; }

    /// <summary>The segments that it was ever granted; null when none. Of these it may know the checksums.</summary>
    public PieceSet? Granted { get; set; }

    /// <summary>How many segments it had open when it was last asked to give some back: once is enough for each state.</summary>
    public int AskedBackAt { get; set; }

    /// <summary>Fetches that failed one after the other.</summary>
    public int Failures { get; set; }

    /// <summary>It is assigned nothing before.</summary>
    public TimeSpan NotBefore { get; set; } = TimeSpan.MinValue;

    /// <summary>Few ask, and it lacks something that is not on its way to it: as of the last match.</summary>
    public bool IsOneOfFew { get; set; }

    /// <summary>Since when it has nothing to fetch; null when it has.</summary>
    public TimeSpan? StarvingSince { get; set; }

    /// <summary>From whom it could not fetch a segment last.</summary>
    public Dictionary<int, string> LastFailed { get; } = [];

    /// <summary>Who is slow to it and not to others: until when it is assigned something of theirs only when it would have nothing at all.</summary>
    public Dictionary<string, TimeSpan> Avoided { get; } = new(StringComparer.Ordinal);

    public LookupState ToldState { get; set; }

    /// <summary>How many of the known checksums it was told.</summary>
    public int ToldChecksums { get; set; }

    public TimeSpan? LastPush { get; set; }

    public TimeSpan? LastSample { get; set; }

    /// <summary>What it was told of a few holders.</summary>
    public Dictionary<string, PieceSet> Sample { get; } = new(StringComparer.Ordinal);

    /// <summary>What it is told with the next push.</summary>
    public LookupResponse Pending => _pending;

    public bool Avoids(string holder, TimeSpan now) => Avoided.Count > 0 && Avoided.TryGetValue(holder, out var until) && now < until;

    public void Avoid(string holder, TimeSpan until, TimeSpan now)
    {
        foreach (var (other, end) in Avoided)
        {
            if (end <= now)
            {
                Avoided.Remove(other);
            }
        }

        Avoided[holder] = until;
    }

    /// <summary>It says what it wants now.</summary>
    public void Wants(IEnumerable<PieceRun> runs) => WantedRuns = [.. runs.Take(MostRuns).Select(run => (run.First, run.Count))];

    /// <summary>The size is known, and so what the runs mean.</summary>
    public void NoteWanted(ContentLayout layout)
    {
        var runs = WantedRuns;
        WantedRuns = [];
        Wanted = SegmentsOf(runs, layout);
        WantedFirst = runs is [var (first, count), ..] && count > 0 ? (int)Math.Min(first, (uint)layout.PieceCount) / layout.PiecesPerSegment : -1;
    }

    private static PieceSet? SegmentsOf((uint First, uint Count)[] runs, ContentLayout layout)
    {
        if (runs.Length == 0)
        {
            return null;
        }

        var pieces = new PieceSet(layout.PieceCount);
        Array.ForEach(runs, run => pieces.AddRun(run.First, run.Count));
        var segments = new PieceSet(layout.SegmentCount);
        for (var piece = pieces.NextSet(0); piece >= 0; piece = pieces.NextSet(piece + 1))
        {
            segments.Add(piece / layout.PiecesPerSegment);
        }

        return segments;
    }

    public void Assign(string node, int segment)
    {
        foreach (var assignment in _pending.Assigned)
        {
            if (assignment.Node == node)
            {
                assignment.Segments.Add(new SegmentRun { First = (uint)segment, Count = 1 });
                return;
            }
        }

        _pending.Assigned.Add(new Assignment { Node = node, Segments = { new SegmentRun { First = (uint)segment, Count = 1 } } });
    }

    /// <summary>The node holds nothing any more, not even for what has not been pushed yet.</summary>
    public void Forget(string holder)
    {
        if (!Sample.Remove(holder))
        {
            return;
        }

        for (var i = _pending.Holders.Count - 1; i >= 0; i--)
        {
            if (_pending.Holders[i].Node == holder)
            {
                _pending.Holders.RemoveAt(i);
            }
        }

        _pending.Gone.Add(holder);
    }

    /// <summary>There is something to tell.</summary>
    public bool HasPending =>
        _pending.Assigned.Count > 0 || _pending.Granted.Count > 0 || _pending.Revoked.Count > 0 || _pending.Reclaimed.Count > 0 || _pending.Holders.Count > 0
        || _pending.Gone.Count > 0 || _pending.Checksums.Count > 0 || _pending.Size > 0 || _pending.MediaType.Length > 0
        || _pending.State != LookupState.Unspecified || _pending.OriginPauseMs > 0;

    public LookupResponse TakePending()
    {
        var pending = _pending;
        _pending = new LookupResponse();
        return pending;
    }
}
