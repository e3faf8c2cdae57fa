using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>How a mesh of some requesters and one owner runs; all of it follows from the seed.</summary>
/// <param name="Seed">Of all that is random.</param>
/// <param name="Nodes">Requesters.</param>
/// <param name="Size">Of the content.</param>
/// <param name="DelayMs">Of each message.</param>
/// <param name="StartSpreadMs">They come within this time.</param>
/// <param name="Kills">How many of them die while they download.</param>
/// <param name="PieceMs">The origin sends one reader a piece in this time.</param>
/// <param name="PauseAtMs">From this moment on the origin asks for a pause; never when negative.</param>
/// <param name="PauseMs">Of this length.</param>
/// <param name="Unable">How many of them cannot reach the origin.</param>
/// <param name="InParts">How many of them have two readers that move along, and want no more than these need next.</param>
/// <param name="TakeOverMs">At this moment another owner takes over; never when negative.</param>
internal sealed record MeshPlan(
    int Seed, int Nodes, long Size, int DelayMs, int StartSpreadMs, int Kills, int PieceMs = 4, int PauseAtMs = -1, int PauseMs = 0, int Unable = 0, int InParts = 0, int TakeOverMs = -1);

/// <summary>
/// Both state machines together in virtual time: requesters, their owner, maybe another that takes over, an origin that
/// counts, messages in order and delayed, nodes that die. What a node holds reaches the owner as the directory would tell it.
/// </summary>
internal sealed class MiniMesh
{
    /// <summary>Until the directory forgets a dead node: well before requesters lose patience.</summary>
    public const int GraceMs = 1000;

    /// <summary>Until who asks a dead node for something is told that it is dead.</summary>
    public const int DeathNoticedMs = 100;

    /// <summary>All see the new owner, and have told it what they hold, within this time.</summary>
    private const int MoveSpreadMs = 300;

    /// <summary>Pieces that a reader of parts has ready beyond its position.</summary>
    private const int Ahead = 8;

    /// <summary>Peers that a reader which waits for a piece asks for it itself, one after the other.</summary>
    public const int UrgentTries = 3;

    private static readonly CoordinatorPolicy Policy = new();

    private static readonly DownloaderPolicy RequesterPolicy = new();

    private readonly MeshPlan _plan;
    private readonly Random _random;
    private readonly Coordinator _first;

    /// <summary>Takes over; null before.</summary>
    private Coordinator? _second;
    private readonly AskingPace _pace = new(Policy);
    private bool _hasAskedFirst;
    private readonly Dictionary<string, Requester> _nodes = new(StringComparer.Ordinal);
    private readonly PriorityQueue<Action, (TimeSpan, long)> _events = new();
    private long _sequence;
    private bool _isFlushScheduled;

    public MiniMesh(MeshPlan plan)
    {
        _plan = plan;
        _random = new Random(plan.Seed);
        Layout = new ContentLayout(plan.Size);
        _first = new Coordinator(Policy, plan.Seed);
        for (var i = 0; i < plan.Nodes; i++)
        {
            var name = $"n{i:d2}";
            _nodes.Add(name, new Requester(this, name, plan.Seed + i, canReachOrigin: i >= plan.Unable, isInParts: i < plan.InParts));
        }
    }

    public ContentLayout Layout { get; }

    public TimeSpan Now { get; private set; }

    /// <summary>Requests to the origin that were told of its pause.</summary>
    public int ReadsDuringPause { get; private set; }

    public IEnumerable<Requester> Living => All.Where(node => !node.IsDead);

    public IEnumerable<Requester> All => _nodes.Values;

    private IEnumerable<Coordinator> Owners => _second is null ? [_first] : [_first, _second];

    public void Run(TimeSpan limit)
    {
        foreach (var node in All)
        {
            After(_random.Next(_plan.StartSpreadMs + 1), node.Start);
        }

        foreach (var node in All.Take(Math.Min(_plan.Kills, _plan.Nodes - 1)))
        {
            After(_random.Next(400), node.Die);
        }

        if (_plan.TakeOverMs >= 0)
        {
            After(_plan.TakeOverMs, TakeOver);
        }

        After(Coordination.TickInterval.TotalMilliseconds, TickOwner);
        while (Living.Any(node => !node.IsComplete) && Now < limit && _events.TryDequeue(out var next, out var when))
        {
            Now = when.Item1;
            next();
        }
    }

