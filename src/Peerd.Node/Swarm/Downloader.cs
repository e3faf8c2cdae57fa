using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;

namespace Peerd.Node.Swarm;

/// <summary>
/// The requester's side of one content: decides what to fetch next and from whom. With an owner it does what the owner
/// assigns and grants; without one it chooses itself among the peers that it knows. Pure: events and time go in, actions
/// come out; no I/O, no clock, no randomness but the seed's. Not thread-safe.
/// </summary>
internal sealed class Downloader
{
    private readonly ContentLayout _layout;
    private readonly DownloaderPolicy _policy;
    private readonly Random _random;
    private readonly KnownPeers _peers;
    private readonly SlownessJudge _slowness;
    private readonly PieceSet _have;
    private readonly PieceSet _gone;
    private readonly PieceSet _inFlight;
    private readonly PieceSet _granted;
    private readonly SortedList<int, Assigned> _assigned = [];
    private readonly Dictionary<int, PieceRequest> _requests = [];
    private readonly List<DownloadAction> _actions = [];
    private readonly List<Demand> _demands = [];
    private PieceSet? _toldWanted;
    private int _toldFirst = -1;
    private TimeSpan _lastProgress;

    /// <summary>The same whoever brought it, also the last resort.</summary>
    private TimeSpan _lastBytes;
    private TimeSpan _originPausedUntil = TimeSpan.MinValue;

    /// <summary>The same as the origin itself told it.</summary>
    private TimeSpan _seenPauseUntil = TimeSpan.MinValue;

    /// <summary>The origin was read while an owner said that it was not to be: no owner's word of a pause counts here any more.</summary>
    private bool _arePausesMadeUp;
    private TimeSpan _ownerlessSpread;
    private TimeSpan? _patience;
    private TimeSpan _lastInquiry;
    private int _lastId;
    private bool _isAhead;
    private int _originRead;
    private bool _originFailed;
    private bool _ownerLost;
    private bool _unavailable;
    private bool _peersAllowed = true;
    private bool _failed;

    /// <param name="layout">Of the content.</param>
    /// <param name="have">Pieces that are here.</param>
    /// <param name="policy">Constants.</param>
    /// <param name="seed">Of all that is random.</param>
    /// <param name="now">The time.</param>
    /// <param name="isWholeTold">The owner was told that all is wanted; else that nothing is.</param>
    public Downloader(ContentLayout layout, PieceSet have, DownloaderPolicy policy, int seed, TimeSpan now, bool isWholeTold = true)
    {
        _layout = layout;
        _have = have.Clone();
        _gone = new PieceSet(layout.PieceCount);
        _policy = policy;
        _random = new Random(seed);
        _peers = new KnownPeers(layout, policy);
        _slowness = new SlownessJudge(layout, policy, now);
        _inFlight = new PieceSet(layout.PieceCount);
        _granted = new PieceSet(layout.PieceCount);
        _lastProgress = now;
        _lastBytes = now;
        _toldWanted = isWholeTold ? null : new PieceSet(layout.PieceCount);
        _originRead = Math.Max(layout.SegmentSize, policy.FirstOriginRead);
    }

    /// <summary>All pieces are here.</summary>
    public bool IsComplete => _have.IsFull;

    /// <summary>Pieces that were asked for and are not here.</summary>
    public int PiecesInFlight => _inFlight.Count;

    /// <summary>No source had what is missing.</summary>
    public bool HasFailed => _failed;

    /// <summary>Ranges that were moved to another holder because they were slow, and those that were left where they were.</summary>
    public (int Moved, int Refused) Hedges => (_slowness.Moved, _slowness.Refused);

    public IReadOnlyList<DownloadAction> TakeActions()
    {
        if (_actions.Count == 0)
        {
            return [];
        }

        var taken = _actions.ToArray();
        _actions.Clear();
        return taken;
    }

    /// <summary>What the readers need; replaces what was said before.</summary>
    /// <param name="demands">The most wanted first.</param>
    /// <param name="now">The time.</param>
    /// <param name="isAhead">All of them are fetched ahead only: readers ask for what they wait for themselves.</param>
    public void DemandsChanged(IEnumerable<Demand> demands, TimeSpan now, bool isAhead = false)
    {
        _isAhead = isAhead;
        _demands.Clear();
        _demands.AddRange(demands);
        _failed = false;
        if (!IsWantTold())
        {
            _actions.Add(new DownloadAction.AskAgain());
        }

        Schedule(now);
    }

    /// <summary>What is wanted, as the owner is told it: empty for all, an empty run for nothing.</summary>
    public IReadOnlyList<PieceRun> TakeWanted()
    {
        _toldWanted = Wanted();
        _toldFirst = FirstDemanded();
        return _toldWanted is null ? []
            : _toldWanted.Count == 0 ? [new PieceRun()]
            : _toldFirst > _toldWanted.NextSet(0) ? [new PieceRun { First = (uint)_toldFirst, Count = 1 }, .. _toldWanted.ToPieceRuns()]
            : [.. _toldWanted.ToPieceRuns()];
    }

