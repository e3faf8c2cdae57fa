using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>How a mesh of some requesters and one owner runs; all of it follows from the seed.</summary>
internal sealed record MeshPlan(int Seed, int Nodes, long Size, int DelayMs, int StartSpreadMs, int Kills, int PieceMs = 4);

/// <summary>
/// Both state machines together in virtual time: requesters, their owner, an origin that counts, messages in order and
/// delayed, nodes that die. What a node holds reaches the owner as the directory would tell it.
/// </summary>
internal sealed class MiniMesh
{
    private const int Uploads = 16;

    /// <summary>Until the directory forgets a dead node: well before requesters lose patience.</summary>
    private const int GraceMs = 1000;

    private readonly MeshPlan _plan;
    private readonly Random _random;
    private readonly Coordinator _coordinator;
    private readonly List<Requester> _nodes = [];
    private readonly PriorityQueue<Action, (TimeSpan, long)> _events = new();
    private long _sequence;

    public MiniMesh(MeshPlan plan)
    {
        _plan = plan;
        _random = new Random(plan.Seed);
        Layout = new ContentLayout(plan.Size);
        _coordinator = new Coordinator(new CoordinatorPolicy(), plan.Seed);
        for (var i = 0; i < plan.Nodes; i++)
        {
            _nodes.Add(new Requester(this, $"n{i:d2}", plan.Seed + i));
        }
    }

    public ContentLayout Layout { get; }

    public TimeSpan Now { get; private set; }

    public IEnumerable<Requester> Living => _nodes.Where(node => !node.IsDead);

    public IEnumerable<Requester> Dead => _nodes.Where(node => node.IsDead);

    public IEnumerable<Requester> All => _nodes;

    public void Run(TimeSpan limit)
    {
        foreach (var node in _nodes)
        {
            After(_random.Next(_plan.StartSpreadMs + 1), node.Start);
        }

        for (var kill = 0; kill < Math.Min(_plan.Kills, _plan.Nodes - 1); kill++)
        {
            After(_random.Next(400), _nodes[kill].Die);
        }

        After(250, TickOwner);
        while (Living.Any(node => !node.IsComplete) && Now < limit && _events.TryDequeue(out var next, out var when))
        {
            Now = when.Item1;
            next();
        }
    }

    private void TickOwner()
    {
        _coordinator.Tick(Now);
        Flush();
        After(250, TickOwner);
    }

    private void After(double milliseconds, Action action) => _events.Enqueue(action, (Now + TimeSpan.FromMilliseconds(milliseconds), _sequence++));

    /// <summary>A message between a node and the owner; the delay is the same for all, so they stay in order.</summary>
    private void ToOwner(Action action) => After(_plan.DelayMs, () =>
    {
        action();
        Flush();
    });

    private void Flush()
    {
        foreach (var (name, push) in _coordinator.TakePushes())
        {
            var node = _nodes.Find(node => node.Name == name)!;
            After(_plan.DelayMs, () => node.Pushed(push));
        }
    }

    internal sealed class Requester(MiniMesh mesh, string name, int seed)
    {
        private readonly List<LookupResponse> _early = [];
        private readonly HashSet<int> _cancelled = [];
        private readonly PieceSet _have = new(mesh.Layout.PieceCount);
        private readonly HashSet<int> _incoming = [];
        private Downloader? _downloader;
        private bool _isProbing;
        private bool _hasLeft;
        private int _uploads;

        public string Name { get; } = name;

        public bool IsDead { get; private set; }

        public bool IsComplete => _have.IsFull;

        /// <summary>Pieces that it read from the origin, each time.</summary>
        public List<int> ReadFromOrigin { get; } = [];

        private bool IsRunning => !IsDead && !_hasLeft;

        public void Start() => Do(() =>
        {
            mesh.ToOwner(() =>
            {
                // Its connection breaks with it: nothing that it had sent counts then.
                if (!IsDead)
                {
                    mesh._coordinator.Asked(Name, canReachOrigin: true, isContinued: false, [], mesh.Now);
                }
            });
            mesh.After(20, Tick);
        });

        public void Die()
        {
            if (IsDead || IsComplete)
            {
                return;
            }

            IsDead = true;
            mesh.ToOwner(() => mesh._coordinator.Left(Name, mesh.Now));
            mesh.After(GraceMs, () =>
            {
                mesh._coordinator.HolderChanged(Name, complete: false, null, mesh.Now);
                mesh.Flush();
            });
        }

