using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;
using Peerd.Simulation.Mesh;

namespace Peerd.Simulation.Requesters;

/// <summary>
/// One content on one node: brings it here as the node's own Download does, with the real state machine, then holds it.
/// Serves what is here, or comes here, to others.
/// </summary>
internal sealed class SimulatedDownload(SimulatedMesh mesh, SimulatedNode node, SimulatedContent content)
{
    private const int MaxHolders = 16;

    private readonly Dictionary<int, RequesterRead> _reads = [];
    private SimulatedOwnerLink? _link;
    private DownloadReport? _report;
    private Announcements? _announcements;
    private Downloader? _machine;
    private OriginRead? _probe;
    private List<LookupResponse>? _early = [];
    private bool _hadSession;
    private bool _isOwnerLost;
    private TimeSpan _endedAt;

    public SimulatedNode Node { get; } = node;

    public SimulatedContent Content { get; } = content;

    public TimeSpan StartsAt { get; init; }

    /// <summary>From its start until everything was here.</summary>
    public TimeSpan Took => _endedAt - StartsAt;

    public bool IsStarted { get; private set; }

    public bool IsComplete { get; private set; }

    public ReceivedFrames Frames { get; } = new(content.Layout);

    /// <summary>The pieces that are here.</summary>
    public PieceSet Pieces => Frames.Pieces;

    public Uploads Uploads { get; } = new();

    private bool IsRunning => IsStarted && !IsComplete && Node.IsAlive;

    public void Start()
    {
        if (!Node.IsAlive)
        {
            return;
        }

        IsStarted = true;
        _link = new SimulatedOwnerLink(mesh, this);
        _report = new DownloadReport(mesh, Content.Layout, _link);
        _announcements = new Announcements(mesh, this);
        _link.Start();
        mesh.Timeline.After(mesh.About(Download.TickInterval), Tick);
    }

    public void Die()
    {
        if (!IsComplete)
        {
            mesh.DownloadIsOver(Node);
        }

        foreach (var read in _reads.Values)
        {
            read.Drop();
        }

        _probe?.Drop();
        Uploads.Break();
        _link?.Die();
    }

    public void RingChanged()
    {
        if (IsRunning)
        {
            _link!.RingChanged();
        }

        if (IsStarted && Node.IsAlive)
        {
            _announcements!.RingChanged();
        }
    }

    /// <summary>The first message of a new session.</summary>
    public Want CreateWant()
    {
        _machine?.SessionStarted();
        var want = NewWant();
        want.Have.AddRange(Pieces.ToPieceRuns());
        want.Reading.AddRange(_machine?.Reading() ?? (_probe is null ? [] : [SizeProbes.Run]));
        want.Fetching.AddRange(_machine?.Fetching() ?? []);
        want.OriginPauseMs = _machine?.OriginPauseMs(mesh.Now) ?? 0;
        want.Continued = _hadSession;
        _hadSession = true;
        return want;
    }

    public void Pushed(LookupResponse push) => Do(() =>
    {
        _isOwnerLost = false;
        if (_machine is not null)
        {
            _machine.Pushed(push, mesh.Now);
        }
        else
        {
            _early!.Add(push);
            if (push.Size > 0)
            {
                Begin();
            }
            else if (push.Granted.Count > 0)
            {
                Probe();
            }
        }
    });

    public void OwnerLost() => Do(() =>
    {
        _isOwnerLost = true;
        if (_machine is not null)
        {
            _machine.OwnerLost(mesh.Now);
        }
        else
        {
            Probe();
        }
    });

    public void FrameArrived(int frame, bool isFromOrigin)
    {
        if (!IsRunning)
        {
            return;
        }

        var piece = Frames.PieceOf(frame);
        switch (Frames.Add(frame))
        {
            case FrameNews.Repeated:
                mesh.Counts.Repeated++;
                BytesArrived(piece, Content.Layout.FramesPerMessage);
                return;
            case FrameNews.Part:
                BytesArrived(piece, Content.Layout.FramesPerMessage);
                if (isFromOrigin)
                {
                    _report!.Reading(piece);
                }

                break;
            case FrameNews.Piece:
                BytesArrived(piece, Content.Layout.FramesPerMessage - 1);
                _machine!.PieceArrived(piece, mesh.Now);
                _report!.Arrived(piece, isFromOrigin, _machine.HasSegmentOf(piece));
                CarryOut();
                _announcements!.Changed();
                break;
        }

        Uploads.FrameHere(frame);
        CompleteIfAllIsHere();
    }

    // A node tells of each frame of a message.
    private void BytesArrived(int piece, int frames)
    {
        for (var i = 0; i < frames; i++)
        {
            _machine!.BytesArrived(piece, mesh.Now);
        }
    }

    /// <summary>What becomes of a frame that is not here, as seen by a reader that must not wait for itself.</summary>
    public PieceArrival ArrivalOf(int frame, string reader)
    {
        var piece = Frames.PieceOf(frame);
        return !IsRunning ? PieceArrival.None
            : _machine is null ? PieceArrival.Expected
            : _machine.ArrivalOf(piece, reader);
    }