    private void TickOwner()
    {
        foreach (var owner in Owners)
        {
            owner.Tick(Now);
        }

        Flush();
        After(Coordination.TickInterval.TotalMilliseconds, TickOwner);
    }

    /// <summary>The nodes come to see another ring, one after the other.</summary>
    private void TakeOver()
    {
        _second = new Coordinator(Policy, _plan.Seed + 1);
        foreach (var node in All)
        {
            After(_random.Next(MoveSpreadMs + 1), node.Move);
        }
    }

    /// <summary>Before the new owner listens to who comes to it for the first time it asks the former one.</summary>
    private void AskFirst(Coordinator owner)
    {
        if (owner == _second && !_hasAskedFirst)
        {
            _hasAskedFirst = true;
            owner.Settle(Now + Coordination.OtherOwnerPatience);
            After(_plan.DelayMs, Hear);
        }
    }

    /// <summary>Each owner hears what the other knows, again and again while anybody asks the former one; the new one deals.</summary>
    private void Hear()
    {
        var (second, told) = (_second!, _first.Tell());
        _first.Yield(Now);
        _first.Heard(second.Tell(), Now);
        After(_plan.DelayMs, () =>
        {
            second.Heard(told, Now);
            second.Settled();
            Flush();
            if (told.State == LookupState.Available)
            {
                After(_pace.Next(told, second.Size is not null).TotalMilliseconds, Hear);
            }
        });
    }

    private void After(double milliseconds, Action action) => _events.Enqueue(action, (Now + TimeSpan.FromMilliseconds(milliseconds), _sequence++));

    /// <summary>A message between a node and the owner; the delay is the same for all, so they stay in order.</summary>
    private void ToOwner(Action action) => After(_plan.DelayMs, () =>
    {
        action();
        if (!_isFlushScheduled)
        {
            _isFlushScheduled = true;
            After(Policy.PushInterval(_plan.Nodes).TotalMilliseconds, Flush);
        }
    });

    private void Flush()
    {
        _isFlushScheduled = false;
        foreach (var owner in Owners)
        {
            foreach (var (name, push) in owner.TakePushes(Now))
            {
                After(_plan.DelayMs, () => _nodes[name].Pushed(owner, push));
            }
        }

        if (_second is null)
        {
            // Another owner has to take things as they are.
            FetchRules.Check(_first, Policy, Layout);
        }
    }

    internal sealed class Requester(MiniMesh mesh, string name, int seed, bool canReachOrigin, bool isInParts)
    {
        private readonly List<LookupResponse> _early = [];
        private readonly HashSet<int> _cancelled = [];
        private readonly PieceSet _have = new(mesh.Layout.PieceCount);
        private readonly HashSet<int> _incoming = [];
        private readonly List<Upload> _uploads = [];

        /// <summary>Requests that are under way.</summary>
        private readonly Dictionary<int, OpenRequest> _open = [];

        /// <summary>For what its readers wait for, how often they have asked for it themselves.</summary>
        private readonly Dictionary<int, int> _urgentTries = [];

        /// <summary>Where its readers are, if it has any that want parts.</summary>
        private readonly int[] _positions = [0, mesh.Layout.PieceCount / 2];

        /// <summary>Whom it asks.</summary>
        private Coordinator _coordinator = mesh._first;
        private Downloader? _downloader;
        private bool _isProbing;
        private bool _hasStarted;
        private bool _hasLeft;
        private bool _isReportScheduled;
        private TimeSpan _toldPauseUntil;

        public string Name { get; } = name;

        public bool IsDead { get; private set; }

        public bool IsComplete => _have.IsFull;

        public bool CanReachOrigin => canReachOrigin;

        /// <summary>Pieces that it read from the origin, each time.</summary>
        public List<int> ReadFromOrigin { get; } = [];

        /// <summary>Pieces that it asked of peers, each time, but for those that a reader asked for that waited.</summary>
        public List<int> AskedOfPeers { get; } = [];

        /// <summary>Pieces that a reader asked for that waited, each time.</summary>
        public List<int> AskedUrgently { get; } = [];

