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

    /// <summary>
    /// Leaves to others the segments of which nothing is needed any more: of what is only fetched ahead, no more than that is fetched, and
    /// their holders' places are for what is. Nobody is blamed.
    /// </summary>
    public void GiveBackUnneeded()
    {
        if (!demands.IsAhead)
        {
            return;
        }

        var unneeded = _assigned.Where(assigned => assigned.Value.Open == 0 && !IsNeeded(assigned.Key)).ToList();
        if (unneeded.Count > 0)
        {
            // First: what still seems to be wanted is assigned again.
            actions.Add(new DownloadAction.AskAgain());
            GiveUp(unneeded);
        }
    }

    /// <summary>Asks for what was not asked for yet.</summary>
    public void Start(TimeSpan now)
    {
        if (demands.IsAhead)
        {
            StartAhead(now);
            return;
        }

        foreach (var (segment, assigned) in _assigned)
        {
            if (assigned.Open > 0)
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

                Start(segment, assigned, piece, count, now);
                piece += count;
            }
        }
    }

    /// <summary>
    /// More may be asked of a peer. What is only fetched ahead shares the link with what readers wait for: hardly anything of it is asked
    /// for once one has waited for long. Ranges that the peer waits for itself take nothing of that.
    /// </summary>
    public bool HasRoomAt(string node, TimeSpan now)
    {
        if (!demands.IsAhead)
        {
            return true;
        }

        var open = 0;
        TimeSpan? waited = null;
        foreach (var request in table.Requests.Where(request => request.Node == node))
        {
            if (request.IsUrgent)
            {
                waited = now - request.Started > (waited ?? TimeSpan.Zero) ? now - request.Started : waited ?? TimeSpan.Zero;
            }
            else if (!request.IsWaiting)
            {
                open++;
            }
        }

        var peer = peers.GetOrAdd(node);
        if (waited >= policy.ReaderPatience)
        {
            return open == 0 && now - peer.LastRange >= policy.AheadInterval;
        }

        var isQuick = peer.UsualTime > TimeSpan.Zero && peer.UsualTime < policy.ReaderPatience;
        return open < (isQuick ? policy.RequestsAheadPerQuickPeer : waited is not null ? 1 : policy.RequestsAheadPerPeer);
    }

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
        var end = request.First + request.Count;
        if (failure is null || (outcome == RangeOutcomeKind.Complete && request.Verdict is null && (assigned.Open > 0 || table.NextMissing(request.First, end) == end)))
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

    /// <summary>
    /// Only what is needed of the segments, a piece at a time: what a reader comes to wait for does not stand behind more than that
    /// on the link.
    /// </summary>
    private void StartAhead(TimeSpan now)
    {
        foreach (var (segment, assigned) in MostWantedFirst(now))
        {
            var (first, end) = SegmentRuns.PiecesOf(segment, table.Layout);
            for (var piece = table.NextMissing(first, end); piece < end && HasRoomAt(assigned.Node, now); piece = table.NextMissing(piece + 1, end))
            {
                if (demands.Include(piece))
                {
                    Start(segment, assigned, piece, count: 1, now);
                }
            }
        }
    }

    private void Start(int segment, Assigned assigned, int piece, int count, TimeSpan now)
    {
        assigned.Open++;
        var request = table.Begin(new PieceRequest(assigned.Node, piece, count, now) { Segment = segment });
        actions.Add(new DownloadAction.FetchFromPeer(request.Id, assigned.Node, piece, count, IsAssigned: true));
    }

    private IEnumerable<KeyValuePair<int, Assigned>> MostWantedFirst(TimeSpan now)
    {
        // What is missing may come another way, so that nobody was to send it.
        var idle = _assigned.Where(assigned => HasRoomAt(assigned.Value.Node, now) && !table.IsRestInFlight(assigned.Key)).ToList();
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
        if (demands.IsAhead)
        {
            GiveUp([.. _assigned.Where(assigned => assigned.Value.Open == 0 && assigned.Value.Node == node)]);
        }
    }

    private void GiveUp(List<KeyValuePair<int, Assigned>> given)
    {
        foreach (var (segment, assigned) in given)
        {
            _assigned.Remove(segment);
            Report(segment, assigned.Node, FetchFailure.Starved);
        }
    }

    /// <summary>Some missing piece of the segment is needed.</summary>
    private bool IsNeeded(int segment)
    {
        var (first, end) = SegmentRuns.PiecesOf(segment, table.Layout);
        for (var piece = first; piece < end; piece++)
        {
            if (!table.Have.Contains(piece) && demands.Include(piece))
            {
                return true;
            }
        }

        return false;
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
