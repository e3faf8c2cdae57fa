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
    /// <summary>Readers wait for the end of a pause that is no longer: then what they need is read once for all.</summary>
    private static readonly TimeSpan ShortPause = TimeSpan.FromSeconds(2);

    private readonly ContentLayout _layout;
    private readonly DownloaderPolicy _policy;
    private readonly Random _random;
    private readonly KnownPeers _peers;
    private readonly SlownessJudge _slowness;
    private readonly PieceTable _table;
    private readonly ReaderDemands _demands;
    private readonly AssignedSegments _assigned;
    private readonly OriginGrants _grants;
    private readonly OriginPauses _pauses;
    private readonly OwnerlessFetches _ownerless;
    private readonly PieceSet _gone;
    private readonly List<DownloadAction> _actions = [];
    private TimeSpan _lastProgress;

    /// <summary>The same whoever brought it, also the last resort.</summary>
    private TimeSpan _lastBytes;
    private TimeSpan _ownerlessSpread;
    private TimeSpan? _patience;
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
        _gone = new PieceSet(layout.PieceCount);
        _policy = policy;
        _random = new Random(seed);
        _peers = new KnownPeers(layout, policy);
        _slowness = new SlownessJudge(layout, policy, now);
        _table = new PieceTable(layout, have, _peers, _slowness);
        _demands = new ReaderDemands(_table, isWholeTold);
        _assigned = new AssignedSegments(policy, _table, _demands, _peers, _actions);
        _grants = new OriginGrants(policy, _table, _demands, _actions);
        _pauses = new OriginPauses(policy);
        _ownerless = new OwnerlessFetches(policy, _table, _demands, _peers, _assigned, _random, _actions);
        _lastProgress = now;
        _lastBytes = now;
    }

    /// <summary>All pieces are here.</summary>
    public bool IsComplete => _table.Have.IsFull;

    /// <summary>Pieces that were asked for and are not here.</summary>
    public int PiecesInFlight => _table.InFlight.Count;

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
        _demands.Set(demands, isAhead);
        _failed = false;
        if (!_demands.IsTold(Wanted()))
        {
            _actions.Add(new DownloadAction.AskAgain());
        }

        Schedule(now);
    }

    /// <summary>What is wanted, as the owner is told it: empty for all, an empty run for nothing.</summary>
    public IReadOnlyList<PieceRun> TakeWanted() => _demands.Tell(Wanted());

    /// <summary>Segments that are being read from the origin with a grant.</summary>
    public IReadOnlyList<SegmentRun> Reading()
    {
        var segments = new PieceSet(_layout.SegmentCount);
        foreach (var request in _table.Requests.Where(request => request is { Node: null, IsLastResort: false }))
        {
            var first = request.First / _layout.PiecesPerSegment;
            segments.AddRun(first, ((request.First + request.Count - 1) / _layout.PiecesPerSegment) - first + 1);
        }

        return [.. SegmentRuns.Of(SegmentRuns.Numbers(segments))];
    }

    /// <summary>What is left of the pause that the origin asked this node for, in milliseconds; 0 when it did not, whatever an owner has said.</summary>
    public uint OriginPauseMs(TimeSpan now) => _pauses.SeenUntil > now ? (uint)Math.Ceiling((_pauses.SeenUntil - now).TotalMilliseconds) : 0;

    /// <summary>Segments that are being fetched as an owner assigned them.</summary>
    public IReadOnlyList<Assignment> Fetching() => _assigned.Told();

    /// <summary>A session with an owner begins, maybe another one: grants of the former are void unless they are being read.</summary>
    public void SessionStarted() => _grants.KeepWhatIsRead();

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
            _grants.Revoke(run);
        }

        foreach (var run in push.Granted)
        {
            _grants.Add(run);
            _assigned.Withdraw(run);
        }

        if (push.Reclaimed.Count > 0)
        {
            _grants.Reclaim(push.Reclaimed);
        }

        if (_peersAllowed)
        {
            foreach (var assignment in push.Assigned)
            {
                _assigned.Assign(assignment);
            }
        }

        if (push.OriginPauseMs > 0 && _pauses.Told(TimeSpan.FromMilliseconds(push.OriginPauseMs), now))
        {
            _grants.GiveBackIdle([new SegmentRun { Count = (uint)_layout.SegmentCount }]);
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
        _table.Granted.Clear();
        Schedule(now);
    }

    /// <summary>A frame of a piece is here now, which does not make it whole.</summary>
    public void BytesArrived(int piece, TimeSpan now)
    {
        var isLastResort = false;
        foreach (var request in _table.Requests)
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
        if (_table.TryGet(id, out var request) && !request.IsWaiting)
        {
            request.IsWaiting = true;
            if (_demands.IsAhead)
            {
                // Another may take its place.
                Schedule(now);
            }
        }
    }

    /// <summary>This node's own limit holds back what the peer sends of this request from now on, or does not any more.</summary>
    /// <param name="id">Of the request.</param>
    /// <param name="isHeld">From now on, or not any more.</param>
    /// <param name="isAhead">It waits behind all that readers wait for.</param>
    /// <param name="now">The time.</param>
    public void HeldBack(int id, bool isHeld, bool isAhead, TimeSpan now)
    {
        if (!_table.TryGet(id, out var request))
        {
            return;
        }

        request.IsHeldAhead = isAhead;
        if (request.HeldSince is { } since)
        {
            request.Held += now - since;
            SlownessJudge.Excuse(request, now - since, now);
            if (!isHeld)
            {
                // What comes is waited for from now on.
                _lastProgress = now;
            }
        }

        request.HeldSince = isHeld ? now : null;
    }

    /// <summary>
    /// What becomes of a piece that is not here, as seen by <paramref name="reader"/>. Only what comes from the origin is
    /// sure to come: what comes from peers an owner has arranged without a circle, or nobody has.
    /// </summary>
    public PieceArrival ArrivalOf(int piece, string? reader)
    {
        if (_demands.IsAhead && _table.IsMissing(piece) && !_demands.Include(piece))
        {
            // Assigned or not: of what is only fetched ahead nothing comes that is not needed.
            return PieceArrival.None;
        }

        var (isFromReader, isFromOthers) = (false, false);
        foreach (var request in _table.Requests.Where(request => request.Contains(piece)))
        {
            if (request.Node is null)
            {
                return PieceArrival.Coming;
            }

            isFromReader |= request.Node == reader;
            isFromOthers |= request.Node != reader;
        }

        if (!isFromOthers && _assigned.ToBeAskedOf(piece / _layout.PiecesPerSegment) is { } node)
        {
            (isFromReader, isFromOthers) = (isFromReader || node == reader, node != reader);
        }

        return isFromReader && !isFromOthers ? PieceArrival.FromReader : PieceArrival.Expected;
    }

    /// <summary>Adds the pieces that are on their way here from the origin.</summary>
    public void AddIncoming(PieceSet pieces)
    {
        foreach (var request in _table.Requests)
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
        _table.Have.Add(piece);
        _gone.Remove(piece);
        _table.Granted.Remove(piece);
        _assigned.PieceArrived(piece / _layout.PiecesPerSegment);
        Schedule(now);
    }

    /// <summary>The piece is here, as far as was told, or has been and was not asked for since.</summary>
    public bool Had(int piece) => _table.Have.Contains(piece) || _gone.Contains(piece);

    /// <summary>All pieces of the segment that this piece belongs to are here, as far as was told.</summary>
    public bool HasSegmentOf(int piece) => _table.IsWhole(piece / _layout.PiecesPerSegment);

    /// <summary>A piece that was here is gone: evicted or corrupt.</summary>
    /// <param name="piece">Number of the piece.</param>
    /// <param name="wasInMemory">
    /// It had to give way in a node that keeps contents in memory. Losing is the rule then, and too quick for the owner to
    /// follow: what no peer is known to have is read from the origin again without a new grant.
    /// </param>
    /// <param name="now">The time.</param>
    public void PieceLost(int piece, bool wasInMemory, TimeSpan now)
    {
        _table.Have.Remove(piece);
        _gone.Remove(piece);
        if (wasInMemory && !_originFailed && !_peers.All.Any(peer => peer.Pieces.Contains(piece)))
        {
            _table.Granted.Add(piece);
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
        for (var piece = _table.Have.NextSet(0); piece >= 0; piece = _table.Have.NextSet(piece + 1))
        {
            if (!here.Contains(piece))
            {
                _table.Have.Remove(piece);
                _gone.Add(piece);
            }
        }
    }

    /// <summary>Peers are not trusted with the content: all comes from the origin. To be called before anything else.</summary>
    public void LeavePeers() => _peersAllowed = false;

    /// <summary>The pieces did not add up to the content: all of them are fetched again.</summary>
    /// <param name="now">The time.</param>
    /// <param name="isTrusting">It was another node that found out. Else peers are not trusted with the content any more.</param>
    public void StartOver(TimeSpan now, bool isTrusting = false)
    {
        _table.Have.Clear();
        _peersAllowed &= isTrusting;
        _assigned.GiveUp();
        _lastProgress = now;
        _lastBytes = now;
        foreach (var request in _table.Requests)
        {
            _actions.Add(new DownloadAction.Cancel(request.Id));
        }

        // First: who still seems to want what is given back gets it again.
        _actions.Add(new DownloadAction.AskAgain());
        if (_peersAllowed)
        {
            // Else nothing is granted anew.
            _grants.StartOver();
        }

        Schedule(now);
    }

    /// <summary>
    /// A reader waits for a part of this piece: a peer that has it and can be asked for that part at once,
    /// besides all that is decided here otherwise. Null when none is known, or when the piece is arriving already. The end
    /// of the request is told as that of others.
    /// </summary>
    public (int Id, string Node)? AskUrgently(int piece, TimeSpan now)
    {
        if (!_peersAllowed || _table.Requests.Any(request => request is { IsUrgent: false, IsWaiting: false } && request.Contains(piece) && _table.Have.NextClear(request.First) == piece))
        {
            return null;
        }

        var holders = _peers.All.Where(peer => peer.BannedUntil <= now && peer.Held.Contains(piece)).ToList();
        if (holders.Count == 0)
        {
            return null;
        }

        var holder = KnownPeers.Choose(holders, _random);
        return (_table.Begin(new PieceRequest(holder.Node, piece, 1, now) { IsUrgent = true }).Id, holder.Node);
    }

    /// <summary>Some peer is known to have the piece whole, so that any part of it can be asked for.</summary>
    public bool IsHeld(int piece) => _peersAllowed && _peers.All.Any(peer => peer.Held.Contains(piece) && !_peers.IsFailing(peer));

    /// <summary>Some peer has the piece, or is said to be receiving it.</summary>
    public bool IsComing(int piece) => _peersAllowed && _peers.IsHeld(piece);

    /// <summary>A request to the origin is under way that was not asked for by an action; returns its id.</summary>
    public int OriginRequestStarted(int first, int count, TimeSpan now)
    {
        var request = _table.Begin(new PieceRequest(null, first, count, now));
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
        if (!_table.TryEnd(id, out var request))
        {
            return;
        }

        var peer = _peers.GetOrAdd(request.Node!);
        peer.Answered();
        _peers.Judge(peer, request.First, request.Count, _table.Have.NextClear(request.First), outcome, now);
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

        _assigned.Ended(request, outcome);
        Schedule(now);
    }

    /// <summary>A request to the origin has ended.</summary>
    /// <param name="id">Of the request.</param>
    /// <param name="succeeded">False: the origin is of no use to this node, or, when it asked for a pause, not before that is over.</param>
    /// <param name="pause">The pause that the origin asked for; zero when it did not.</param>
    /// <param name="now">The time.</param>
    public void OriginRequestEnded(int id, bool succeeded, TimeSpan pause, TimeSpan now)
    {
        if (!_table.TryEnd(id, out var request))
        {
            return;
        }

        if (succeeded)
        {
            if (request.IsLastResort)
            {
                _pauses.WasRead(now);
            }

            _grants.Succeeded();
        }
        else
        {
            _originFailed = pause == TimeSpan.Zero;
            if (pause > TimeSpan.Zero)
            {
                _pauses.Seen(pause, now);
            }

            _grants.GiveBackAll(pause);
        }

        Schedule(now);
    }

    /// <summary>The origin itself has asked this node for a pause.</summary>
    public void OriginPaused(TimeSpan pause, TimeSpan now) => _pauses.Seen(pause, now);

    /// <summary>The same, and it was asked for something else: what was granted is given back, and others hear of the pause.</summary>
    public void OriginRefused(TimeSpan pause, TimeSpan now)
    {
        OriginPaused(pause, now);
        _grants.GiveBackAll(pause);
        Schedule(now);
    }

    /// <summary>
    /// A request to the origin was not made: nobody who demanded its pieces may read them there. To be told once they are not
    /// demanded any more; what was granted for it is given back.
    /// </summary>
    public void OriginRequestUnmade(int id, TimeSpan now)
    {
        if (_table.TryEnd(id, out var request))
        {
            var first = request.First / _layout.PiecesPerSegment;
            // First: who still seems to want what is given back gets it again.
            _actions.Add(new DownloadAction.AskAgain());
            _grants.GiveBackIdle([new SegmentRun { First = (uint)first, Count = (uint)(((request.First + request.Count - 1) / _layout.PiecesPerSegment) - first + 1) }]);
            Schedule(now);
        }
    }

    /// <summary>The piece was asked for, or is asked for soon.</summary>
    public bool IsFetching(int piece) => _table.InFlight.Contains(piece) || _assigned.Contains(piece / _layout.PiecesPerSegment);

    /// <summary>The origin is to be left alone for longer than a reader should wait, by an owner's word or its own, and the piece neither comes nor may be read all the same.</summary>
    public bool IsPaused(int piece, TimeSpan now) => _pauses.Until > now + ShortPause && !IsFetching(piece) && !_table.Granted.Contains(piece);

    /// <summary>A reader needs the piece now.</summary>
    public bool IsDemanded(int piece) => _demands.Include(piece);

    /// <summary>A request has ended without a word. Without effect when its end was told.</summary>
    public void RequestAbandoned(int id, TimeSpan now)
    {
        if (_table.TryGet(id, out var request))
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
        _slowness.Tick(_table.Requests, now);
        foreach (var request in _table.Requests)
        {
            if (request is { Node: not null, Verdict: null, IsUrgent: false } && Judge(request, now) is { } verdict)
            {
                request.Verdict = verdict;
                _actions.Add(new DownloadAction.Cancel(request.Id));
            }
        }

        _assigned.GiveBackUnneeded();
        Schedule(now);
    }

    /// <summary>Why the request should be given up; null when it should not.</summary>
    private FetchFailure? Judge(PieceRequest request, TimeSpan now) =>
        request.HeldSince is not { } since ? _slowness.Judge(request, now)
            // Somebody waits for it by now, and must not do so behind all others; or it keeps a place at the peer that others need more.
            : request.IsHeldAhead && (!_demands.IsAhead || now - since > _policy.StarvedPatience) ? FetchFailure.Starved
            : null;

    /// <summary>Missing pieces that readers need; null when that is all that is missing. An owner has nothing for who trusts no peers.</summary>
    private PieceSet? Wanted() => _peersAllowed ? _demands.Wanted() : new PieceSet(_layout.PieceCount);

    private void Schedule(TimeSpan now)
    {
        if (_failed)
        {
            return;
        }

        if (_demands.All.IsEmpty)
        {
            // Nobody needs to look again.
            _assigned.GiveBackUnneeded();
        }

        _grants.Read(now);
        _assigned.Start(now);
        if (_peersAllowed && (_ownerLost || (_table.Requests.Count == 0 && now - _lastProgress >= _policy.AssignmentPatience)))
        {
            _ownerless.Ask(now);
        }

        FallBack(now);
    }

    /// <summary>Nothing is under way: read from the origin without a grant, or give up.</summary>
    private void FallBack(TimeSpan now)
    {
        var missing = _demands.First();
        if (missing < 0)
        {
            _lastProgress = now;
            _lastBytes = now;
            return;
        }

        // After a pause the owner has to deal first, or all nodes would read the same at the same moment.
        var waited = now - (_pauses.Until <= now && _pauses.Until > _lastProgress ? _pauses.Until : _lastProgress);
        if (waited < _policy.OwnerlessPatience)
        {
            // Nearly always: who has what needs no look then.
            return;
        }

        if (_table.Requests.Any(request => request.HeldSince is { } since && now - since < 2 * _policy.Patience))
        {
            // It comes when this node may take it. To read it elsewhere would only go around the limit. But what goes before it may
            // never end, and nothing is to wait for that.
            _lastProgress = now;
            return;
        }

        var isIdle = _table.Requests.Count == 0;

        // Without an owner, those who wait for each other wait for nothing. What was not assigned is waited for only by who
        // reads it from the origin.
        var isStuck = isIdle || (_ownerLost && _table.Requests.All(request => request.IsWaiting && (request.Segment >= 0 || waited >= _policy.StarvedPatience)));
        var isAlone = _ownerLost || _unavailable || !_peersAllowed || _peers.IsHeldByFailingOnly(missing);
        if (waited < (isAlone ? _policy.OwnerlessPatience + _ownerlessSpread : _policy.Patience) || (!isStuck && waited < _policy.Patience))
        {
            return;
        }

        if (_pauses.Until > now)
        {
            // Of what is under way nothing has come for as long, either: who waits must not be held up by an owner that makes up pauses. What
            // this node's own limit holds back does come: no peer is wrong. But what no peer has does not come with it.
            var isHeldBack = _table.Requests.Any(request => request.HeldSince is not null && (request.Contains(missing) || _peers.IsHeld(missing)));
            if ((isIdle || (waited >= 2 * _policy.Patience && !isHeldBack)) && _pauses.Until - now > _policy.Patience)
            {
                GiveUp();
            }
            else if (_pauses.SeenUntil <= now && now - _lastBytes >= 2 * _policy.Patience)
            {
                // Be they short, again and again: the origin itself is asked whether that is so.
                if (!_originFailed && _table.RequestsToOrigin == 0)
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
            if (_table.RequestsToOrigin == 0 && (isAlone || waited >= (_patience ??= _policy.Patience + (_policy.PatienceSpread * _random.NextDouble()))))
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
        var first = _table.Begun % 2 == 0 ? missing : SomeMissing(missing);

        // No more than a segment at a time: the owner may come back.
        var end = Math.Min(_layout.PieceCount, ((first / _layout.PiecesPerSegment) + 1) * _layout.PiecesPerSegment);
        var count = 1;
        while (first + count < end && _table.IsMissing(first + count))
        {
            count++;
        }

        var request = _table.Begin(new PieceRequest(null, first, count, now) { IsLastResort = true });
        _actions.Add(new DownloadAction.FetchFromOrigin(request.Id, first, count, IsGranted: false));
    }

    private int SomeMissing(int first)
    {
        var piece = _table.Have.NextClear(_random.Next(first, _layout.PieceCount));
        return piece >= 0 && IsDemanded(piece) && !_table.InFlight.Contains(piece) ? piece : first;
    }
}