    /// <summary>Segments that are being read from the origin with a grant.</summary>
    public IReadOnlyList<SegmentRun> Reading()
    {
        var segments = new PieceSet(_layout.SegmentCount);
        foreach (var request in _requests.Values.Where(request => request is { Node: null, IsLastResort: false }))
        {
            var first = request.First / _layout.PiecesPerSegment;
            segments.AddRun(first, ((request.First + request.Count - 1) / _layout.PiecesPerSegment) - first + 1);
        }

        return [.. SegmentRuns.Of(SegmentRuns.Numbers(segments))];
    }

    /// <summary>What is left of the pause that the origin asked this node for, in milliseconds; 0 when it did not, whatever an owner has said.</summary>
    public uint OriginPauseMs(TimeSpan now) => _seenPauseUntil > now ? (uint)Math.Ceiling((_seenPauseUntil - now).TotalMilliseconds) : 0;

    /// <summary>Segments that are being fetched as an owner assigned them.</summary>
    public IReadOnlyList<Assignment> Fetching() =>
        [.. _assigned.GroupBy(pair => pair.Value.Node, StringComparer.Ordinal)
            .Select(group => new Assignment { Node = group.Key, Segments = { SegmentRuns.Of(group.Select(pair => pair.Key)) } })];

    /// <summary>A session with an owner begins, maybe another one: grants of the former are void unless they are being read.</summary>
    public void SessionStarted()
    {
        for (var piece = _granted.NextSet(0); piece >= 0; piece = _granted.NextSet(piece + 1))
        {
            if (!_inFlight.Contains(piece))
            {
                _granted.Remove(piece);
            }
        }
    }

    /// <summary>A push of the owner.</summary>
    public void Pushed(LookupResponse push, TimeSpan now)
    {
        _ownerLost = false;
        foreach (var node in push.Gone)
        {
            _peers.Find(node)?.Forget();
        }

        foreach (var holder in push.Holders)
        {
            _peers.Learn(holder);
        }

        // In this order: a segment that is taken from a stalled reader is given back to it when no other can read.
        foreach (var run in push.Revoked)
        {
            Revoke(run);
        }

        foreach (var run in push.Granted)
        {
            Grant(run);
            foreach (var segment in _assigned.Keys.Where(segment => segment >= run.First && segment - run.First < run.Count).ToList())
            {
                // Who was to send it reads it no more.
                CancelAssigned(segment);
                _assigned.Remove(segment);
            }
        }

        if (push.Reclaimed.Count > 0)
        {
            // Others read, too: what is asked for in one go can't be given to them.
            _originRead = Math.Max(_layout.SegmentSize, _policy.FirstOriginRead);
            GiveBackIdle(push.Reclaimed);
        }

        foreach (var assignment in push.Assigned)
        {
            Assign(assignment);
        }

        if (push.OriginPauseMs > 0 && !_arePausesMadeUp)
        {
            var pause = TimeSpan.FromMilliseconds(push.OriginPauseMs);
            _originPausedUntil = now + (pause < _policy.LongestOriginPause ? pause : _policy.LongestOriginPause);
            GiveBackIdle([new SegmentRun { Count = (uint)_layout.SegmentCount }]);
        }

        if (push.State != LookupState.Unspecified)
        {
            _unavailable = push.State == LookupState.Unavailable;
        }

        Schedule(now);
    }

    /// <summary>Neither owner nor replica answers. Its grants are void, what it said of holders is all there is.</summary>
    public void OwnerLost(TimeSpan now)
    {
        if (!_ownerLost)
        {
            _ownerlessSpread = (_peers.All.Any() ? _policy.OwnerlessSpreadAmongPeers : _policy.OwnerlessSpread) * _random.NextDouble();
        }

        _ownerLost = true;
        _granted.Clear();
        Schedule(now);
    }

    /// <summary>A frame of a piece is here now, which does not make it whole.</summary>
    public void BytesArrived(int piece, TimeSpan now)
    {
        var isLastResort = false;
        foreach (var request in _requests.Values)
        {
            if (request.Contains(piece))
            {
                isLastResort |= request.IsLastResort;
                request.LastBytes = now;
                request.Unseen = (request.Unseen.InAll, TimeSpan.Zero);
                request.Frames++;
                request.IsWaiting = false;
                _slowness.Arrived(request);
            }
        }

        _lastBytes = now;
        if (!isLastResort)
        {
            // What the last resort brings is no sign that waiting helps.
            _lastProgress = now;
        }
    }

    /// <summary>The peer says that it waits for the next bytes of this request itself.</summary>
    public void Waiting(int id, TimeSpan now)
    {
        if (_requests.TryGetValue(id, out var request) && !request.IsWaiting)
        {
            request.IsWaiting = true;
            if (_isAhead)
            {
                // Another may take its place.
                Schedule(now);
            }
        }
    }