        /// <summary>Requests to peers for <see cref="AskedOfPeers"/>.</summary>
        public int Requests { get; private set; }

        /// <summary>How many of these brought less than they were to, by how they ended.</summary>
        public Dictionary<RangeOutcomeKind, int> Unfulfilled { get; } = [];

        /// <summary>Pieces that these did not bring, each time.</summary>
        public int NotBrought { get; private set; }

        /// <summary>Pieces that came and were here already.</summary>
        public int CameAgain { get; private set; }

        /// <summary>Messages from the owner to it.</summary>
        public int Pushes { get; private set; }

        /// <summary>Messages from it to the owner.</summary>
        public int Reports { get; private set; }

        /// <summary>How often it told the owner anew what it wants.</summary>
        public int AskedAgain { get; private set; }

        /// <summary>It has gone to another owner with some pieces, but not all.</summary>
        public bool MovedInTheMiddle { get; private set; }

        /// <summary>How often it had to turn somebody away.</summary>
        public int TurnedAway { get; private set; }

        public (int Moved, int Refused) Hedges => _downloader?.Hedges ?? default;

        private bool IsRunning => !IsDead && !_hasLeft;

        public void Start() => Do(() =>
        {
            _hasStarted = true;
            _coordinator = mesh._second ?? _coordinator;
            Ask(NewWant());
            mesh.After(20, Tick);
        });

        /// <summary>Another owner is responsible from now on.</summary>
        public void Move()
        {
            if (IsDead || !_hasStarted || _coordinator == mesh._second)
            {
                return;
            }

            var former = _coordinator;
            _coordinator = mesh._second!;
            var held = _have.Clone();
            if (_hasLeft)
            {
                ToOwner(owner => HolderChanged(owner, held));
                return;
            }

            Do(() =>
            {
                MovedInTheMiddle = _have.Count > 0;
                mesh.ToOwner(() =>
                {
                    former.Yield(mesh.Now);
                    former.Left(Name, mesh.Now, isMoving: true);
                });
                _downloader?.SessionStarted();
                var want = NewWant();
                want.Continued = true;
                want.Reading.AddRange(_downloader?.Reading() ?? (_isProbing ? [SizeProbes.Run] : []));
                want.OriginPauseMs = _downloader?.OriginPauseMs(mesh.Now) ?? 0;

                // What the former owner said of it is void.
                _toldPauseUntil = mesh.Now + TimeSpan.FromMilliseconds(want.OriginPauseMs);
                want.Fetching.AddRange(_downloader?.Fetching() ?? []);
                if (_downloader is not null)
                {
                    ToOwner(owner =>
                    {
                        mesh.AskFirst(owner);
                        owner.SizeKnown(mesh.Layout.Size, string.Empty, mesh.Now);
                        HolderChanged(owner, held);
                    });
                }

                Ask(want);
            });
        }

        public void Die()
        {
            if (IsDead || IsComplete)
            {
                return;
            }

            IsDead = true;
            _uploads.ToList().ForEach(upload => mesh.After(DeathNoticedMs, () => upload.End(RangeOutcomeKind.Failed)));
            mesh.ToOwner(() => _coordinator.Left(Name, mesh.Now));
            mesh.After(GraceMs, () => mesh.ToOwner(() => _coordinator.HolderChanged(Name, complete: false, null, mesh.Now)));
        }

        public void Pushed(Coordinator owner, LookupResponse push) => Do(() =>
        {
            if (owner != _coordinator)
            {
                return;
            }

            Assert.True(canReachOrigin || push.Granted.Count == 0, $"{Name} cannot reach the origin and was granted something");
            Pushes++;
            _toldPauseUntil = push.OriginPauseMs > 0 ? mesh.Now + TimeSpan.FromMilliseconds(push.OriginPauseMs) : _toldPauseUntil;
            if (_downloader is not null)
            {
                _downloader.Pushed(push, mesh.Now);
                return;
            }

            _early.Add(push);
            if (push.Size > 0)
            {
                Begin(probed: 0);
            }
            else if (push.Granted.Count > 0 && !_isProbing)
            {
                _isProbing = true;
                mesh.After(10, Probed);
            }
        });

