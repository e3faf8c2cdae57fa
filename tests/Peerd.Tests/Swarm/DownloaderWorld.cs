using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>What becomes of the owner.</summary>
internal enum OwnerPlan
{
    /// <summary>It assigns and grants to the end.</summary>
    Stays,

    /// <summary>It vanishes, and with it all that it would have told.</summary>
    IsLost,

    /// <summary>It vanishes, and another one takes over.</summary>
    ComesBack,

    /// <summary>It grants and tells of holders, but assigns nothing.</summary>
    AssignsNothing,
}

/// <summary>What can go wrong around one downloader, and how many readers move about in the content; all of it follows from one seed.</summary>
internal sealed record WorldPlan(
    int Seed, long Size, int Holders, bool OriginWorks, bool CoverAll, OwnerPlan Owner, bool CorruptPeers, int FailuresPerHolder, int Grants, int Stalls, int SpreadMs = 3000, int Readers = 0, int Losses = 0);

/// <summary>
/// A downloader in a world of virtual time: holders that grow, fail and stall, an owner that assigns, grants and revokes,
/// an origin. Checks each action against the rules when it comes.
/// </summary>
internal sealed class DownloaderWorld
{
    public static readonly DownloaderPolicy Policy = new()
    {
        Requests = 5,
        RequestsPerPeer = 2,
        OriginRequests = 2,
        Window = 16,
    };

    /// <summary>What the owner lets the downloader fetch at a time.</summary>
    private const int Credits = 4;

    /// <summary>The mesh takes a peer for dead that has sent nothing for so long.</summary>
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(15);

    /// <summary>A reader that waits gives up on a peer that it has asked itself.</summary>
    private static readonly TimeSpan UrgentPatience = TimeSpan.FromMilliseconds(750);

    /// <summary>One as it was assigned, one by which a reader helps itself when that waits, one of the last resort.</summary>
    private const int MostRequestsOfAPiece = 3;

    private readonly WorldPlan _plan;
    private readonly Random _random;
    private readonly ContentLayout _layout;
    private readonly Downloader _downloader;
    private readonly PriorityQueue<Action, (TimeSpan, long)> _events = new();
    private readonly Dictionary<string, World> _holders = new(StringComparer.Ordinal);
    private readonly Dictionary<int, Open> _open = [];
    private readonly HashSet<int> _cancelled = [];

    /// <summary>Granted pieces.</summary>
    private readonly HashSet<int> _granted = [];

    /// <summary>Assigned segments, with the node that each is to come from.</summary>
    private readonly Dictionary<int, string> _assigned = [];

    /// <summary>The owner assigns it from another node when it has failed.</summary>
    private readonly Dictionary<int, string> _lastFailed = [];
    private readonly PieceSet _have;
    private readonly List<Demand> _demands = [];
    private TimeSpan _now;
    private TimeSpan _lastInquiry = TimeSpan.FromSeconds(-1);
    private TimeSpan _lastArrival;
    private long _sequence;
    private int _stalls;
    private int _losses;
    private int _asked;
    private readonly HashSet<string> _peersAsked = new(StringComparer.Ordinal);
    private int _slow;

    /// <summary>They may be found slow beside the origin, which is no hedge.</summary>
    private int _cancelledOfOnlyPeer;
    private bool _originFailed;
    private bool _ownerIsLost;

    public DownloaderWorld(WorldPlan plan)
    {
        _plan = plan;
        _random = new Random(plan.Seed);
        _stalls = plan.Stalls;
        _losses = plan.Losses;
        _layout = new ContentLayout(plan.Size);
        _have = new PieceSet(_layout.PieceCount);
        for (var i = _random.Next(3); i > 0; i--)
        {
            _have.Add(_random.Next(_layout.PieceCount));
        }

        MissingAtFirst = [.. Enumerable.Range(0, _layout.PieceCount).Where(piece => !_have.Contains(piece))];
        _downloader = new Downloader(_layout, _have, Policy, plan.Seed, TimeSpan.Zero);
    }

    public bool IsComplete => _downloader.IsComplete;

    public bool HasFailed => _downloader.HasFailed;

    public TimeSpan Now => _now;

    public IReadOnlyList<int> MissingAtFirst { get; }

    /// <summary>Pieces that were asked of peers, each time.</summary>
    public List<int> AskedOfPeers { get; } = [];