    /// <summary>
    /// What becomes of a piece that is not here, as seen by <paramref name="reader"/>. Only what comes from the origin is
    /// sure to come: what comes from peers an owner has arranged without a circle, or nobody has.
    /// </summary>
    public PieceArrival ArrivalOf(int piece, string? reader)
    {
        var (isFromReader, isFromOthers) = (false, false);
        foreach (var request in _requests.Values.Where(request => request.Contains(piece)))
        {
            if (request.Node is null)
            {
                return PieceArrival.Coming;
            }

            isFromReader |= request.Node == reader;
            isFromOthers |= request.Node != reader;
        }

        if (_assigned.TryGetValue(piece / _layout.PiecesPerSegment, out var assigned) && assigned.Open == 0 && !isFromOthers)
        {
            // It is asked for soon.
            (isFromReader, isFromOthers) = (isFromReader || assigned.Node == reader, assigned.Node != reader);
        }

        return isFromReader && !isFromOthers ? PieceArrival.FromReader : PieceArrival.Expected;
    }

    /// <summary>Adds the pieces that are on their way here from the origin.</summary>
    public void AddIncoming(PieceSet pieces)
    {
        foreach (var request in _requests.Values)
        {
            if (request.Node is null)
            {
                pieces.AddRun(request.First, request.Count);
            }
        }
    }

    /// <summary>A piece is here now, whoever brought it.</summary>
    public void PieceArrived(int piece, TimeSpan now)
    {
        BytesArrived(piece, now);
        _have.Add(piece);
        _gone.Remove(piece);
        _granted.Remove(piece);
        var segment = piece / _layout.PiecesPerSegment;
        if (_assigned.Count > 0 && IsWhole(segment))
        {
            _assigned.Remove(segment);
        }

        Schedule(now);
    }

    /// <summary>The piece is here, as far as was told, or has been and was not asked for since.</summary>
    public bool Had(int piece) => _have.Contains(piece) || _gone.Contains(piece);

    /// <summary>All pieces of the segment that this piece belongs to are here, as far as was told.</summary>
    public bool HasSegmentOf(int piece) => IsWhole(piece / _layout.PiecesPerSegment);

    /// <summary>A piece that was here is gone: evicted or corrupt.</summary>
    /// <param name="piece">Number of the piece.</param>
    /// <param name="wasInMemory">
    /// It had to give way in a node that keeps contents in memory. Losing is the rule then, and too quick for the owner to
    /// follow: what no peer is known to have is read from the origin again without a new grant.
    /// </param>
    /// <param name="now">The time.</param>
    public void PieceLost(int piece, bool wasInMemory, TimeSpan now)
    {
        _have.Remove(piece);
        _gone.Remove(piece);
        if (wasInMemory && !_originFailed && !_peers.All.Any(peer => peer.Pieces.Contains(piece)))
        {
            _granted.Add(piece);
        }

        Schedule(now);
    }

    /// <summary>
    /// Looks for all that is not here any more, and asks for none of it. To be told before the next push: the owner knows of it
    /// by then, and what it assigns and grants anew would pass for what is here already.
    /// </summary>
    /// <param name="here">What is here.</param>
    public void PiecesLost(PieceSet here)
    {
        for (var piece = _have.NextSet(0); piece >= 0; piece = _have.NextSet(piece + 1))
        {
            if (!here.Contains(piece))
            {
                _have.Remove(piece);
                _gone.Add(piece);
            }
        }
    }

    /// <summary>The pieces did not add up to the content: all of them are fetched again.</summary>
    /// <param name="now">The time.</param>
    /// <param name="isTrusting">It was another node that found out. Else peers are not trusted with the content any more.</param>
    public void StartOver(TimeSpan now, bool isTrusting = false)
    {
        _have.Clear();
        _peersAllowed &= isTrusting;
        foreach (var (segment, assigned) in _assigned)
        {
            // Nobody's fault, but the holder has a place again.
            _actions.Add(new DownloadAction.ReportFailed(new FailedFetch { Segment = (uint)segment, Node = assigned.Node, Reason = FetchFailure.Starved }));
        }

        _assigned.Clear();
        _lastProgress = now;
        _lastBytes = now;
        foreach (var id in _requests.Keys)
        {
            _actions.Add(new DownloadAction.Cancel(id));
        }

        _actions.Add(new DownloadAction.AskAgain());
        Schedule(now);
    }

    /// <summary>
    /// A reader waits for a part of this piece: a peer that has it and can be asked for that part at once,
    /// besides all that is decided here otherwise. Null when none is known, or when the piece is arriving already. The end
    /// of the request is told as that of others.
    /// </summary>
    public (int Id, string Node)? AskUrgently(int piece, TimeSpan now)
    {
        if (!_peersAllowed || _requests.Values.Any(request => request is { IsUrgent: false, IsWaiting: false } && request.Contains(piece) && _have.NextClear(request.First) == piece))
        {
            return null;
        }

        var holders = _peers.All.Where(peer => peer.BannedUntil <= now && peer.Held.Contains(piece)).ToList();
        if (holders.Count == 0)
        {
            return null;
        }

        var holder = KnownPeers.Choose(holders, _random);
        return (Add(new PieceRequest(++_lastId, holder.Node, piece, 1, now) { IsUrgent = true }).Id, holder.Node);
    }

