using Peerd.Contracts.V1;
using Peerd.Node.Mesh;

namespace Peerd.Node.Swarm;

/// <summary>The segments that the owner of one content has assigned, each from one peer, until they are here or could not be fetched. Not thread-safe.</summary>
/// <param name="policy">Constants.</param>
/// <param name="table">What is here and under way.</param>
/// <param name="demands">What is needed.</param>
/// <param name="peers">Those that are known.</param>
/// <param name="actions">Takes what is to be done.</param>
internal sealed class AssignedSegments(DownloaderPolicy policy, PieceTable table, ReaderDemands demands, KnownPeers peers, List<DownloadAction> actions)
{
    private readonly SortedList<int, Assigned> _assigned = [];

    public bool Contains(int segment) => _assigned.ContainsKey(segment);

    /// <summary>Of whom the segment is asked soon; null when it is not assigned, or asked for already.</summary>
    public string? ToBeAskedOf(int segment) => _assigned.TryGetValue(segment, out var assigned) && assigned.Open == 0 ? assigned.Node : null;

    /// <summary>All, as an owner is told them.</summary>
    public IReadOnlyList<Assignment> Told() =>
        [.. _assigned.GroupBy(static pair => pair.Value.Node, StringComparer.Ordinal)
            .Select(static group => new Assignment { Node = group.Key, Segments = { SegmentRuns.Of(group.Select(static pair => pair.Key)) } })];

    /// <summary>The owner assigns these.</summary>
    public void Assign(Assignment assignment)
    {
        foreach (var segment in SegmentRuns.Numbers(SegmentRuns.ToSet(assignment.Segments, table.Layout)))
        {
            if (table.IsWhole(segment))
            {
                // The owner learns so from what it is told anyway.
                continue;
            }

            if (_assigned.TryGetValue(segment, out var former))
            {
                if (former.Node == assignment.Node)
                {
                    continue;
                }

                // The owner knows better now.
                Cancel(segment);
            }
            else if (_assigned.Count >= policy.MostAssigned)
            {
                return;
            }

            _assigned[segment] = new Assigned(assignment.Node);
            var (first, end) = SegmentRuns.PiecesOf(segment, table.Layout);
            peers.GetOrAdd(assignment.Node).Pieces.AddRun(first, end - first);
        }
    }

    /// <summary>These are granted: who was to send them reads them no more.</summary>
    public void Withdraw(SegmentRun granted)
    {
        foreach (var segment in _assigned.Keys.Where(segment => segment >= granted.First && segment - granted.First < granted.Count).ToList())
        {
            Cancel(segment);
            _assigned.Remove(segment);
        }
    }

    /// <summary>A piece of the segment is here now.</summary>
    public void PieceArrived(int segment)
    {
        if (_assigned.Count > 0 && table.IsWhole(segment))
        {
            _assigned.Remove(segment);
        }
    }

    /// <summary>All begins anew: nobody's fault, but the holders have a place again.</summary>
    public void GiveUp()
    {
        foreach (var (segment, assigned) in _assigned)
        {
            Report(segment, assigned.Node, FetchFailure.Starved);
        }

        _assigned.Clear();
    }

    /// <summary>Asks for what was not asked for yet.</summary>
    public void Start(TimeSpan now)
    {
        foreach (var (segment, assigned) in demands.IsAhead ? MostWantedFirst() : _assigned)
        {
            if (assigned.Open > 0 || !HasRoomAt(assigned.Node))
            {
                continue;
            }

            var (first, end) = SegmentRuns.PiecesOf(segment, table.Layout);
            for (var piece = table.NextMissing(first, end); piece < end; piece = table.NextMissing(piece, end))
            {
                var count = 1;
                while (piece + count < end && table.IsMissing(piece + count))
                {
                    count++;
                }

                assigned.Open++;
                var request = table.Begin(new PieceRequest(assigned.Node, piece, count, now) { Segment = segment });
                actions.Add(new DownloadAction.FetchFromPeer(request.Id, assigned.Node, piece, count, IsAssigned: true));
                piece += count;
            }
        }
    }

    /// <summary>More may be asked of a peer. Ranges that it waits for itself take nothing from what readers wait for.</summary>
    public bool HasRoomAt(string node) =>
        !demands.IsAhead || table.Requests.Count(request => request.Node == node && request is { IsUrgent: false, IsWaiting: false }) < policy.RequestsAheadPerPeer;

    /// <summary>A request to a peer has ended.</summary>
    public void Ended(PieceRequest request, RangeOutcomeKind outcome)
    {
        if (request.Segment < 0 || !_assigned.TryGetValue(request.Segment, out var assigned) || assigned.Node != request.Node || assigned.Open == 0)
        {
            return;
        }

        assigned.Open--;
        FetchFailure? failure = request.Verdict ?? outcome switch
        {
            RangeOutcomeKind.Complete or RangeOutcomeKind.NotHeld => FetchFailure.NotHeld,
            RangeOutcomeKind.Busy => FetchFailure.Busy,
            RangeOutcomeKind.Corrupt => FetchFailure.Corrupt,
            RangeOutcomeKind.Cancelled => null,
            _ => FetchFailure.Unreachable,
        };
        if (failure is null || (outcome == RangeOutcomeKind.Complete && request.Verdict is null && (assigned.Open > 0 || table.IsRestInFlight(request.Segment))))
        {
            return;
        }

        _assigned.Remove(request.Segment);
        Report(request.Segment, request.Node, failure.Value);
        if (failure is FetchFailure.Unreachable or FetchFailure.Slow or FetchFailure.Starved)
        {
            GiveUpIdle(request.Node);
        }
    }

    private IEnumerable<KeyValuePair<int, Assigned>> MostWantedFirst()
    {
        // What is missing may come another way, so that nobody was to send it.
        var idle = _assigned.Where(assigned => assigned.Value.Open == 0 && HasRoomAt(assigned.Value.Node) && !table.IsRestInFlight(assigned.Key)).ToList();
        if (idle.Count < 2)
        {
            return idle;
        }

        var ranks = demands.RankSegments();
        return idle.OrderBy(assigned => ranks.GetValueOrDefault(assigned.Key, int.MaxValue));
    }

    /// <summary>What was assigned from a node that has failed and was not begun is left to others; nobody is blamed for that.</summary>
    private void GiveUpIdle(string node)
    {
        foreach (var (segment, _) in _assigned.Where(assigned => demands.IsAhead && assigned.Value.Open == 0 && assigned.Value.Node == node).ToList())
        {
            _assigned.Remove(segment);
            Report(segment, node, FetchFailure.Starved);
        }
    }

    private void Cancel(int segment)
    {
        foreach (var request in table.Requests.Where(request => request.Segment == segment && request.Node == _assigned[segment].Node))
        {
            actions.Add(new DownloadAction.Cancel(request.Id));
        }
    }

    private void Report(int segment, string node, FetchFailure reason) =>
        actions.Add(new DownloadAction.ReportFailed(new FailedFetch { Segment = (uint)segment, Node = node, Reason = reason }));

    private sealed class Assigned(string node)
    {
        public string Node { get; } = node;

        /// <summary>Requests for it that are under way.</summary>
        public int Open { get; set; }
    }
}