        private void Do(Action action)
        {
            if (!IsRunning)
            {
                return;
            }

            action();
            foreach (var next in _downloader?.TakeActions() ?? [])
            {
                CarryOut(next);
            }

            if (IsComplete && !_hasLeft)
            {
                Report();
                _hasLeft = true;
                ToOwner(owner => owner.Left(Name, mesh.Now));
            }
        }

        private void Ask(Want want) => ToOwner(owner =>
        {
            mesh.AskFirst(owner);
            owner.Asked(Name, want, mesh.Now);
        });

        private Want NewWant() => new() { CanReachOrigin = canReachOrigin, Wanted = { _downloader?.TakeWanted() ?? (isInParts ? [new PieceRun()] : []) } };

        private void HolderChanged(Coordinator owner, PieceSet held) => owner.HolderChanged(Name, held.IsFull, held, mesh.Now);

        /// <summary>Its connection breaks with it: nothing that it had sent counts then.</summary>
        private void ToOwner(Action<Coordinator> action)
        {
            Reports++;
            var owner = _coordinator;
            mesh.ToOwner(() =>
            {
                if (!IsDead)
                {
                    action(owner);
                }
            });
        }

        private void Tick() => Do(() =>
        {
            _downloader?.Tick(mesh.Now);
            Advance();
            mesh.After(20, Tick);
        });

        private void Probed() => Do(() =>
        {
            if (_downloader is null)
            {
                var layout = mesh.Layout;
                ToOwner(owner => owner.SizeKnown(layout.Size, string.Empty, mesh.Now, Name));
                Begin(layout.Size <= ProtocolConstants.ProbeBytes ? layout.PieceCount : layout.PieceAt(ProtocolConstants.ProbeBytes));
            }
        });

        private void Begin(int probed)
        {
            _downloader = new Downloader(mesh.Layout, _have, RequesterPolicy, seed, mesh.Now, isWholeTold: !isInParts);
            if (probed > 0)
            {
                var id = _downloader.OriginRequestStarted(0, probed, mesh.Now);
                _open.Add(id, new OpenRequest(0, probed, IsUrgent: false));
                Read(id, 0, probed, 0);
            }

            foreach (var push in _early)
            {
                _downloader.Pushed(push, mesh.Now);
            }

            _downloader.DemandsChanged(isInParts ? Demands() : [new Demand(0, mesh.Layout.PieceCount, int.MaxValue)], mesh.Now);
        }

        /// <summary>One reads the first half, the other what is behind it; the latter came first, so it comes first.</summary>
        private Demand[] Demands() =>
            [new Demand(_positions[1], mesh.Layout.PieceCount, Ahead), new Demand(_positions[0], mesh.Layout.PieceCount / 2, Ahead)];

        /// <summary>Its readers go on as far as they can, and say where they are whether they have moved or not.</summary>
        private void Advance()
        {
            for (var i = 0; isInParts && _downloader is not null && i < _positions.Length; i++)
            {
                var next = _have.NextClear(_positions[i]);
                _positions[i] = next < 0 ? mesh.Layout.PieceCount : next;
                _downloader.DemandsChanged(Demands(), mesh.Now);
                if (next >= 0)
                {
                    AskUrgently(next);
                }
            }
        }

        /// <summary>A reader waits for the piece: some peer is asked for it besides all else, and another one when that has not sent it.</summary>
        private void AskUrgently(int piece)
        {
            if (_urgentTries.GetValueOrDefault(piece) == UrgentTries || _open.Values.Any(open => open.IsUrgent && open.Contains(piece))
                || _downloader!.AskUrgently(piece, mesh.Now) is not var (id, node))
            {
                return;
            }

            _urgentTries[piece] = _urgentTries.GetValueOrDefault(piece) + 1;
            AskedUrgently.Add(piece);
            _open.Add(id, new OpenRequest(piece, 1, IsUrgent: true));
            var fetch = new DownloadAction.FetchFromPeer(id, node, piece, 1, IsAssigned: false);
            mesh.After(mesh._plan.DelayMs, () => mesh._nodes[node].Serve(this, fetch, isUrgent: true));
        }