    /// <summary>How often a reader asked a peer for what it waited for.</summary>
    public int AskedUrgently { get; private set; }

    /// <summary>And how often another request carried that already, but waited or was not there yet.</summary>
    public int AskedBesides { get; private set; }

    /// <summary>Runs until the content is complete or given up, or until this much virtual time has passed.</summary>
    public void Run(TimeSpan limit)
    {
        PlanHolders();
        PlanOwner();
        PlanReaders();
        CarryOut();
        At(TimeSpan.FromMilliseconds(20), Tick);
        while (!IsComplete && !HasFailed && _now < limit && _events.TryDequeue(out var next, out var when))
        {
            _now = when.Item1;
            next();
            CarryOut();
            if (_plan.Readers > 0 && _random.Next(4) == 0)
            {
                AskUrgently();
            }

            if (_losses > 0 && _have.Count > 0 && _random.Next(20) == 0)
            {
                Lose();
            }
        }
    }

    /// <summary>A piece is evicted, and read once more.</summary>
    private void Lose()
    {
        _losses--;
        var held = SegmentRuns.Numbers(_have).ToList();
        var piece = held[_random.Next(held.Count)];
        _have.Remove(piece);

        // A grant of what was here is none.
        _granted.Remove(piece);
        _downloader.PieceLost(piece, wasInMemory: false, _now);
        CarryOut();
    }

    private void Tick()
    {
        _downloader.Tick(_now);
        At(_now + TimeSpan.FromMilliseconds(20), Tick);
    }

    private void At(TimeSpan when, Action action) => _events.Enqueue(action, (when, _sequence++));

    private TimeSpan Soon(int milliseconds) => _now + TimeSpan.FromMilliseconds(_random.Next(milliseconds + 1));

    private void PlanReaders()
    {
        if (_plan.Readers == 0)
        {
            Demand(new Demand(0, _layout.PieceCount, int.MaxValue));
            return;
        }

        Move(isWholeWanted: false);
        At(Soon(4000), () => Move(isWholeWanted: true));
    }

    /// <summary>Readers go on, and jump; sooner or later somebody wants the rest, too.</summary>
    private void Move(bool isWholeWanted)
    {
        isWholeWanted |= _demands.Exists(demand => demand.Ahead == int.MaxValue);
        var readers = Enumerable.Range(0, _plan.Readers).Select(_ => _random.Next(_layout.PieceCount))
            .Select(position => new Demand(position, _random.Next(position, _layout.PieceCount) + 1, _random.Next(1, 16)));
        Demand([.. readers, .. isWholeWanted ? [new Demand(0, _layout.PieceCount, int.MaxValue)] : Array.Empty<Demand>()]);
        At(Soon(200), () => Move(isWholeWanted: false));
    }

    private void Demand(params Demand[] demands)
    {
        _demands.Clear();
        _demands.AddRange(demands);
        _downloader.DemandsChanged(demands, _now, isAhead: _plan.Readers > 0 && _plan.Seed % 2 == 0);
    }

    private int FirstDemanded() =>
        _demands.Select(demand => (Demand: demand, Piece: _have.NextClear(demand.Position))).Where(first => first.Piece >= 0 && first.Demand.Includes(first.Piece))
            .Select(first => first.Piece).FirstOrDefault(-1);

    /// <summary>A reader waits for a piece. No other waits for the same part of it, so that none is asked for it twice.</summary>
    private void AskUrgently()
    {
        var missing = Enumerable.Range(0, _layout.PieceCount).Where(piece => !_have.Contains(piece)).ToList();
        if (missing.Count == 0)
        {
            return;
        }

        var piece = missing[_random.Next(missing.Count)];
        if (_open.Values.Any(open => open.IsUrgent && open.Contains(piece)) || _downloader.AskUrgently(piece, _now) is not var (id, node))
        {
            return;
        }

        Assert.Contains(piece, _holders[node].Told);
        Assert.DoesNotContain(_open.Values, open => open.IsSending(piece, _have));
        AskedUrgently++;
        AskedBesides += _open.Values.Any(open => open.Contains(piece)) ? 1 : 0;
        var fetch = new DownloadAction.FetchFromPeer(id, node, piece, 1, IsAssigned: false);
        _open.Add(id, new Open(node, piece, 1, IsLastResort: false) { IsUrgent = true });
        AssertFewCarry(piece);
        if (_random.Next(10) == 0)
        {
            At(_now + UrgentPatience, () => End(fetch, RangeOutcomeKind.Failed));
        }
        else
        {
            Serve(fetch, canStall: false);
        }
    }

