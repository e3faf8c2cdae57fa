using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>
/// What a requester does with what it is granted: reads from the origin what readers need of it, in requests that grow while nobody else
/// comes, and gives back the rest. Not thread-safe.
/// </summary>
/// <param name="policy">Constants.</param>
/// <param name="table">What is here, granted, and under way.</param>
/// <param name="demands">What is needed.</param>
/// <param name="actions">Takes what is to be done.</param>
internal sealed class OriginGrants(DownloaderPolicy policy, PieceTable table, ReaderDemands demands, List<DownloadAction> actions)
{
    private readonly PieceSet _granted = table.Granted;

    /// <summary>Bytes of the next request.</summary>
    private int _length = FirstLength(policy, table);

    /// <summary>The word may be older than what has arrived meanwhile, which must neither be read nor be given back.</summary>
    public void Add(SegmentRun run)
    {
        var (first, end) = PiecesOf(run);
        for (var piece = first < end ? table.Have.NextClear((int)first) : -1; piece >= 0 && piece < end; piece = table.Have.NextClear(piece + 1))
        {
            _granted.Add(piece);
        }
    }

    public void Revoke(SegmentRun run)
    {
        var (first, end) = PiecesOf(run);
        for (var piece = first; piece < end; piece++)
        {
            _granted.Remove((int)piece);
        }

        // A read that runs into revoked pieces has stalled there; what is behind them is granted still and read anew.
        foreach (var request in table.Requests.Where(request => request.Node is null && request.First < end && request.First + request.Count > first))
        {
            actions.Add(new DownloadAction.Cancel(request.Id));
        }
    }

    /// <summary>Others read, too: what is asked for in one go can't be given to them.</summary>
    public void Reclaim(IEnumerable<SegmentRun> runs)
    {
        _length = FirstLength(policy, table);
        GiveBackIdle(runs);
    }

    /// <summary>Void are those that are not being read.</summary>
    public void KeepWhatIsRead()
    {
        foreach (var piece in SegmentRuns.Numbers(_granted))
        {
            if (!table.InFlight.Contains(piece))
            {
                _granted.Remove(piece);
            }
        }
    }

    /// <summary>
    /// Gives back those of the granted segments that are not being read. Whoever gets one reads all of it, so one that is
    /// here in part stays when a reader needs the rest.
    /// </summary>
    public void GiveBackIdle(IEnumerable<SegmentRun> runs)
    {
        var idle = new List<int>();
        foreach (var segment in SegmentRuns.Numbers(SegmentRuns.ToSet(runs, table.Layout)))
        {
            var (first, end) = SegmentRuns.PiecesOf(segment, table.Layout);
            var pieces = Enumerable.Range(first, end - first);
            if (pieces.Any(_granted.Contains) && !pieces.Any(table.InFlight.Contains) && !(table.IsBegun(segment) && pieces.Any(piece => _granted.Contains(piece) && demands.Include(piece))))
            {
                foreach (var piece in pieces)
                {
                    _granted.Remove(piece);
                }

                idle.Add(segment);
            }
        }

        if (idle.Count > 0)
        {
            actions.Add(new DownloadAction.GiveBack([.. SegmentRuns.Of(idle)], OriginFailed: false, TimeSpan.Zero));
        }
    }

    /// <summary>Gives back all: the origin is of no use, or asked for this pause.</summary>
    public void GiveBackAll(TimeSpan pause)
    {
        var segments = new PieceSet(table.Layout.SegmentCount);
        foreach (var piece in SegmentRuns.Numbers(_granted))
        {
            segments.Add(piece / table.Layout.PiecesPerSegment);
        }

        _granted.Clear();
        actions.Add(new DownloadAction.GiveBack([.. SegmentRuns.Of(SegmentRuns.Numbers(segments))], OriginFailed: true, pause));
    }

    /// <summary>
    /// Nothing that was granted is here any more. What had been read of it is not granted here, but to its owner, who was not told, it is:
    /// all is given back.
    /// </summary>
    public void StartOver()
    {
        _granted.Clear();
        _length = FirstLength(policy, table);
        actions.Add(new DownloadAction.GiveBack([new SegmentRun { Count = (uint)table.Layout.SegmentCount }], OriginFailed: false, TimeSpan.Zero));
    }

    /// <summary>A request has brought all that it was for: the next one may be longer.</summary>
    public void Succeeded() => _length = Math.Min(policy.LongestOriginRead, 2 * _length);

    /// <summary>Asks for what is needed of it.</summary>
    public void Read(TimeSpan now)
    {
        // Readers that want different parts do not wait for each other.
        var most = Math.Clamp(demands.All.Length, policy.OriginRequests, policy.MostOriginRequests);
        for (var piece = FirstToRead(); piece >= 0 && table.RequestsToOrigin < most; piece = FirstToRead())
        {
            var count = 1;
            while ((count + 1) * (long)table.Layout.PieceSize <= _length && IsToRead(piece + count))
            {
                count++;
            }

            var request = table.Begin(new PieceRequest(null, piece, count, now));
            actions.Add(new DownloadAction.FetchFromOrigin(request.Id, piece, count, IsGranted: true));
        }
    }

    /// <summary>The most wanted of the granted pieces. What no reader wants yet, and what memory could not hold, stays granted and can be reclaimed.</summary>
    private int FirstToRead()
    {
        foreach (var demand in demands.All)
        {
            for (var piece = _granted.NextSet(demand.Position); piece >= 0 && demand.Includes(piece); piece = _granted.NextSet(piece + 1))
            {
                if (table.IsMissing(piece))
                {
                    return piece;
                }
            }
        }

        return -1;
    }

    private bool IsToRead(int piece) => piece < table.Layout.PieceCount && _granted.Contains(piece) && table.IsMissing(piece) && demands.Include(piece);

    private (long First, long End) PiecesOf(SegmentRun run)
    {
        var first = (long)run.First * table.Layout.PiecesPerSegment;
        return (first, Math.Min(table.Layout.PieceCount, first + ((long)run.Count * table.Layout.PiecesPerSegment)));
    }

    private static int FirstLength(DownloaderPolicy policy, PieceTable table) => Math.Max(table.Layout.SegmentSize, policy.FirstOriginRead);
}
