using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>Constants of the requester's policy.</summary>
internal sealed record DownloaderPolicy
{
    /// <summary>Ranges that are asked of peers at the same moment.</summary>
    public int Requests { get; init; } = 16;

    /// <summary>Ranges that are asked of one peer at the same moment.</summary>
    public int RequestsPerPeer { get; init; } = 4;

    /// <summary>Requests to the origin at the same moment.</summary>
    public int OriginRequests { get; init; } = 2;

    /// <summary>Bytes of one request to the origin at most: what is not asked for yet can be given to others.</summary>
    public int LongestOriginRead { get; init; } = 16 * 1024 * 1024;

    /// <summary>Bytes of one range asked of a peer at most.</summary>
    public int LongestRange { get; init; } = 4 * 1024 * 1024;

    /// <summary>Pieces among which the random half of the requests is chosen, from the first missing one on.</summary>
    public int Window { get; init; } = 256;

    /// <summary>A busy peer is not asked again for this long.</summary>
    public TimeSpan BusyPause { get; init; } = TimeSpan.FromMilliseconds(20);

    /// <summary>A peer that failed is not asked for this long, doubling up to <see cref="LongestBan"/>.</summary>
    public TimeSpan FirstBan { get; init; } = TimeSpan.FromSeconds(1);

    public TimeSpan LongestBan { get; init; } = TimeSpan.FromSeconds(8);

    /// <summary>
    /// A peer that failed so many times in a row is not counted on. With the bans between them this takes longer than
    /// owners need to forget a dead node: what it held is then read once, not by everybody.
    /// </summary>
    public int FailuresToDistrust { get; init; } = 4;

    /// <summary>Without an owner, this long without anything under way leads straight to the origin.</summary>
    public TimeSpan OwnerlessPatience { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>With an owner, this long without anything arriving leads straight to the origin: the last resort.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(10);
}

/// <summary>What a downloader wants done. Each request has an id under which its end is reported.</summary>
internal abstract record DownloadAction
{
    /// <summary>Ask a peer for a run of pieces.</summary>
    internal sealed record FetchFromPeer(int Id, string Node, int First, int Count) : DownloadAction;

    /// <summary>Read a run of pieces from the origin.</summary>
    internal sealed record FetchFromOrigin(int Id, int First, int Count, bool IsGranted) : DownloadAction;

    /// <summary>Stop a request.</summary>
    internal sealed record Cancel(int Id) : DownloadAction;

    /// <summary>Tell the owner that these segments will not be read.</summary>
    internal sealed record GiveBack(IReadOnlyList<SegmentRun> Segments, bool OriginFailed) : DownloadAction;

    /// <summary>No source has what is missing.</summary>
    internal sealed record Fail : DownloadAction;
}

/// <summary>What a reader still needs: the pieces from its position up to an end, and how many beyond its position to have ready.</summary>
internal readonly record struct Demand(int Position, int End, int Ahead);

/// <summary>
/// The requester's side of one content: decides what to fetch next and from whom. Pure: events and time go in, actions
/// come out; no I/O, no clock, no randomness but the seed's. Not thread-safe.
/// </summary>
internal sealed class Downloader
{
    private readonly ContentLayout _layout;
    private readonly DownloaderPolicy _policy;
    private readonly Random _random;
    private readonly PieceSet _have;
    private readonly PieceSet _inFlight;
    private readonly PieceSet _granted;
    private readonly SortedDictionary<string, Peer> _peers = new(StringComparer.Ordinal);
    private readonly Dictionary<int, Request> _requests = [];
    private readonly List<DownloadAction> _actions = [];
    private readonly List<Demand> _demands = [];
    private TimeSpan _lastProgress;
    private int _lastId;
    private bool _originFailed;
    private bool _ownerLost;
    private bool _unavailable;
    private bool _peersAllowed = true;
    private bool _failed;

    public Downloader(ContentLayout layout, PieceSet have, DownloaderPolicy policy, int seed, TimeSpan now)
    {
        _layout = layout;
        _have = have.Clone();
        _policy = policy;
        _random = new Random(seed);
        _inFlight = new PieceSet(layout.PieceCount);
        _granted = new PieceSet(layout.PieceCount);
        _lastProgress = now;
    }

    /// <summary>All pieces are here.</summary>
    public bool IsComplete => _have.IsFull;