    private void AssertFewCarry(int piece)
    {
        Assert.InRange(_open.Values.Count(open => open.Contains(piece)), 0, MostRequestsOfAPiece);
        Assert.InRange(_open.Values.Count(open => open.Contains(piece) && open is { Node: not null, IsUrgent: false }), 0, 1);
        Assert.InRange(_open.Values.Count(open => open.Contains(piece) && open.Node is null), 0, 1);
    }

    private void PlanHolders()
    {
        for (var i = 0; i < _plan.Holders; i++)
        {
            _holders.Add($"h{i}", new World(new PieceSet(_layout.PieceCount), _plan.FailuresPerHolder));
        }

        foreach (var (name, holder) in _holders)
        {
            for (var segment = 0; segment < _layout.SegmentCount; segment++)
            {
                if (_random.Next(3) == 0)
                {
                    Gain(name, holder, segment);
                }
            }
        }

        if (_plan.CoverAll && _plan.Holders > 0)
        {
            for (var segment = 0; segment < _layout.SegmentCount; segment++)
            {
                var (name, holder) = _holders.ElementAt(_random.Next(_plan.Holders));
                Gain(name, holder, segment);
            }
        }
    }

    /// <summary>The holder gets a segment some time within the plan's spread, and the downloader is told, now and then before it is true.</summary>
    private void Gain(string name, World holder, int segment)
    {
        // At once when the owner vanishes later: what it has not told then nobody else does.
        var spread = _plan.Owner is OwnerPlan.IsLost or OwnerPlan.ComesBack ? 0 : _plan.SpreadMs;
        var told = Soon(spread);
        var isEarly = spread > 0 && _random.Next(4) == 0;
        var (first, end) = SegmentRuns.PiecesOf(segment, _layout);
        var run = new PieceRun { First = (uint)first, Count = (uint)(end - first) };
        At(told, () =>
        {
            if (isEarly)
            {
                holder.Incoming.Add(segment);
                holder.Told.UnionWith(Enumerable.Range(first, end - first));
                Push(new LookupResponse { Holders = { new Holder { Node = name, Receiving = { run } } } });
                At(_now + TimeSpan.FromMilliseconds(200), Hold);
            }
            else
            {
                Hold();
            }
        });

        void Hold()
        {
            holder.Incoming.Remove(segment);
            holder.Pieces.AddRun(first, end - first);
            holder.Told.UnionWith(Enumerable.Range(first, end - first));
            Push(new LookupResponse { Holders = { new Holder { Node = name, Pieces = { run } } } });
        }
    }

    private void PlanOwner()
    {
        for (var i = 0; i < _plan.Grants; i++)
        {
            PlanGrant(new SegmentRun { First = (uint)_random.Next(_layout.SegmentCount), Count = (uint)_random.Next(1, 12) });
        }

        if (_plan.Owner is not OwnerPlan.AssignsNothing)
        {
            At(Soon(100), Assign);
        }

        if (_plan.Owner is OwnerPlan.IsLost or OwnerPlan.ComesBack)
        {
            At(TimeSpan.FromMilliseconds(_random.Next(4000)), () =>
            {
                _granted.Clear();
                _ownerIsLost = true;
                _downloader.OwnerLost(_now);
            });
        }

        if (_plan.Owner is OwnerPlan.ComesBack)
        {
            At(TimeSpan.FromMilliseconds(4000 + _random.Next(4000)), TakeOver);
        }
    }