        private void CarryOut(DownloadAction action)
        {
            switch (action)
            {
                case DownloadAction.FetchFromPeer fetch:
                    Requests++;
                    AskedOfPeers.AddRange(Enumerable.Range(fetch.First, fetch.Count));
                    AssertNotUnderWay(fetch.First, fetch.Count);
                    _open.Add(fetch.Id, new OpenRequest(fetch.First, fetch.Count, IsUrgent: false));
                    mesh.After(mesh._plan.DelayMs, () => mesh._nodes[fetch.Node].Serve(this, fetch));
                    break;
                case DownloadAction.FetchFromOrigin read:
                    Assert.True(canReachOrigin, $"{Name} cannot reach the origin and was to read from it");
                    Assert.True(mesh.Now >= _toldPauseUntil, "the origin was read though it had asked for a pause");
                    _incoming.UnionWith(Enumerable.Range(read.First, read.Count));
                    if (read.IsGranted)
                    {
                        AssertNotUnderWay(read.First, read.Count);
                    }

                    _open.Add(read.Id, new OpenRequest(read.First, read.Count, IsUrgent: false));
                    mesh.After(10, () => Read(read.Id, read.First, read.Count, read.First));
                    break;
                case DownloadAction.Cancel cancel:
                    _cancelled.Add(cancel.Id);
                    break;
                case DownloadAction.GiveBack { Segments: var segments, OriginFailed: var failed, OriginPause: var pause }:
                    ToOwner(owner => owner.Reported(
                        Name, new GrantReport { GivenBack = { segments }, OriginFailed = failed, OriginPauseMs = (uint)pause.TotalMilliseconds }, mesh.Now));
                    break;
                case DownloadAction.ReportFailed failed:
                    Report(failed.Failed);
                    break;
                case DownloadAction.AskAgain when isInParts:
                    AskedAgain++;
                    Ask(NewWant());
                    break;
                case DownloadAction.AskAgain or DownloadAction.Fail:
                    throw new InvalidOperationException($"{Name} came to {action} at {mesh.Now}");
            }
        }

        /// <summary>But for a reader that waits, and for the last resort, nothing is asked for that is here or under way.</summary>
        private void AssertNotUnderWay(int first, int count)
        {
            var pieces = Enumerable.Range(first, count).ToList();
            Assert.DoesNotContain(pieces, _have.Contains);
            Assert.DoesNotContain(pieces, piece => _open.Values.Any(open => open.Contains(piece)));
        }

        private void Read(int id, int first, int count, int piece)
        {
            var pause = TimeSpan.FromMilliseconds(mesh._plan.PauseAtMs + mesh._plan.PauseMs) - mesh.Now;
            if (piece == first && pause > TimeSpan.Zero && mesh.Now >= TimeSpan.FromMilliseconds(mesh._plan.PauseAtMs))
            {
                mesh.ReadsDuringPause++;
                Do(() =>
                {
                    _incoming.ExceptWith(Enumerable.Range(first, count));
                    _open.Remove(id);
                    _toldPauseUntil = mesh.Now + pause;
                    _downloader!.OriginRequestEnded(id, succeeded: false, pause, mesh.Now);
                });
                return;
            }

            mesh.After(mesh._plan.PieceMs, () => Do(() =>
            {
                if (_cancelled.Contains(id) || piece == first + count)
                {
                    _incoming.ExceptWith(Enumerable.Range(first, count));
                    _open.Remove(id);
                    _downloader!.OriginRequestEnded(id, succeeded: true, TimeSpan.Zero, mesh.Now);
                    return;
                }

                ReadFromOrigin.Add(piece);
                Arrived(piece);
                Read(id, first, count, piece + 1);
            }));
        }

        private void Arrived(int piece)
        {
            CameAgain += _have.Add(piece) ? 0 : 1;
            _downloader!.PieceArrived(piece, mesh.Now);
            Advance();
            _uploads.ToList().ForEach(upload => upload.Arrived(piece));
            if (!_isReportScheduled)
            {
                _isReportScheduled = true;
                mesh.After(RequesterPolicy.ReportInterval.TotalMilliseconds, () => Do(() => Report()));
            }
        }