    /// <summary>Some peer is known to have the piece whole, so that any part of it can be asked for.</summary>
    public bool IsHeld(int piece) => _peersAllowed && _peers.All.Any(peer => peer.Held.Contains(piece) && !_peers.IsFailing(peer));

    /// <summary>Some peer has the piece, or is said to be receiving it.</summary>
    public bool IsComing(int piece) => _peersAllowed && _peers.IsHeld(piece);

    /// <summary>A request to the origin is under way that was not asked for by an action; returns its id.</summary>
    public int OriginRequestStarted(int first, int count, TimeSpan now)
    {
        var request = Add(new PieceRequest(++_lastId, null, first, count, now));
        Schedule(now);
        return request.Id;
    }

    /// <summary>Peers that have a piece, a few at most.</summary>
    public IReadOnlyList<string> HoldersOf(int piece) =>
        [.. _peers.All.Where(peer => peer.Pieces.Contains(piece)).Select(peer => peer.Node).Take(4)];

    /// <summary>A request to a peer has ended.</summary>
    /// <param name="id">Of the request.</param>
    /// <param name="outcome">How it ended.</param>
    /// <param name="otherHolders">Nodes that the peer named instead of itself.</param>
    /// <param name="pieces">What the peer says to have; empty when it did not say.</param>
    /// <param name="now">The time.</param>
    public void PeerRequestEnded(int id, RangeOutcomeKind outcome, IReadOnlyList<string> otherHolders, IReadOnlyList<PieceRun> pieces, TimeSpan now)
    {
        if (!_requests.Remove(id, out var request))
        {
            return;
        }

        Remove(request);
        var peer = _peers.GetOrAdd(request.Node!);
        peer.Answered();
        _peers.Judge(peer, request.First, request.Count, _have.NextClear(request.First), outcome, now);
        if (request.Verdict == FetchFailure.Slow)
        {
            _peers.Ban(peer, now);
        }

        if (outcome == RangeOutcomeKind.Complete && !request.IsUrgent)
        {
            _slowness.Ended(request, now);
            peer.Took((now - request.Started) / request.Count);
        }

        if (_peersAllowed)
        {
            _peers.LearnFrom(request.Node!, pieces);
        }

        foreach (var node in otherHolders.Where(node => node != request.Node && _peers.Find(node) is not null))
        {
            // Said by a peer, not by the owner: enough to ask, and forgotten when it turns out wrong.
            _peers.GetOrAdd(node).Pieces.Add(request.First);
        }

        EndAssigned(request, outcome);
        Schedule(now);
    }

    /// <summary>A request to the origin has ended.</summary>
    /// <param name="id">Of the request.</param>
    /// <param name="succeeded">False: the origin is of no use to this node, or, when it asked for a pause, not before that is over.</param>
    /// <param name="pause">The pause that the origin asked for; zero when it did not.</param>
    /// <param name="now">The time.</param>
    public void OriginRequestEnded(int id, bool succeeded, TimeSpan pause, TimeSpan now)
    {
        if (!_requests.Remove(id, out var request))
        {
            return;
        }

        Remove(request);
        if (succeeded)
        {
            if (request.IsLastResort && _originPausedUntil > now)
            {
                _arePausesMadeUp = true;
                _originPausedUntil = TimeSpan.MinValue;
            }

            _originRead = Math.Min(_policy.LongestOriginRead, 2 * _originRead);
        }
        else
        {
            _originFailed = pause == TimeSpan.Zero;
            if (pause > TimeSpan.Zero)
            {
                OriginPaused(pause, now);
            }

            GiveBackGrants(pause);
        }

        Schedule(now);
    }

    /// <summary>The origin itself has asked this node for a pause.</summary>
    public void OriginPaused(TimeSpan pause, TimeSpan now) => _originPausedUntil = _seenPauseUntil = now + pause;

    /// <summary>The same, and it was asked for something else: what was granted is given back, and others hear of the pause.</summary>
    public void OriginRefused(TimeSpan pause, TimeSpan now)
    {
        OriginPaused(pause, now);
        GiveBackGrants(pause);
        Schedule(now);
    }

    /// <summary>
    /// A request to the origin was not made: nobody who demanded its pieces may read them there. To be told once they are not
    /// demanded any more; what was granted for it is given back.
    /// </summary>
    public void OriginRequestUnmade(int id, TimeSpan now)
    {
        if (_requests.Remove(id, out var request))
        {
            Remove(request);
            var first = request.First / _layout.PiecesPerSegment;
            // First: who still seems to want what is given back gets it again.
            _actions.Add(new DownloadAction.AskAgain());
            GiveBackIdle([new SegmentRun { First = (uint)first, Count = (uint)(((request.First + request.Count - 1) / _layout.PiecesPerSegment) - first + 1) }]);
            Schedule(now);
        }
    }

    /// <summary>The piece was asked for, or is asked for soon.</summary>
    public bool IsFetching(int piece) => _inFlight.Contains(piece) || _assigned.ContainsKey(piece / _layout.PiecesPerSegment);

    /// <summary>A reader needs the piece now.</summary>
    public bool IsDemanded(int piece) => _demands.Exists(demand => demand.Includes(piece));