    private void PlanGrant(SegmentRun run)
    {
        var segments = ToldNodes.Segments([run]).Where(segment => segment < _layout.SegmentCount).ToList();
        At(TimeSpan.FromMilliseconds(_random.Next(2000)), () =>
        {
            // An owner grants nothing that it has assigned.
            segments.RemoveAll(_assigned.ContainsKey);
            if (_ownerIsLost)
            {
                return;
            }

            _granted.UnionWith(segments.SelectMany(PiecesOf));
            Push(new LookupResponse { Granted = { SegmentRuns.Of(segments) } });
        });
        switch (_random.Next(4))
        {
            case 0:
                At(TimeSpan.FromMilliseconds(2000 + _random.Next(1000)), () =>
                {
                    if (!_ownerIsLost)
                    {
                        _granted.ExceptWith(segments.SelectMany(PiecesOf));
                        Push(new LookupResponse { Revoked = { SegmentRuns.Of(segments) } });
                    }
                });
                break;
            case 1:
                At(TimeSpan.FromMilliseconds(2000 + _random.Next(1000)), () => Push(new LookupResponse { Reclaimed = { SegmentRuns.Of(segments) } }));
                break;
        }
    }

    /// <summary>A session with a new owner: it is told what is under way, and knows all holders.</summary>
    private void TakeOver()
    {
        _ownerIsLost = false;
        _downloader.SessionStarted();
        _assigned.Clear();
        foreach (var (segment, node) in ToldNodes.Segments(_downloader.Fetching()))
        {
            _assigned.Add(segment, node);
        }

        _granted.Clear();
        var reading = _downloader.Reading();
        _granted.UnionWith(ToldNodes.Segments(reading).SelectMany(PiecesOf).Where(piece => !_have.Contains(piece)));
        Push(new LookupResponse { Granted = { reading } });
        foreach (var (name, holder) in _holders)
        {
            Push(new LookupResponse { Holders = { new Holder { Node = name, Replace = true, Pieces = { holder.Pieces.ToPieceRuns() } } } });
            holder.Told.UnionWith(SegmentRuns.Numbers(holder.Pieces));
        }
    }

    /// <summary>The owner assigns what fits in the credits, as a matcher would: also what a holder is only about to have.</summary>
    private void Assign()
    {
        At(_now + TimeSpan.FromMilliseconds(_random.Next(1, 50)), Assign);
        if (_ownerIsLost)
        {
            return;
        }

        if (_assigned.Count > 0 && _plan.FailuresPerHolder > 0 && _random.Next(100) == 0)
        {
            // It changes its mind.
            var moved = _assigned.Keys.Order().ElementAt(_random.Next(_assigned.Count));
            AssignFrom(moved, HoldersFor(moved));
        }

        for (var i = 0; i < 10 && _assigned.Count < Credits; i++)
        {
            var segment = _random.Next(2) == 0 ? FirstToAssign() : _random.Next(_layout.SegmentCount);
            if (segment >= 0 && CanAssign(segment))
            {
                AssignFrom(segment, HoldersFor(segment));
            }
        }
    }

    private int FirstToAssign() => Enumerable.Range(0, _layout.SegmentCount).Where(segment => CanAssign(segment) && HoldersFor(segment).Count > 0).DefaultIfEmpty(-1).First();

    private bool CanAssign(int segment) => !_assigned.ContainsKey(segment) && PiecesOf(segment).Any(piece => !_have.Contains(piece)) && !PiecesOf(segment).Any(_granted.Contains);

    private List<string> HoldersFor(int segment)
    {
        var holders = _holders.Where(pair => pair.Value.BannedUntil <= _now && (pair.Value.Incoming.Contains(segment) || PiecesOf(segment).All(pair.Value.Pieces.Contains))).Select(pair => pair.Key).ToList();
        return holders.Count > 1 && _lastFailed.TryGetValue(segment, out var failed) ? [.. holders.Where(holder => holder != failed)] : holders;
    }

    private void AssignFrom(int segment, List<string> holders)
    {
        if (holders.Count > 0)
        {
            _assigned[segment] = holders[_random.Next(holders.Count)];
            _holders[_assigned[segment]].Told.UnionWith(PiecesOf(segment));
            Push(new LookupResponse { Assigned = { new Assignment { Node = _assigned[segment], Segments = { new SegmentRun { First = (uint)segment, Count = 1 } } } } });
        }
    }

    private void Push(LookupResponse push)
    {
        if (!_ownerIsLost)
        {
            _downloader.Pushed(push, _now);
        }
    }

    private IEnumerable<int> PiecesOf(int segment)
    {
        var (first, end) = SegmentRuns.PiecesOf(segment, _layout);
        return Enumerable.Range(first, end - first);
    }

