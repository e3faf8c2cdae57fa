using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>What can go wrong around one downloader; all of it follows from one seed.</summary>
internal sealed record WorldPlan(int Seed, int Pieces, int Holders, bool OriginWorks, bool CoverAll, bool OwnerIsLost, bool CorruptPeers, int FailuresPerHolder, int Grants);

/// <summary>
/// A downloader in a world of virtual time: holders that grow and fail, an owner that grants and revokes, an origin.
/// Checks each action against the rules when it comes.
/// </summary>
internal sealed class DownloaderWorld
{
    public static readonly DownloaderPolicy Policy = new()
    {
        Requests = 5,
        RequestsPerPeer = 2,
        OriginRequests = 2,
        LongestOriginRead = 8 * PieceSize,
        LongestRange = 4 * PieceSize,
        Window = 16,
    };

    private const int PieceSize = 64 * 1024;

    private readonly WorldPlan _plan;
    private readonly Random _random;
    private readonly ContentLayout _layout;
    private readonly Downloader _downloader;
    private readonly PriorityQueue<Action, (TimeSpan, long)> _events = new();
    private readonly Dictionary<string, World> _holders = new(StringComparer.Ordinal);
    private readonly Dictionary<int, Open> _open = [];
    private readonly HashSet<int> _cancelled = [];
    private readonly HashSet<int> _granted = [];
    private readonly PieceSet _have;
    private readonly Demand _demand;
    private TimeSpan _now;
    private TimeSpan _lastArrival;
    private long _sequence;
    private bool _originFailed;
    private bool _ownerIsLost;

    public DownloaderWorld(WorldPlan plan)
    {
        _plan = plan;
        _random = new Random(plan.Seed);
        _layout = new ContentLayout(plan.Pieces * PieceSize);
        _have = new PieceSet(plan.Pieces);
        for (var i = _random.Next(3); i > 0; i--)
        {
            _have.Add(_random.Next(plan.Pieces));
        }

        _downloader = new Downloader(_layout, _have, Policy, plan.Seed, TimeSpan.Zero);
        _demand = new Demand(0, plan.Pieces, int.MaxValue);
    }

    public bool IsComplete => _downloader.IsComplete;

    public bool HasFailed => _downloader.HasFailed;

    public TimeSpan Now => _now;

    /// <summary>Runs until the content is complete or given up, or until this much virtual time has passed.</summary>
    public void Run(TimeSpan limit)
    {
        PlanHolders();
        PlanOwner();
        _downloader.DemandsChanged([_demand], _now);
        CarryOut();
        At(TimeSpan.FromMilliseconds(20), Tick);
        while (!IsComplete && !HasFailed && _now < limit && _events.TryDequeue(out var next, out var when))
        {
            _now = when.Item1;
            next();
            CarryOut();
        }
    }

    private void Tick()
    {
        _downloader.Tick(_now);
        At(_now + TimeSpan.FromMilliseconds(20), Tick);
    }

    private void At(TimeSpan when, Action action) => _events.Enqueue(action, (when, _sequence++));

    private TimeSpan Soon(int milliseconds) => _now + TimeSpan.FromMilliseconds(_random.Next(milliseconds + 1));

    private void PlanHolders()
    {
        for (var i = 0; i < _plan.Holders; i++)
        {
            _holders.Add($"h{i}", new World(new PieceSet(_plan.Pieces), _plan.FailuresPerHolder));
        }

        foreach (var (name, holder) in _holders)
        {
            for (var piece = 0; piece < _plan.Pieces; piece++)
            {
                if (_random.Next(3) == 0)
                {
                    Gain(name, holder, piece);
                }
            }
        }

        if (_plan.CoverAll && _plan.Holders > 0)
        {
            for (var piece = 0; piece < _plan.Pieces; piece++)
            {
                var (name, holder) = _holders.ElementAt(_random.Next(_plan.Holders));
                Gain(name, holder, piece);
            }
        }
    }

    private void Gain(string name, World holder, int piece)
    {
        // Told at once when the owner vanishes later, else some time within three seconds, now and then before it is true.
        var told = _plan.OwnerIsLost ? TimeSpan.Zero : Soon(3000);
        var early = _random.Next(4) == 0;
        At(told, () =>
        {
            var run = new PieceRun { First = (uint)piece, Count = 1 };
            if (early && !_plan.OwnerIsLost)
            {
                holder.Told.Add(piece);
                Push(new LookupResponse { Holders = { new Holder { Node = name, Receiving = { run } } } });
                At(_now + TimeSpan.FromMilliseconds(200), () => Hold(run));
            }
            else
            {
                Hold(run);
            }
        });

        void Hold(PieceRun run)
        {
            holder.Pieces.Add(piece);
            holder.Told.Add(piece);
            Push(new LookupResponse { Holders = { new Holder { Node = name, Pieces = { run } } } });
        }
    }

    private void PlanOwner()
    {
        for (var i = 0; i < _plan.Grants; i++)
        {
            var run = new SegmentRun { First = (uint)_random.Next(_plan.Pieces), Count = (uint)_random.Next(1, 12) };
            var granted = TimeSpan.FromMilliseconds(_random.Next(2000));
            At(granted, () =>
            {
                if (_ownerIsLost)
                {
                    return;
                }

                _granted.UnionWith(ToldNodes.Segments([run]).Where(piece => piece < _plan.Pieces));
                Push(new LookupResponse { Granted = { run } });
            });
            switch (_random.Next(4))
            {
                case 0:
                    At(granted + Soon(1000), () =>
                    {
                        if (_ownerIsLost)
                        {
                            return;
                        }

                        _granted.ExceptWith(ToldNodes.Segments([run]));
                        Push(new LookupResponse { Revoked = { run } });
                    });
                    break;
                case 1:
                    At(granted + Soon(1000), () => Push(new LookupResponse { Reclaimed = { run } }));
                    break;
            }
        }

        if (_plan.OwnerIsLost)
        {
            At(TimeSpan.FromMilliseconds(_random.Next(4000)), () =>
            {
                _granted.Clear();
                _ownerIsLost = true;
                _downloader.OwnerLost(_now);
            });
        }
    }