    /// <summary>A request has ended without a word. Without effect when its end was told.</summary>
    public void RequestAbandoned(int id, TimeSpan now)
    {
        if (_requests.TryGetValue(id, out var request))
        {
            if (request.Node is null)
            {
                OriginRequestEnded(id, succeeded: false, TimeSpan.Zero, now);
            }
            else
            {
                PeerRequestEnded(id, RangeOutcomeKind.Failed, [], [], now);
            }
        }
    }

    /// <summary>Another reader has come with another way to the origin.</summary>
    public void OriginChanged(TimeSpan now)
    {
        _originFailed = false;
        _failed = false;
        Schedule(now);
    }

    /// <summary>Time passes: to be called every 20 ms or so.</summary>
    public void Tick(TimeSpan now)
    {
        _slowness.Tick(_requests.Values, now);
        foreach (var request in _requests.Values)
        {
            if (request is { Node: not null, Verdict: null, IsUrgent: false } && _slowness.Judge(request, now) is { } verdict)
            {
                request.Verdict = verdict;
                _actions.Add(new DownloadAction.Cancel(request.Id));
            }
        }

        Schedule(now);
    }

    private bool IsWantTold()
    {
        var wanted = Wanted();
        if (_toldWanted is null)
        {
            // It was told that all is wanted.
            return wanted is null || _have.IsFull;
        }

        // What a reader waits for now may have been told as something for later; owners deal in order otherwise.
        var isFirstTold = FirstDemanded() is var first && (first < 0 || first == _toldFirst || first == wanted?.NextSet(0) || _granted.Contains(first) || _inFlight.Contains(first));
        return wanted is not null && isFirstTold && wanted.CountOf(_toldWanted, within: null) == 0 && (wanted.Count > 0 || _toldWanted.Count == 0);
    }

    /// <summary>Missing pieces that readers need; null when that is all that is missing.</summary>
    private PieceSet? Wanted()
    {
        var wanted = new PieceSet(_layout.PieceCount);
        if (!_peersAllowed)
        {
            return wanted;
        }

        if (_demands.Exists(demand => demand.Ahead == int.MaxValue && demand.End >= _layout.PieceCount && demand.Position <= _have.NextClear(0)))
        {
            return null;
        }

        var isAll = true;
        for (var piece = _have.NextClear(0); piece >= 0; piece = _have.NextClear(piece + 1))
        {
            if (IsDemanded(piece))
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

    private void Assign(Assignment assignment)
    {
        foreach (var segment in SegmentRuns.Numbers(SegmentRuns.ToSet(assignment.Segments, _layout)))
        {
            if (!_peersAllowed || IsWhole(segment))
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
                CancelAssigned(segment);
            }
            else if (_assigned.Count >= _policy.MostAssigned)
            {
                return;
            }

            _assigned[segment] = new Assigned(assignment.Node);
            var (first, end) = SegmentRuns.PiecesOf(segment, _layout);
            _peers.GetOrAdd(assignment.Node).Pieces.AddRun(first, end - first);
        }
    }

    private void CancelAssigned(int segment)
    {
        foreach (var request in _requests.Values.Where(request => request.Segment == segment && request.Node == _assigned[segment].Node))
        {
            _actions.Add(new DownloadAction.Cancel(request.Id));
        }
    }

    private void StartAssigned(TimeSpan now)
    {
        foreach (var (segment, assigned) in _isAhead ? MostWantedFirst() : _assigned)
        {
            if (assigned.Open > 0 || !HasRoomAt(assigned.Node))
            {
                continue;
            }

            var (first, end) = SegmentRuns.PiecesOf(segment, _layout);
            for (var piece = NextIdle(first, end); piece < end; piece = NextIdle(piece, end))
            {
                var count = 1;
                while (piece + count < end && NextIdle(piece + count, end) == piece + count)
                {
                    count++;
                }

                assigned.Open++;
                var request = Add(new PieceRequest(++_lastId, assigned.Node, piece, count, now) { Segment = segment });
                _actions.Add(new DownloadAction.FetchFromPeer(request.Id, assigned.Node, piece, count, IsAssigned: true));
                piece += count;
            }
        }
    }

    private IEnumerable<KeyValuePair<int, Assigned>> MostWantedFirst()
    {
        var idle = _assigned.Where(assigned => assigned.Value.Open == 0 && HasRoomAt(assigned.Value.Node) && !IsRestIncoming(assigned.Key)).ToList();
        if (idle.Count < 2)
        {
            return idle;
        }

        var ranks = new Dictionary<int, int>();
        foreach (var (rank, demand) in _demands.Index())
        {
            var end = (int)Math.Min(Math.Min(demand.End, _layout.PieceCount), (long)demand.Position + demand.Ahead);
            for (var piece = _have.NextClear(demand.Position); piece >= 0 && piece < end && ranks.Count < _layout.SegmentCount; piece = _have.NextClear(piece + 1))
            {
                ranks.TryAdd(piece / _layout.PiecesPerSegment, rank);
                piece = Math.Max(piece, ((piece / _layout.PiecesPerSegment) + 1) * _layout.PiecesPerSegment - 1);
            }
        }

        return idle.OrderBy(assigned => ranks.GetValueOrDefault(assigned.Key, int.MaxValue));
    }

    /// <summary>More may be asked of a peer. Ranges that it waits for itself take nothing from what readers wait for.</summary>
    private bool HasRoomAt(string node) =>
        !_isAhead || _requests.Values.Count(request => request.Node == node && request is { IsUrgent: false, IsWaiting: false }) < _policy.RequestsAheadPerPeer;

    private int NextIdle(int from, int end)
    {
        while (from < end && (_have.Contains(from) || _inFlight.Contains(from)))
        {
            from++;
        }

        return from;
    }

    private void EndAssigned(PieceRequest request, RangeOutcomeKind outcome)
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
        if (failure is null || (outcome == RangeOutcomeKind.Complete && request.Verdict is null && (assigned.Open > 0 || IsRestIncoming(request.Segment))))
        {
            return;
        }

        _assigned.Remove(request.Segment);
        _actions.Add(new DownloadAction.ReportFailed(new FailedFetch { Segment = (uint)request.Segment, Node = request.Node, Reason = failure.Value }));
        if (failure is FetchFailure.Unreachable or FetchFailure.Slow or FetchFailure.Starved)
        {
            GiveUpIdle(request.Node);
        }
    }