        private void Report(FailedFetch? failed = null)
        {
            if (failed is null && !_isReportScheduled)
            {
                return;
            }

            _isReportScheduled &= failed is not null;
            var held = _have.Clone();
            ToOwner(owner =>
            {
                HolderChanged(owner, held);
                owner.Reported(Name, new GrantReport { Failed = { failed is null ? [] : [failed] } }, mesh.Now);
            });
        }

        private void Serve(Requester reader, DownloadAction.FetchFromPeer fetch, bool isUrgent = false)
        {
            var upload = new Upload(this, reader, fetch, isUrgent);
            if (IsDead)
            {
                mesh.After(DeathNoticedMs, () => upload.End(RangeOutcomeKind.Failed));
            }
            else if (!isUrgent && _uploads.Count(static other => !other.IsUrgent) == Policy.CreditsOfShortSegments)
            {
                TurnedAway++;
                upload.End(RangeOutcomeKind.Busy);
            }
            else
            {
                _uploads.Add(upload);
                upload.Send();
            }
        }

        private void PeerEnded(int id, RangeOutcomeKind outcome, IReadOnlyList<PieceRun> pieces) => Do(() =>
        {
            _open.Remove(id, out var ended);
            var missing = Enumerable.Range(ended!.First, ended.Count).Count(piece => !_have.Contains(piece));
            if (missing > 0 && !ended.IsUrgent)
            {
                NotBrought += missing;
                Unfulfilled[outcome] = Unfulfilled.GetValueOrDefault(outcome) + 1;
            }

            _downloader!.PeerRequestEnded(id, outcome, [], pieces, mesh.Now);
        });

        private sealed record OpenRequest(int First, int Count, bool IsUrgent)
        {
            public bool Contains(int piece) => piece >= First && piece < First + Count;
        }

        /// <summary>One range that a node sends another.</summary>
        private sealed class Upload(Requester holder, Requester reader, DownloadAction.FetchFromPeer fetch, bool isUrgent)
        {
            private int _next = fetch.First;
            private bool _isSending;
            private bool _isOver;

            /// <summary>It takes nobody's place.</summary>
            public bool IsUrgent => isUrgent;

            /// <summary>A piece has come to the holder.</summary>
            public void Arrived(int piece)
            {
                if (piece == _next && !_isSending)
                {
                    Send();
                }
            }

            public void Send()
            {
                if (_isOver || holder.IsDead)
                {
                    return;
                }

                if (reader._cancelled.Contains(fetch.Id))
                {
                    End(RangeOutcomeKind.Cancelled);
                }
                else if (_next == fetch.First + fetch.Count)
                {
                    End(RangeOutcomeKind.Complete);
                }
                else if (holder._have.Contains(_next))
                {
                    _isSending = true;
                    var piece = _next++;
                    Mesh.After(Mesh._plan.DelayMs + 1, () =>
                    {
                        _isSending = false;
                        reader.Do(() => reader.Arrived(piece));
                        Send();
                    });
                }
                else if (holder.IsRunning && (fetch.IsAssigned || holder._incoming.Contains(_next)))
                {
                    // Goes on when the piece arrives; looks now and then whether anybody waits for it still.
                    Mesh.After(Mesh._plan.DelayMs, () => reader.Do(() => reader._downloader!.Waiting(fetch.Id, Mesh.Now)));
                    Watch();
                }
                else
                {
                    End(RangeOutcomeKind.NotHeld);
                }
            }

            public void End(RangeOutcomeKind outcome)
            {
                if (!_isOver)
                {
                    _isOver = true;
                    holder._uploads.Remove(this);
                    var pieces = fetch.IsAssigned ? [] : holder._have.ToPieceRuns().ToList();
                    Mesh.After(Mesh._plan.DelayMs, () => reader.PeerEnded(fetch.Id, outcome, pieces));
                }
            }

            private MiniMesh Mesh => holder.Owner;

            private void Watch() => Mesh.After(20, () =>
            {
                if (_isOver || _isSending)
                {
                    return;
                }

                if (reader._cancelled.Contains(fetch.Id) || !reader.IsRunning)
                {
                    End(RangeOutcomeKind.Cancelled);
                }
                else
                {
                    Watch();
                }
            });
        }

        private MiniMesh Owner => mesh;
    }
}