    private int SegmentOf(int piece) => piece / _layout.PiecesPerSegment;

    private void CarryOut()
    {
        for (var actions = _downloader.TakeActions(); actions.Count > 0; actions = _downloader.TakeActions())
        {
            var openBefore = _open.Count;
            foreach (var action in actions)
            {
                CarryOut(action, openBefore);
            }
        }

        Assert.InRange(_downloader.Hedges.Moved, _slow - _cancelledOfOnlyPeer, Policy.LeastHedges + (Policy.HedgeBudget * _asked) + 1);
    }

    private void CarryOut(DownloadAction action, int openBefore)
    {
        switch (action)
        {
            case DownloadAction.FetchFromPeer fetch:
                CheckPeerRequest(fetch, openBefore);
                _asked++;
                _peersAsked.Add(fetch.Node);
                AskedOfPeers.AddRange(Enumerable.Range(fetch.First, fetch.Count));
                _open.Add(fetch.Id, new Open(fetch.Node, fetch.First, fetch.Count, IsLastResort: false));
                Enumerable.Range(fetch.First, fetch.Count).ToList().ForEach(AssertFewCarry);
                Serve(fetch);
                break;
            case DownloadAction.FetchFromOrigin read:
                CheckOriginRequest(read);
                _open.Add(read.Id, new Open(null, read.First, read.Count, !read.IsGranted));
                Enumerable.Range(read.First, read.Count).ToList().ForEach(AssertFewCarry);
                Read(read.Id, read.First, read.Count, read.First);
                break;
            case DownloadAction.Cancel cancel:
                Assert.True(_open.ContainsKey(cancel.Id), "a request was cancelled that is not under way");
                _cancelled.Add(cancel.Id);
                _cancelledOfOnlyPeer += _peersAsked.Count == 1 && _open[cancel.Id].Node is not null ? 1 : 0;
                break;
            case DownloadAction.GiveBack giveBack:
                var back = ToldNodes.Segments(giveBack.Segments).SelectMany(PiecesOf).ToList();
                if (!giveBack.OriginFailed)
                {
                    Assert.DoesNotContain(back, piece => _open.Values.Any(open => open.Contains(piece)));
                }

                Assert.All(ToldNodes.Segments(giveBack.Segments), segment => Assert.Contains(PiecesOf(segment), _granted.Contains));
                _granted.ExceptWith(back);
                break;
            case DownloadAction.ReportFailed { Failed: var failed }:
                Fail((int)failed.Segment, failed.Node, failed.Reason);
                break;
            case DownloadAction.Fail:
                Assert.Empty(_open);
                break;
        }
    }

    private void Fail(int segment, string node, FetchFailure reason)
    {
        _slow += reason == FetchFailure.Slow ? 1 : 0;
        if (_ownerIsLost)
        {
            // Nobody hears it.
            _assigned.Remove(segment);
            return;
        }

        Assert.Equal(node, _assigned.GetValueOrDefault(segment));
        Assert.Contains(PiecesOf(segment), piece => !_have.Contains(piece));
        _assigned.Remove(segment);
        _lastFailed[segment] = node;
        if (reason is FetchFailure.Unreachable or FetchFailure.Corrupt or FetchFailure.Slow)
        {
            _holders[node].BannedUntil = _now + TimeSpan.FromMilliseconds(500);
        }
    }

    private void CheckPeerRequest(DownloadAction.FetchFromPeer fetch, int openBefore)
    {
        var pieces = Enumerable.Range(fetch.First, fetch.Count).ToList();
        Assert.NotEmpty(pieces);
        Assert.DoesNotContain(pieces, _have.Contains);

        // The rule without exception: only the last resort asks for what is under way.
        Assert.DoesNotContain(pieces, piece => _open.Values.Any(open => open.Contains(piece)));
        if (fetch.IsAssigned)
        {
            Assert.Equal(SegmentOf(fetch.First), SegmentOf(fetch.First + fetch.Count - 1));
            Assert.Equal(fetch.Node, _assigned.GetValueOrDefault(SegmentOf(fetch.First)));
            return;
        }

        if (!_ownerIsLost)
        {
            // With an owner only when nothing has been under way for a while.
            Assert.Equal(0, openBefore);
            Assert.True(_now - _lastArrival >= Policy.AssignmentPatience, "a peer was asked without being assigned while something arrived");
        }

        Assert.InRange((long)fetch.Count * _layout.PieceSize, 1, Policy.LongestRange);
        Assert.InRange(_open.Values.Count(open => open.Node is not null), 0, Policy.Requests - 1);
        Assert.InRange(_open.Values.Count(open => open.Node == fetch.Node), 0, Policy.RequestsPerPeer - 1);
        if (fetch.Count == 1 && !_holders[fetch.Node].Told.Contains(fetch.First))
        {
            // Nobody is known to have it: some peer is asked all the same, now and then, for it tells what it has.
            Assert.True(_now - _lastInquiry >= Policy.InquiryInterval, "peers were asked for what they are not known to have again and again");
            _lastInquiry = _now;
            return;
        }

        Assert.All(pieces, piece => Assert.Contains(piece, _holders[fetch.Node].Told));
        Assert.DoesNotContain(pieces, _granted.Contains);
    }