    /// <summary>No source had what is missing.</summary>
    public bool HasFailed => _failed;

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
    public void DemandsChanged(IEnumerable<Demand> demands, TimeSpan now)
    {
        _demands.Clear();
        _demands.AddRange(demands);
        _failed = false;
        Schedule(now);
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

        return [.. segments.Runs().Select(run => new SegmentRun { First = (uint)run.First, Count = (uint)run.Count })];
    }

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
            _peers.Remove(node);
        }

        foreach (var holder in push.Holders)
        {
            Learn(holder);
        }

        // In this order: a segment that is taken from a stalled reader is given back to it when no other can read.
        foreach (var run in push.Revoked)
        {
            Revoke(run);
        }

        foreach (var run in push.Granted)
        {
            _granted.AddRun((long)run.First * _layout.PiecesPerSegment, (long)run.Count * _layout.PiecesPerSegment);
        }

        GiveBackIdle(push.Reclaimed);

        if (push.State != LookupState.Unspecified)
        {
            _unavailable = push.State == LookupState.Unavailable;
        }

        Schedule(now);
    }

    /// <summary>Neither owner nor replica answers. Its grants are void, what it said of holders is all there is.</summary>
    public void OwnerLost(TimeSpan now)
    {
        _ownerLost = true;
        _granted.Clear();
        Schedule(now);
    }

    /// <summary>Some bytes of a piece are here now.</summary>
    public void BytesArrived(int piece, TimeSpan now)
    {
        if (!_requests.Values.Any(request => request.IsLastResort && request.Contains(piece)))
        {
            // What the last resort brings is no sign that waiting helps.
            _lastProgress = now;
        }
    }

    /// <summary>The piece is on its way here: from the origin, or from a peer other than this one.</summary>
    public bool IsIncoming(int piece, string? exceptFrom) =>
        _inFlight.Contains(piece) && _requests.Values.Any(request => request.Contains(piece) && (request.Node is null || request.Node != exceptFrom));

    /// <summary>A piece is here now, whoever brought it.</summary>
    public void PieceArrived(int piece, TimeSpan now)
    {
        BytesArrived(piece, now);
        _have.Add(piece);
        _granted.Remove(piece);
        Schedule(now);
    }

    /// <summary>The piece is here, as far as was told.</summary>
    public bool Has(int piece) => _have.Contains(piece);

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
        if (wasInMemory && !_originFailed && !_peers.Values.Any(peer => peer.Pieces.Contains(piece)))
        {
            _granted.Add(piece);
        }

        Schedule(now);
    }

    /// <summary>The pieces did not add up to the content: peers are not trusted with it any more.</summary>
    public void StartOver(TimeSpan now)
    {
        _have.Clear();
        _peersAllowed = false;
        _lastProgress = now;
        foreach (var id in _requests.Keys.ToList())
        {
            _actions.Add(new DownloadAction.Cancel(id));
        }

        Schedule(now);
    }

    /// <summary>A request to the origin is under way that was not asked for by an action; returns its id.</summary>
    public int OriginRequestStarted(int first, int count, TimeSpan now)
    {
        var id = Add(new Request(null, first, count));
        Schedule(now);
        return id;
    }

    /// <summary>Peers that have a piece, a few at most.</summary>
    public IReadOnlyList<string> HoldersOf(int piece) =>
        [.. _peers.Where(pair => pair.Value.Pieces.Contains(piece)).Select(pair => pair.Key).Take(4)];

    /// <summary>A request to a peer has ended.</summary>
    public void PeerRequestEnded(int id, Mesh.RangeOutcomeKind outcome, IReadOnlyList<string> otherHolders, TimeSpan now)
    {
        if (!_requests.Remove(id, out var request))
        {
            return;
        }

        End(request);
        if (_peers.TryGetValue(request.Node!, out var peer))
        {
            peer.Open--;
            Judge(peer, request, outcome, now);
        }

        foreach (var node in otherHolders.Where(node => node != request.Node && _peers.ContainsKey(node)))
        {
            // Said by a peer, not by the owner: enough to ask, and forgotten when it turns out wrong.
            _peers[node].Pieces.Add(request.First);
        }

        Schedule(now);
    }

    /// <summary>A request to the origin has ended; unless it <paramref name="succeeded"/>, the origin is of no use to this node.</summary>
    public void OriginRequestEnded(int id, bool succeeded, TimeSpan now)
    {
        if (!_requests.Remove(id, out var request))
        {
            return;
        }

        End(request);
        if (!succeeded)
        {
            _originFailed = true;
            GiveBackGrants();
        }

        Schedule(now);
    }

    /// <summary>A request has ended without a word. Without effect when its end was told.</summary>
    public void RequestAbandoned(int id, TimeSpan now)
    {
        if (_requests.TryGetValue(id, out var request))
        {
            if (request.Node is null)
            {
                OriginRequestEnded(id, succeeded: false, now);
            }
            else
            {
                PeerRequestEnded(id, Mesh.RangeOutcomeKind.Failed, [], now);
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

    public void Tick(TimeSpan now) => Schedule(now);

    private void Learn(Holder holder)
    {
        if (!_peers.TryGetValue(holder.Node, out var peer))
        {
            // It may have been told as gone while requests to it were under way.
            _peers.Add(holder.Node, peer = new Peer(_layout.PieceCount) { Open = _requests.Values.Count(request => request.Node == holder.Node) });
        }

        if (holder.Replace)
        {
            peer.Pieces.Clear();
            peer.Held.Clear();
        }

        if (holder.Complete)
        {
            peer.Pieces.Fill();
            peer.Held.Fill();
        }

        foreach (var request in _requests.Values.Where(request => request.Node == holder.Node))
        {
            request.ToldSince.AddRange(holder.Complete ? [new PieceRun { Count = (uint)_layout.PieceCount }] : holder.Pieces);
        }

        peer.Held.AddRuns(holder.Pieces);
        peer.Pieces.AddRuns(holder.Pieces);
        peer.Pieces.AddRuns(holder.Receiving);
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
        foreach (var (id, request) in _requests)
        {
            if (request.Node is null && request.First < end && request.First + request.Count > first)
            {
                _actions.Add(new DownloadAction.Cancel(id));
            }
        }
    }

    /// <summary>Gives back those of the granted segments that are not being read.</summary>
    private void GiveBackIdle(IEnumerable<SegmentRun> runs)
    {
        var idle = new List<SegmentRun>();
        var known = runs.Where(run => run.First < _layout.SegmentCount);
        foreach (var segment in known.SelectMany(run => Enumerable.Range((int)run.First, (int)Math.Min(run.Count, _layout.SegmentCount - run.First))))
        {
            var pieces = Enumerable.Range(segment * _layout.PiecesPerSegment, _layout.PiecesPerSegment);
            if (pieces.Any(_granted.Contains) && !pieces.Any(_inFlight.Contains))
            {
                foreach (var piece in pieces)
                {
                    _granted.Remove(piece);
                }

                idle.Add(new SegmentRun { First = (uint)segment, Count = 1 });
            }
        }

        if (idle.Count > 0)
        {
            _actions.Add(new DownloadAction.GiveBack(idle, OriginFailed: false));
        }
    }

    private void Judge(Peer peer, Request request, Mesh.RangeOutcomeKind outcome, TimeSpan now)
    {
        switch (outcome)
        {
            case Mesh.RangeOutcomeKind.Complete:
                peer.Failures = 0;
                break;
            case Mesh.RangeOutcomeKind.NotHeld:
                // It answers in order up to the first piece that it has not. The owner tells each held piece only once,
                // so what is behind is forgotten only if the peer was still to receive it, and nothing that was told since.
                var stoppedAt = _have.NextClear(request.First);
                for (var piece = request.First; piece < request.First + request.Count; piece++)
                {
                    if (piece == stoppedAt && !request.ToldSince.Exists(run => piece >= run.First && piece - run.First < run.Count))
                    {
                        peer.Held.Remove(piece);
                    }

                    if (!peer.Held.Contains(piece))
                    {
                        peer.Pieces.Remove(piece);
                    }
                }

                break;
            case Mesh.RangeOutcomeKind.Busy:
                peer.BannedUntil = now + _policy.BusyPause;
                break;
            case Mesh.RangeOutcomeKind.Corrupt:
                peer.Pieces.Clear();
                peer.Held.Clear();
                Ban(peer, now);
                break;
            case Mesh.RangeOutcomeKind.Failed:
                Ban(peer, now);
                break;
            case Mesh.RangeOutcomeKind.NotAMember:
                peer.Pieces.Clear();
                peer.Held.Clear();
                break;
        }
    }

    private void Ban(Peer peer, TimeSpan now)
    {
        if (peer.BannedUntil > now)
        {
            // Requests that were under way together fail together, and say no more than one of them.
            return;
        }

        var ban = _policy.FirstBan * Math.Pow(2, Math.Min(10, peer.Failures++));
        peer.BannedUntil = now + (ban < _policy.LongestBan ? ban : _policy.LongestBan);
    }

    private void End(Request request)
    {
        for (var piece = request.First; piece < request.First + request.Count; piece++)
        {
            _inFlight.Remove(piece);
        }
    }

    private void GiveBackGrants()
    {
        var runs = new List<SegmentRun>();
        for (var segment = 0; segment < _layout.SegmentCount; segment++)
        {
            var first = segment * _layout.PiecesPerSegment;
            if (Enumerable.Range(first, _layout.PiecesPerSegment).Any(_granted.Contains))
            {
                runs.Add(new SegmentRun { First = (uint)segment, Count = 1 });
            }
        }

        _granted.Clear();
        _actions.Add(new DownloadAction.GiveBack(runs, OriginFailed: true));
    }

    private void Schedule(TimeSpan now)
    {
        if (_failed)
        {
            return;
        }

        ReadGranted();
        AskPeers(now);
        FallBack(now);
    }

    private void ReadGranted()
    {
        for (var piece = NextToRead(0); piece >= 0 && OpenOriginRequests() < _policy.OriginRequests; piece = NextToRead(piece))
        {
            var count = 1;
            while (count * (long)_layout.PieceSize < _policy.LongestOriginRead && NextToRead(piece + count) == piece + count)
            {
                count++;
            }

            ReadFromOrigin(piece, count, isGranted: true);
        }
    }

    private int NextToRead(int from)
    {
        for (var piece = _granted.NextSet(from); piece >= 0; piece = _granted.NextSet(piece + 1))
        {
            // What no reader wants yet, and what memory could not hold, stays granted and can be reclaimed.
            if (!_have.Contains(piece) && !_inFlight.Contains(piece) && IsDemanded(piece))
            {
                return piece;
            }
        }

        return -1;
    }

    private int OpenOriginRequests() => _requests.Values.Count(request => request.Node is null);

    private void ReadFromOrigin(int first, int count, bool isGranted)
    {
        var id = Add(new Request(null, first, count) { IsLastResort = !isGranted });
        _actions.Add(new DownloadAction.FetchFromOrigin(id, first, count, isGranted));
    }

    private int Add(Request request)
    {
        _inFlight.AddRun(request.First, request.Count);
        _requests.Add(++_lastId, request);
        return _lastId;
    }

    private void AskPeers(TimeSpan now)
    {
        if (!_peersAllowed)
        {
            return;
        }

        while (_requests.Count - OpenOriginRequests() < _policy.Requests)
        {
            var usable = _peers.Where(pair => pair.Value.BannedUntil <= now && pair.Value.Open < _policy.RequestsPerPeer).ToList();
            if (usable.Count == 0)
            {
                return;
            }

            var candidates = Candidates(usable);
            if (candidates.Count == 0)
            {
                return;
            }

            // Half in the order of reading, half anywhere: what everybody fetches in order nobody can give to another.
            var piece = _lastId % 2 == 0 ? candidates[0] : candidates[_random.Next(candidates.Count)];
            var holders = usable.Where(pair => pair.Value.Pieces.Contains(piece)).ToList();
            var fewest = holders.Min(pair => pair.Value.Open);
            holders.RemoveAll(pair => pair.Value.Open > fewest);
            var (node, peer) = holders[_random.Next(holders.Count)];
            var count = RunLength(peer, piece, usable.Count);
            peer.Open++;
            var id = Add(new Request(node, piece, count));
            _actions.Add(new DownloadAction.FetchFromPeer(id, node, piece, count));
        }
    }

    /// <summary>Missing pieces that a usable peer has, the most wanted first.</summary>
    private List<int> Candidates(List<KeyValuePair<string, Peer>> usable)
    {
        var candidates = new List<int>();
        foreach (var demand in _demands)
        {
            var end = Math.Min(Math.Min(demand.End, _layout.PieceCount), demand.Ahead > _layout.PieceCount ? int.MaxValue : demand.Position + demand.Ahead);
            for (var piece = _have.NextClear(demand.Position); piece >= 0 && piece < end && candidates.Count < _policy.Window; piece = _have.NextClear(piece + 1))
            {
                if (!_inFlight.Contains(piece) && !_granted.Contains(piece) && usable.Exists(pair => pair.Value.Pieces.Contains(piece)))
                {
                    candidates.Add(piece);
                }
            }
        }

        return candidates;
    }

    private int RunLength(Peer peer, int first, int usablePeers)
    {
        // With several peers a range is no longer than a segment, so that all of them have something to do.
        var longest = Math.Max(1, _policy.LongestRange / _layout.PieceSize);
        longest = usablePeers > 1 ? Math.Min(longest, _layout.PiecesPerSegment) : longest;
        var count = 1;
        while (count < longest && first + count < _layout.PieceCount && peer.Pieces.Contains(first + count)
            && !_have.Contains(first + count) && !_inFlight.Contains(first + count) && !_granted.Contains(first + count) && IsDemanded(first + count))
        {
            count++;
        }

        return count;
    }

    private bool IsDemanded(int piece) => _demands.Exists(demand => piece >= demand.Position && piece < demand.End && piece - demand.Position < demand.Ahead);

    /// <summary>Nothing is under way: read from the origin without a grant, or give up.</summary>
    private void FallBack(TimeSpan now)
    {
        var missing = FirstDemanded();
        if (missing < 0)
        {
            _lastProgress = now;
            return;
        }

        var waited = now - _lastProgress;
        var idle = _requests.Count == 0;
        var patience = _ownerLost || _unavailable || !_peersAllowed || IsHeldByFailingPeersOnly(missing) ? _policy.OwnerlessPatience : _policy.Patience;
        if (waited < patience || (!idle && waited < _policy.Patience))
        {
            return;
        }

        if (!_originFailed)
        {
            if (OpenOriginRequests() == 0)
            {
                // No more than a segment at a time: others may be doing the same, and the owner may come back.
                var end = Math.Min(_layout.PieceCount, ((missing / _layout.PiecesPerSegment) + 1) * _layout.PiecesPerSegment);
                var count = 1;
                while (missing + count < end && !_have.Contains(missing + count) && !_inFlight.Contains(missing + count))
                {
                    count++;
                }

                ReadFromOrigin(missing, count, isGranted: false);
            }

            return;
        }

        if (idle && (_ownerLost || _unavailable || waited >= 2 * _policy.Patience) && !_peers.Values.Any(peer => peer.Pieces.Contains(missing) && !IsFailing(peer) && _peersAllowed))
        {
            _failed = true;
            _actions.Add(new DownloadAction.Fail());
        }
    }

    private bool IsFailing(Peer peer) => peer.Failures >= _policy.FailuresToDistrust;

    /// <summary>A peer that sends a little and breaks, again and again, must not hold up who could read from the origin.</summary>
    private bool IsHeldByFailingPeersOnly(int piece)
    {
        var holders = _peers.Values.Where(peer => peer.Pieces.Contains(piece)).ToList();
        return holders.Count > 0 && holders.TrueForAll(IsFailing);
    }

    private int FirstDemanded()
    {
        foreach (var demand in _demands)
        {
            var piece = _have.NextClear(demand.Position);
            if (piece >= 0 && piece < demand.End && (demand.Ahead > _layout.PieceCount || piece < demand.Position + demand.Ahead))
            {
                return piece;
            }
        }

        return -1;
    }

    private sealed record Request(string? Node, int First, int Count)
    {
        public bool IsLastResort { get; init; }

        public bool Contains(int piece) => piece >= First && piece < First + Count;

        /// <summary>Pieces that its node was told to hold while the request was under way.</summary>
        public List<PieceRun> ToldSince { get; } = [];
    }

    private sealed class Peer(int pieceCount)
    {
        /// <summary>What it holds or is said to be receiving.</summary>
        public PieceSet Pieces { get; } = new(pieceCount);

        /// <summary>What it holds.</summary>
        public PieceSet Held { get; } = new(pieceCount);

        public int Open { get; set; }

        public int Failures { get; set; }

        public TimeSpan BannedUntil { get; set; } = TimeSpan.MinValue;
    }
}