    /// <summary>What was assigned from a node that has failed and was not begun is left to others; nobody is blamed for that.</summary>
    private void GiveUpIdle(string node)
    {
        foreach (var (segment, _) in _assigned.Where(assigned => _isAhead && assigned.Value.Open == 0 && assigned.Value.Node == node).ToList())
        {
            _assigned.Remove(segment);
            _actions.Add(new DownloadAction.ReportFailed(new FailedFetch { Segment = (uint)segment, Node = node, Reason = FetchFailure.Starved }));
        }
    }

    /// <summary>What is missing of the segment comes another way, so that nobody was to send it.</summary>
    private bool IsRestIncoming(int segment)
    {
        var (first, end) = SegmentRuns.PiecesOf(segment, _layout);
        return NextIdle(first, end) == end;
    }

    private bool IsBegun(int segment)
    {
        var (first, end) = SegmentRuns.PiecesOf(segment, _layout);
        return _have.NextSet(first) is var piece && piece >= 0 && piece < end;
    }

    private bool IsWhole(int segment)
    {
        var (first, end) = SegmentRuns.PiecesOf(segment, _layout);
        var missing = _have.NextClear(first);
        return missing < 0 || missing >= end;
    }

    private void Revoke(SegmentRun run)
    {
        var first = (long)run.First * _layout.PiecesPerSegment;
        var end = Math.Min(_layout.PieceCount, first + ((long)run.Count * _layout.PiecesPerSegment));
        for (var piece = first; piece < end; piece++)
        {
            _granted.Remove((int)piece);
        }

        // A read that runs into revoked pieces has stalled there; what is behind them is granted still and read anew.
        foreach (var request in _requests.Values.Where(request => request.Node is null && request.First < end && request.First + request.Count > first))
        {
            _actions.Add(new DownloadAction.Cancel(request.Id));
        }
    }

    /// <summary>The word may be older than what has arrived meanwhile, which must neither be read nor be given back.</summary>
    private void Grant(SegmentRun run)
    {
        var end = Math.Min(_layout.PieceCount, ((long)run.First + run.Count) * _layout.PiecesPerSegment);
        var first = (long)run.First * _layout.PiecesPerSegment;
        for (var piece = first < end ? _have.NextClear((int)first) : -1; piece >= 0 && piece < end; piece = _have.NextClear(piece + 1))
        {
            _granted.Add(piece);
        }
    }

    /// <summary>
    /// Gives back those of the granted segments that are not being read. Whoever gets one reads all of it, so one that is
    /// here in part stays when a reader needs the rest.
    /// </summary>
    private void GiveBackIdle(IEnumerable<SegmentRun> runs)
    {
        var idle = new List<int>();
        foreach (var segment in SegmentRuns.Numbers(SegmentRuns.ToSet(runs, _layout)))
        {
            var (first, end) = SegmentRuns.PiecesOf(segment, _layout);
            var pieces = Enumerable.Range(first, end - first);
            if (pieces.Any(_granted.Contains) && !pieces.Any(_inFlight.Contains) && !(IsBegun(segment) && pieces.Any(piece => _granted.Contains(piece) && IsDemanded(piece))))
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
            _actions.Add(new DownloadAction.GiveBack([.. SegmentRuns.Of(idle)], OriginFailed: false, TimeSpan.Zero));
        }
    }

    private void GiveBackGrants(TimeSpan pause)
    {
        var segments = new PieceSet(_layout.SegmentCount);
        for (var piece = _granted.NextSet(0); piece >= 0; piece = _granted.NextSet(piece + 1))
        {
            segments.Add(piece / _layout.PiecesPerSegment);
        }

        _granted.Clear();
        _actions.Add(new DownloadAction.GiveBack([.. SegmentRuns.Of(SegmentRuns.Numbers(segments))], OriginFailed: true, pause));
    }