    private void CheckOriginRequest(DownloadAction.FetchFromOrigin read)
    {
        Assert.InRange((long)read.Count * _layout.PieceSize, 1, Policy.LongestOriginRead);
        Assert.InRange(_open.Values.Count(open => open.Node is null), 0, Math.Clamp(_demands.Count, Policy.OriginRequests, Policy.MostOriginRequests) - 1);
        var pieces = Enumerable.Range(read.First, read.Count).ToList();
        Assert.DoesNotContain(pieces, _have.Contains);
        if (read.IsGranted)
        {
            Assert.All(pieces, piece => Assert.Contains(piece, _granted));
            Assert.DoesNotContain(pieces, piece => _open.Values.Any(open => open.Contains(piece)));
            return;
        }

        // The last resort: nothing has arrived for a while. It alone may ask for what another request is to bring.
        var waited = _now - _lastArrival;
        Assert.False(_originFailed, "the origin was asked again after it had failed, without a grant");
        Assert.True(waited >= Policy.OwnerlessPatience, "the origin was read without a grant while something arrived");
        if (_open.Count > 0 || !(_ownerIsLost || IsHeldByFailingOnly(FirstDemanded())))
        {
            Assert.True(waited >= Policy.Patience, "the origin was read without a grant before patience was over");
        }

        Assert.DoesNotContain(_open.Values, open => open.Node is null);
    }

    private bool IsHeldByFailingOnly(int piece)
    {
        var holders = _holders.Values.Where(holder => holder.Told.Contains(piece)).ToList();
        return holders.Count > 0 && holders.TrueForAll(holder => holder.FailuresInARow >= Policy.FailuresToDistrust);
    }

    private void Serve(DownloadAction.FetchFromPeer fetch, bool canStall = true)
    {
        var holder = _holders[fetch.Node];
        if (canStall && _stalls > 0 && _random.Next(10) == 0)
        {
            _stalls--;
            Stall(fetch);
            return;
        }

        var roll = holder.Failures > 0 ? _random.Next(6) : 5;
        if (roll < 3)
        {
            holder.Failures--;
            var outcome = roll switch
            {
                0 => RangeOutcomeKind.Busy,
                1 when _plan.CorruptPeers => RangeOutcomeKind.Corrupt,
                _ => RangeOutcomeKind.Failed,
            };
            Deliver(fetch, outcome == RangeOutcomeKind.Busy ? fetch.First : fetch.First + _random.Next(fetch.Count), fetch.First, outcome);
            return;
        }

        Deliver(fetch, fetch.First + fetch.Count, fetch.First, RangeOutcomeKind.Complete);
    }

    /// <summary>Nothing comes until the downloader gives it up, or the mesh does.</summary>
    private void Stall(DownloadAction.FetchFromPeer fetch)
    {
        var start = _now;
        Poll();

        void Poll() => At(_now + TimeSpan.FromMilliseconds(50), () =>
        {
            if (_cancelled.Remove(fetch.Id))
            {
                End(fetch, RangeOutcomeKind.Cancelled);
            }
            else if (_now - start >= Silence)
            {
                End(fetch, RangeOutcomeKind.Failed);
            }
            else
            {
                Poll();
            }
        });
    }