    /// <summary>A range has ended with an answer of the holder, or with a broken stream.</summary>
    public void RangeEnded(RangeRead read, RangeOutcomeKind outcome, SimulatedDownload? holder) => Do(() =>
    {
        _reads.Remove(read.Request.Id);
        var others = outcome is RangeOutcomeKind.Busy or RangeOutcomeKind.NotHeld ? holder?._machine?.HoldersOf(read.Request.First) : null;
        var pieces = read.Request.IsAssigned ? null : holder?.HaveOrIncoming().ToPieceRuns();
        _machine!.PeerRequestEnded(read.Request.Id, outcome, [.. (others ?? []).Take(MaxHolders)], [.. pieces ?? []], mesh.Now);
    });

    public void RangeAbandoned(int id) => Do(() => _machine!.RequestAbandoned(id, mesh.Now));

    public void RangeWaits(int id) => Do(() => _machine!.Waiting(id, mesh.Now));

    public void OriginReadEnded(int id) => Do(() =>
    {
        _reads.Remove(id);
        _machine!.OriginRequestEnded(id, succeeded: true, TimeSpan.Zero, mesh.Now);
    });

    /// <summary>Tells the state machine of an event, and carries out what it wants done then.</summary>
    private void Do(Action happened)
    {
        if (IsRunning)
        {
            happened();
            CarryOut();
        }
    }

    private void CarryOut()
    {
        foreach (var action in _machine?.TakeActions() ?? [])
        {
            switch (action)
            {
                case DownloadAction.FetchFromPeer fetch:
                    var range = new RangeRead(mesh, this, mesh.NodeOf(fetch.Node), fetch);
                    _reads.Add(fetch.Id, range);
                    range.Start();
                    break;
                case DownloadAction.FetchFromOrigin fetch:
                    mesh.Counts.LastResorts += fetch.IsGranted ? 0 : 1;
                    var read = new OriginRead(mesh, this, fetch.First, fetch.Count) { Id = fetch.Id };
                    _reads.Add(fetch.Id, read);
                    read.Start();
                    break;
                case DownloadAction.Cancel cancel:
                    if (_reads.Remove(cancel.Id, out var cancelled))
                    {
                        cancelled.Cancel();
                    }

                    break;
                case DownloadAction.GiveBack giveBack:
                    _report!.Flush();
                    _link!.Report(new GrantReport { GivenBack = { giveBack.Segments }, OriginFailed = giveBack.OriginFailed });
                    break;
                case DownloadAction.ReportFailed failed:
                    _report!.Flush(failed.Failed);
                    break;
                case DownloadAction.AskAgain:
                    _link!.AskAgain(NewWant());
                    break;
                case DownloadAction.Fail:
                    // It stays as it is, and counts as unfinished.
                    break;
                default:
                    throw new InvalidOperationException($"a simulated download does not know how to carry out {action}");
            }
        }
    }

    private void Tick()
    {
        if (!Node.IsAlive)
        {
            return;
        }

        Uploads.TellWaiting();
        if (IsRunning)
        {
            _machine?.Tick(mesh.Now);
            CarryOut();
            mesh.Timeline.After(Download.TickInterval, Tick);
        }
    }

    private Want NewWant() => new()
    {
        Member = new Member { Node = Node.Name },
        Digest = Content.Digest.ToString(),
        Size = _machine is null ? 0 : Content.Layout.Size,
        CanReachOrigin = true,
        Wanted = { _machine?.TakeWanted() ?? [] },
    };

    private PieceSet HaveOrIncoming()
    {
        var pieces = Pieces.Clone();
        _machine?.AddIncoming(pieces);
        return pieces;
    }

    /// <summary>Finds out the size at the origin and reads the beginning while at it.</summary>
    private void Probe()
    {
        if (_probe is not null)
        {
            return;
        }

        var layout = Content.Layout;
        var pieces = layout.Size <= ProtocolConstants.ProbeBytes ? layout.PieceCount : layout.PieceAt(ProtocolConstants.ProbeBytes);
        _probe = new OriginRead(mesh, this, 0, pieces);
        _probe.Start(Probed);
    }

    private void Probed()
    {
        if (_machine is not null)
        {
            // Its size has become known in the meantime, and others read its beginning.
            _probe!.Drop();
            return;
        }

        Begin(_probe);
        CarryOut();
        _link!.Report(new GrantReport { Size = Content.Layout.Size });
    }

    private void Begin(OriginRead? arriving = null)
    {
        _machine = new Downloader(Content.Layout, Pieces, mesh.Scenario.Downloading, Content.SeedOf(Node.Name), mesh.Now);
        if (arriving is not null)
        {
            // Before the grant for it is heard of, or the same would be asked for twice.
            arriving.Id = _machine.OriginRequestStarted(0, arriving.Count, mesh.Now);
            _reads.Add(arriving.Id, arriving);
        }

        foreach (var push in _early ?? [])
        {
            _machine.Pushed(push, mesh.Now);
        }

        _early = null;
        if (_isOwnerLost)
        {
            _machine.OwnerLost(mesh.Now);
        }

        _machine.DemandsChanged([new Demand(0, Content.Layout.PieceCount, int.MaxValue)], mesh.Now);
    }

    private void CompleteIfAllIsHere()
    {
        if (!Pieces.IsFull)
        {
            return;
        }

        IsComplete = true;
        _endedAt = mesh.Now;
        mesh.DownloadIsOver(Node);
        _report!.Flush();
        _link!.Close();
    }
}