    private void Remove(PieceRequest request)
    {
        for (var piece = request.First; piece < request.First + request.Count; piece++)
        {
            // The last resort may be bringing it, too.
            if (!_requests.Values.Any(other => other.Contains(piece)))
            {
                _inFlight.Remove(piece);
            }
        }
    }

    private PieceRequest Add(PieceRequest request)
    {
        _inFlight.AddRun(request.First, request.Count);
        _requests.Add(request.Id, request);
        if (request.Node is { } node)
        {
            _peers.GetOrAdd(node).Asked();
            if (!request.IsUrgent)
            {
                _slowness.Began(node);
            }
        }

        return request;
    }

    private void Schedule(TimeSpan now)
    {
        if (_failed)
        {
            return;
        }

        ReadGranted(now);
        StartAssigned(now);
        if (_ownerLost || (_requests.Count == 0 && now - _lastProgress >= _policy.AssignmentPatience))
        {
            AskPeers(now);
        }

        FallBack(now);
    }

    private void ReadGranted(TimeSpan now)
    {
        // Readers that want different parts do not wait for each other.
        var most = Math.Clamp(_demands.Count, _policy.OriginRequests, _policy.MostOriginRequests);
        for (var piece = FirstToRead(); piece >= 0 && OpenOriginRequests() < most; piece = FirstToRead())
        {
            var count = 1;
            while ((count + 1) * (long)_layout.PieceSize <= _originRead && IsToRead(piece + count))
            {
                count++;
            }

            ReadFromOrigin(piece, count, isGranted: true, now);
        }
    }

    /// <summary>The most wanted of the granted pieces. What no reader wants yet, and what memory could not hold, stays granted and can be reclaimed.</summary>
    private int FirstToRead()
    {
        foreach (var demand in _demands)
        {
            for (var piece = _granted.NextSet(demand.Position); piece >= 0 && demand.Includes(piece); piece = _granted.NextSet(piece + 1))
            {
                if (!_have.Contains(piece) && !_inFlight.Contains(piece))
                {
                    return piece;
                }
            }
        }

        return -1;
    }

    private bool IsToRead(int piece) => piece < _layout.PieceCount && _granted.Contains(piece) && !_have.Contains(piece) && !_inFlight.Contains(piece) && IsDemanded(piece);

    private int OpenOriginRequests() => _requests.Values.Count(request => request.Node is null);

    private void ReadFromOrigin(int first, int count, bool isGranted, TimeSpan now)
    {
        var request = Add(new PieceRequest(++_lastId, null, first, count, now) { IsLastResort = !isGranted });
        _actions.Add(new DownloadAction.FetchFromOrigin(request.Id, first, count, isGranted));
    }

    private void AskPeers(TimeSpan now)
    {
        if (!_peersAllowed)
        {
            return;
        }

        while (_requests.Count - OpenOriginRequests() < _policy.Requests)
        {
            var usable = _peers.All.Where(peer => peer.BannedUntil <= now && peer.Open < _policy.RequestsPerPeer && HasRoomAt(peer.Node) && peer.Pieces.Count > 0).ToList();
            var candidates = usable.Count == 0 ? [] : Candidates(usable);
            if (candidates.Count == 0)
            {
                Inquire(now);
                return;
            }

            // Half in the order of reading, half anywhere: what everybody fetches in order nobody can give to another.
            var piece = _lastId % 2 == 0 ? candidates[0] : candidates[_random.Next(candidates.Count)];
            var holders = usable.Where(peer => peer.Pieces.Contains(piece)).ToList();
            var holder = KnownPeers.Choose(holders, _random);
            var request = Add(new PieceRequest(++_lastId, holder.Node, piece, RunLength(holder, piece, usable.Count), now));
            _actions.Add(new DownloadAction.FetchFromPeer(request.Id, holder.Node, piece, request.Count, IsAssigned: false));
        }
    }

    /// <summary>Nobody is known to have what is missing: asks some peer for it, which tells at least what it has by now.</summary>
    private void Inquire(TimeSpan now)
    {
        var missing = FirstDemanded();
        if (missing < 0 || !IsIdle(missing) || now - _lastInquiry < _policy.InquiryInterval)
        {
            return;
        }

        var peers = _peers.All.Where(peer => peer.BannedUntil <= now && peer.Open == 0).ToList();
        if (peers.Count > 0)
        {
            _lastInquiry = now;
            var peer = peers[_random.Next(peers.Count)];
            var request = Add(new PieceRequest(++_lastId, peer.Node, missing, 1, now));
            _actions.Add(new DownloadAction.FetchFromPeer(request.Id, peer.Node, missing, 1, IsAssigned: false));
        }
    }