        public void Pushed(LookupResponse push) => Do(() =>
        {
            if (_downloader is not null)
            {
                _downloader.Pushed(push, mesh.Now);
                return;
            }

            _early.Add(push);
            if (push.Size > 0)
            {
                Begin();
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
                _hasLeft = true;
                mesh.ToOwner(() => mesh._coordinator.Left(Name, mesh.Now));
            }
        }

        private void Tick() => Do(() =>
        {
            _downloader?.Tick(mesh.Now);
            mesh.After(20, Tick);
        });

        private void Begin()
        {
            _downloader = new Downloader(mesh.Layout, _have, new DownloaderPolicy(), seed, mesh.Now);
            foreach (var push in _early)
            {
                _downloader.Pushed(push, mesh.Now);
            }

            _downloader.DemandsChanged([new Demand(0, mesh.Layout.PieceCount, int.MaxValue)], mesh.Now);
        }

        private void Probed() => Do(() =>
        {
            if (_downloader is not null)
            {
                return;
            }

            var layout = mesh.Layout;
            var pieces = layout.Size <= ProtocolConstants.ProbeBytes ? layout.PieceCount : layout.PieceAt(ProtocolConstants.ProbeBytes);
            _downloader = new Downloader(layout, _have, new DownloaderPolicy(), seed, mesh.Now);
            var id = _downloader.OriginRequestStarted(0, pieces, mesh.Now);
            _incoming.UnionWith(Enumerable.Range(0, pieces));
            mesh.ToOwner(() => mesh._coordinator.SizeKnown(layout.Size, string.Empty, mesh.Now));
            foreach (var push in _early)
            {
                _downloader.Pushed(push, mesh.Now);
            }

            _downloader.DemandsChanged([new Demand(0, layout.PieceCount, int.MaxValue)], mesh.Now);
            Read(id, 0, pieces, 0);
        });

        private void CarryOut(DownloadAction action)
        {
            switch (action)
            {
                case DownloadAction.FetchFromPeer fetch:
                    mesh.After(mesh._plan.DelayMs, () => mesh._nodes.Find(node => node.Name == fetch.Node)!.Serve(this, fetch));
                    break;
                case DownloadAction.FetchFromOrigin read:
                    _incoming.UnionWith(Enumerable.Range(read.First, read.Count));
                    mesh.After(10, () => Read(read.Id, read.First, read.Count, read.First));
                    break;
                case DownloadAction.Cancel cancel:
                    _cancelled.Add(cancel.Id);
                    break;
                case DownloadAction.GiveBack giveBack:
                    mesh.ToOwner(() => mesh._coordinator.GivenBack(Name, giveBack.Segments, giveBack.OriginFailed, mesh.Now));
                    break;
                case DownloadAction.Fail:
                    throw new InvalidOperationException($"{Name} gave up at {mesh.Now}");
            }
        }

        private void Read(int id, int first, int count, int piece) => mesh.After(mesh._plan.PieceMs, () => Do(() =>
        {
            if (_cancelled.Contains(id) || piece == first + count)
            {
                _incoming.ExceptWith(Enumerable.Range(first, count));
                _downloader!.OriginRequestEnded(id, succeeded: true, mesh.Now);
                return;
            }

            if (!_have.Contains(piece))
            {
                ReadFromOrigin.Add(piece);
            }

            Arrived(piece);
            Read(id, first, count, piece + 1);
        }));

        private void Arrived(int piece)
        {
            _have.Add(piece);
            _downloader!.PieceArrived(piece, mesh.Now);
            var held = _have.Clone();
            mesh.ToOwner(() =>
            {
                if (!IsDead)
                {
                    mesh._coordinator.HolderChanged(Name, held.IsFull, held, mesh.Now);
                }
            });
        }

        private void Serve(Requester reader, DownloadAction.FetchFromPeer fetch)
        {
            if (IsDead)
            {
                mesh.After(100, () => reader.PeerEnded(fetch.Id, RangeOutcomeKind.Failed));
            }
            else if (_uploads == Uploads)
            {
                mesh.After(mesh._plan.DelayMs, () => reader.PeerEnded(fetch.Id, RangeOutcomeKind.Busy));
            }
            else
            {
                _uploads++;
                Send(reader, fetch, fetch.First);
            }
        }

        private void Send(Requester reader, DownloadAction.FetchFromPeer fetch, int piece)
        {
            if (IsDead || piece == fetch.First + fetch.Count)
            {
                End(IsDead ? RangeOutcomeKind.Failed : RangeOutcomeKind.Complete);
            }
            else if (_have.Contains(piece))
            {
                mesh.After(mesh._plan.DelayMs + 1, () =>
                {
                    reader.Do(() => reader.Arrived(piece));
                    Send(reader, fetch, piece + 1);
                });
            }
            else if (_incoming.Contains(piece))
            {
                mesh.After(1, () => Send(reader, fetch, piece));
            }
            else
            {
                End(RangeOutcomeKind.NotHeld);
            }

            void End(RangeOutcomeKind outcome)
            {
                _uploads--;
                mesh.After(mesh._plan.DelayMs, () => reader.PeerEnded(fetch.Id, outcome));
            }
        }

        private void PeerEnded(int id, RangeOutcomeKind outcome) => Do(() => _downloader!.PeerRequestEnded(id, outcome, [], mesh.Now));
    }
}