    private void Deliver(DownloadAction.FetchFromPeer fetch, int stop, int piece, RangeOutcomeKind outcome) => At(Soon(30), () =>
    {
        var holder = _holders[fetch.Node];
        if (_cancelled.Remove(fetch.Id))
        {
            End(fetch, RangeOutcomeKind.Cancelled);
        }
        else if (piece == stop)
        {
            End(fetch, outcome);
        }
        else if (holder.Pieces.Contains(piece))
        {
            Arrive(piece);
            _open[fetch.Id].IsWaiting = false;
            Deliver(fetch, stop, piece + 1, outcome);
        }
        else if (fetch.IsAssigned && holder.Incoming.Contains(SegmentOf(piece)))
        {
            _open[fetch.Id].IsWaiting = true;
            _downloader.Waiting(fetch.Id, _now);
            Deliver(fetch, stop, piece, outcome);
        }
        else
        {
            End(fetch, RangeOutcomeKind.NotHeld);
        }
    });

    private void End(DownloadAction.FetchFromPeer fetch, RangeOutcomeKind outcome)
    {
        _open.Remove(fetch.Id);
        var holder = _holders[fetch.Node];
        if (outcome is RangeOutcomeKind.Corrupt or RangeOutcomeKind.Failed or RangeOutcomeKind.Cancelled)
        {
            // At most: those that were under way together count as one.
            holder.FailuresInARow++;
        }
        else if (outcome == RangeOutcomeKind.Complete)
        {
            holder.FailuresInARow = 0;
        }

        if (outcome == RangeOutcomeKind.NotHeld)
        {
            holder.Told.RemoveWhere(piece => piece >= fetch.First && piece < fetch.First + fetch.Count && !holder.Pieces.Contains(piece));
        }
        else if (outcome == RangeOutcomeKind.Corrupt)
        {
            // All that it was known for is forgotten until it is told anew, by an owner or by itself.
            holder.Told.Clear();
        }

        var pieces = fetch.IsAssigned ? [] : holder.Pieces.ToPieceRuns().ToList();
        holder.Told.UnionWith(pieces.SelectMany(run => Enumerable.Range((int)run.First, (int)run.Count)));
        _downloader.PeerRequestEnded(fetch.Id, outcome, [], pieces, _now);
    }

    private void Read(int id, int first, int count, int piece) => At(Soon(60), () =>
    {
        var isCancelled = _cancelled.Remove(id);
        if (!isCancelled && _plan.OriginWorks && piece < first + count)
        {
            Arrive(piece);
            Read(id, first, count, piece + 1);
            return;
        }

        _open.Remove(id);
        var succeeded = isCancelled || _plan.OriginWorks;
        _originFailed |= !succeeded;
        _downloader.OriginRequestEnded(id, succeeded, TimeSpan.Zero, _now);
    });

    private void Arrive(int piece)
    {
        _have.Add(piece);
        _granted.Remove(piece);
        if (PiecesOf(SegmentOf(piece)).All(_have.Contains))
        {
            _assigned.Remove(SegmentOf(piece));
        }

        if (!_open.Values.Any(open => open.IsLastResort && open.Contains(piece)))
        {
            _lastArrival = _now;
        }

        _downloader.PieceArrived(piece, _now);
    }

    private sealed record Open(string? Node, int First, int Count, bool IsLastResort)
    {
        /// <summary>A reader asked for it that waits.</summary>
        public bool IsUrgent { get; init; }

        /// <summary>The peer waits for the next piece itself.</summary>
        public bool IsWaiting { get; set; }

        public bool Contains(int piece) => piece >= First && piece < First + Count;

        /// <summary>All before this piece has come, and it comes now.</summary>
        public bool IsSending(int piece, PieceSet have) => !IsWaiting && Contains(piece) && have.NextClear(First) == piece;
    }

    private sealed class World(PieceSet pieces, int failures)
    {
        public PieceSet Pieces { get; } = pieces;

        /// <summary>Segments that it is about to hold.</summary>
        public HashSet<int> Incoming { get; } = [];

        /// <summary>Pieces that the downloader was told it holds, or is to.</summary>
        public HashSet<int> Told { get; } = [];

        /// <summary>How often it still fails.</summary>
        public int Failures { get; set; } = failures;

        public int FailuresInARow { get; set; }

        /// <summary>The owner assigns nothing from it before.</summary>
        public TimeSpan BannedUntil { get; set; }
    }
}