    /// <summary>Missing pieces that a usable peer has, the most wanted first.</summary>
    private List<int> Candidates(List<KnownPeer> usable)
    {
        var candidates = new List<int>();
        foreach (var demand in _demands)
        {
            var end = Math.Min(Math.Min(demand.End, _layout.PieceCount), demand.Ahead > _layout.PieceCount ? int.MaxValue : demand.Position + demand.Ahead);
            for (var piece = _have.NextClear(demand.Position); piece >= 0 && piece < end && candidates.Count < _policy.Window * _layout.PiecesPerSegment; piece = _have.NextClear(piece + 1))
            {
                if (IsIdle(piece) && usable.Exists(peer => peer.Pieces.Contains(piece)))
                {
                    candidates.Add(piece);
                }
            }
        }

        return candidates;
    }

    private bool IsIdle(int piece) => !_have.Contains(piece) && !_inFlight.Contains(piece) && !_granted.Contains(piece);

    private int RunLength(KnownPeer peer, int first, int usablePeers)
    {
        // With several peers a range is no longer than a segment, so that all of them have something to do.
        var longest = Math.Max(1, _policy.LongestRange / _layout.PieceSize);
        longest = usablePeers > 1 ? Math.Min(longest, _layout.PiecesPerSegment) : longest;
        var count = 1;
        while (count < longest && first + count < _layout.PieceCount && peer.Pieces.Contains(first + count) && IsIdle(first + count) && IsDemanded(first + count))
        {
            count++;
        }

        return count;
    }

    /// <summary>Nothing is under way: read from the origin without a grant, or give up.</summary>
    private void FallBack(TimeSpan now)
    {
        var missing = FirstDemanded();
        if (missing < 0)
        {
            _lastProgress = now;
            _lastBytes = now;
            return;
        }

        // After a pause the owner has to deal first, or all nodes would read the same at the same moment.
        var waited = now - (_originPausedUntil <= now && _originPausedUntil > _lastProgress ? _originPausedUntil : _lastProgress);
        if (waited < _policy.OwnerlessPatience)
        {
            // Nearly always: who has what needs no look then.
            return;
        }

        var isIdle = _requests.Count == 0;

        // Without an owner, those who wait for each other wait for nothing. What was not assigned is waited for only by who
        // reads it from the origin.
        var isStuck = isIdle || (_ownerLost && _requests.Values.All(request => request.IsWaiting && (request.Segment >= 0 || waited >= _policy.StarvedPatience)));
        var isAlone = _ownerLost || _unavailable || !_peersAllowed || _peers.IsHeldByFailingOnly(missing);
        if (waited < (isAlone ? _policy.OwnerlessPatience + _ownerlessSpread : _policy.Patience) || (!isStuck && waited < _policy.Patience))
        {
            return;
        }

        if (_originPausedUntil > now)
        {
            // Of what is under way nothing has come for as long, either: who waits must not be held up by an owner that makes up pauses.
            if ((isIdle || waited >= 2 * _policy.Patience) && _originPausedUntil - now > _policy.Patience)
            {
                GiveUp();
            }
            else if (_seenPauseUntil <= now && now - _lastBytes >= 2 * _policy.Patience)
            {
                // Be they short, again and again: the origin itself is asked whether that is so.
                if (!_originFailed && OpenOriginRequests() == 0)
                {
                    ReadWithoutGrant(missing, now);
                }
                else if (_originFailed && isIdle && !(_peersAllowed && _peers.IsHeld(missing)))
                {
                    GiveUp();
                }
            }

            return;
        }

        if (!_originFailed)
        {
            if (OpenOriginRequests() == 0 && (isAlone || waited >= (_patience ??= _policy.Patience + (_policy.PatienceSpread * _random.NextDouble()))))
            {
                ReadWithoutGrant(missing, now);
            }

            return;
        }

        if (isIdle && (_ownerLost || _unavailable || waited >= 2 * _policy.Patience) && !(_peersAllowed && _peers.IsHeld(missing)))
        {
            GiveUp();
        }
    }

    private void GiveUp()
    {
        _failed = true;
        _actions.Add(new DownloadAction.Fail());
    }

    private void ReadWithoutGrant(int missing, TimeSpan now)
    {
        // Others may be doing the same: every other time something else than what all of them need first.
        var first = _lastId % 2 == 0 ? missing : SomeMissing(missing);

        // No more than a segment at a time: the owner may come back.
        var end = Math.Min(_layout.PieceCount, ((first / _layout.PiecesPerSegment) + 1) * _layout.PiecesPerSegment);
        var count = 1;
        while (first + count < end && !_have.Contains(first + count) && !_inFlight.Contains(first + count))
        {
            count++;
        }

        ReadFromOrigin(first, count, isGranted: false, now);
    }

    private int SomeMissing(int first)
    {
        var piece = _have.NextClear(_random.Next(first, _layout.PieceCount));
        return piece >= 0 && IsDemanded(piece) && !_inFlight.Contains(piece) ? piece : first;
    }

    private int FirstDemanded()
    {
        foreach (var demand in _demands)
        {
            var piece = _have.NextClear(demand.Position);
            if (piece >= 0 && demand.Includes(piece))
            {
                return piece;
            }
        }

        return -1;
    }

    private sealed class Assigned(string node)
    {
        public string Node { get; } = node;

        /// <summary>Requests for it that are under way.</summary>
        public int Open { get; set; }
    }
}