    private void Push(LookupResponse push)
    {
        if (!_ownerIsLost)
        {
            _downloader.Pushed(push, _now);
        }
    }

    private void CarryOut()
    {
        for (var actions = _downloader.TakeActions(); actions.Count > 0; actions = _downloader.TakeActions())
        {
            foreach (var action in actions)
            {
                CarryOut(action);
            }
        }
    }

    private void CarryOut(DownloadAction action)
    {
        switch (action)
        {
            case DownloadAction.FetchFromPeer fetch:
                CheckPeerRequest(fetch);
                _open.Add(fetch.Id, new Open(fetch.Node, fetch.First, fetch.Count, IsLastResort: false));
                Serve(fetch);
                break;
            case DownloadAction.FetchFromOrigin read:
                CheckOriginRequest(read);
                _open.Add(read.Id, new Open(null, read.First, read.Count, !read.IsGranted));
                Read(read.Id, read.First, read.Count, read.First);
                break;
            case DownloadAction.Cancel cancel:
                _cancelled.Add(cancel.Id);
                break;
            case DownloadAction.GiveBack giveBack:
                var back = ToldNodes.Segments(giveBack.Segments).ToList();
                if (!giveBack.OriginFailed)
                {
                    Assert.DoesNotContain(back, piece => _open.Values.Any(open => open.Contains(piece)));
                }

                Assert.All(back, piece => Assert.Contains(piece, _granted));
                _granted.ExceptWith(back);
                break;
            case DownloadAction.Fail:
                Assert.Empty(_open);
                break;
        }
    }

    private void CheckPeerRequest(DownloadAction.FetchFromPeer fetch)
    {
        Assert.InRange(fetch.Count * PieceSize, 1, Policy.LongestRange);
        Assert.InRange(_open.Values.Count(open => open.Node is not null), 0, Policy.Requests - 1);
        Assert.InRange(_open.Values.Count(open => open.Node == fetch.Node), 0, Policy.RequestsPerPeer - 1);
        for (var piece = fetch.First; piece < fetch.First + fetch.Count; piece++)
        {
            Assert.False(_have.Contains(piece), "a piece that is here was asked for");
            Assert.DoesNotContain(piece, _granted);
            Assert.Contains(piece, _holders[fetch.Node].Told);
            Assert.DoesNotContain(_open.Values, open => open.Contains(piece));
        }
    }

    private void CheckOriginRequest(DownloadAction.FetchFromOrigin read)
    {
        Assert.InRange(read.Count * PieceSize, 1, Policy.LongestOriginRead);
        Assert.InRange(_open.Values.Count(open => open.Node is null), 0, Policy.OriginRequests - 1);
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
        if (_open.Count > 0 || !(_ownerIsLost || IsHeldByFailingOnly(read.First)))
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

    private void Serve(DownloadAction.FetchFromPeer fetch)
    {
        var holder = _holders[fetch.Node];
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

        var stop = fetch.First;
        while (stop < fetch.First + fetch.Count && holder.Pieces.Contains(stop))
        {
            stop++;
        }

        Deliver(fetch, stop, fetch.First, stop == fetch.First + fetch.Count ? RangeOutcomeKind.Complete : RangeOutcomeKind.NotHeld);
    }

    private void Deliver(DownloadAction.FetchFromPeer fetch, int stop, int piece, RangeOutcomeKind outcome) => At(Soon(30), () =>
    {
        var isCancelled = _cancelled.Remove(fetch.Id);
        if (!isCancelled && piece < stop)
        {
            Arrive(piece);
            Deliver(fetch, stop, piece + 1, outcome);
            return;
        }

        _open.Remove(fetch.Id);
        var holder = _holders[fetch.Node];
        if (!isCancelled && outcome is RangeOutcomeKind.Corrupt or RangeOutcomeKind.Failed)
        {
            // At most: those that were under way together count as one.
            holder.FailuresInARow++;
        }
        else if (!isCancelled && outcome == RangeOutcomeKind.Complete)
        {
            holder.FailuresInARow = 0;
        }

        if (outcome == RangeOutcomeKind.Corrupt)
        {
            // All that it was known for is forgotten until it is told anew.
            holder.Told.Clear();
        }

        _downloader.PeerRequestEnded(fetch.Id, isCancelled ? RangeOutcomeKind.Cancelled : outcome, [], _now);
    });

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
        _downloader.OriginRequestEnded(id, succeeded, _now);
    });

    private void Arrive(int piece)
    {
        _have.Add(piece);
        _granted.Remove(piece);
        if (!_open.Values.Any(open => open.IsLastResort && open.Contains(piece)))
        {
            _lastArrival = _now;
        }

        _downloader.PieceArrived(piece, _now);
    }

    private sealed record Open(string? Node, int First, int Count, bool IsLastResort)
    {
        public bool Contains(int piece) => piece >= First && piece < First + Count;
    }

    private sealed class World(PieceSet pieces, int failures)
    {
        public PieceSet Pieces { get; } = pieces;

        public HashSet<int> Told { get; } = [];

        /// <summary>How often it still fails.</summary>
        public int Failures { get; set; } = failures;

        public int FailuresInARow { get; set; }
    }
}
