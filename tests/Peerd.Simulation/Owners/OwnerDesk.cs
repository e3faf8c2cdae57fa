using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Ring;
using Peerd.Node.Swarm;
using Peerd.Simulation.Mesh;

namespace Peerd.Simulation.Owners;

/// <summary>
/// What a node knows of one content that it is, or was, responsible for, and how it coordinates it, as the node's own
/// Coordination does: a coordinator lives as long as it has sessions or yields, the directory longer.
/// </summary>
internal sealed class OwnerDesk
{
    private readonly SimulatedMesh _mesh;
    private readonly SimulatedContent _content;
    private readonly NodeDirectory _directory;
    private readonly Dictionary<string, LookupSession> _sessions = new(StringComparer.Ordinal);
    private readonly PushPace _pushes;
    private Coordinator? _machine;
    private bool _hasAskedOther;
    private bool _isAsking;
    private AskingPace _pace;
    private int _ticking;

    public OwnerDesk(SimulatedMesh mesh, SimulatedNode node, SimulatedContent content)
    {
        _mesh = mesh;
        _content = content;
        _directory = new NodeDirectory(content.Layout.PieceCount);
        _pace = new AskingPace(mesh.Scenario.Coordination);
        _pushes = new PushPace(mesh.Timeline, () => mesh.Scenario.Coordination.PushInterval(_sessions.Count), Push);
        Node = node;
    }

    public SimulatedNode Node { get; }

    /// <summary>The ring has changed a short time ago, and since then another member, which lives, is the owner.</summary>
    private bool HasMovedLately =>
        Node.HasRingChangedLately(_mesh.Now) && _mesh.Nodes[_mesh.Responsible(Node, _content)[0]] is { IsAlive: true } owner && owner != Node;

    public void Opened(LookupSession session, Want want)
    {
        var name = session.Requester.Name;
        var begun = _mesh.Counts.Begin();
        if (_machine is null)
        {
            OpenMachine();
        }
        else if (_sessions.ContainsKey(name))
        {
            // A node that asks on a second stream has lost the first one.
            _machine.Left(name, _mesh.Now);
        }

        _sessions[name] = session;
        if (want.Size > 0)
        {
            _machine!.SizeKnown(want.Size, string.Empty, _mesh.Now);
        }

        AskOtherOwner(want);
        Enter(session.Requester, SetOf(want.Have), isComplete: false);
        _machine!.Asked(name, want, _mesh.Now);
        End(begun);
    }

    public void Asked(LookupSession session, Want want)
    {
        if (IsCurrent(session))
        {
            var begun = _mesh.Counts.Begin();
            _machine!.Asked(session.Requester.Name, want, _mesh.Now);
            End(begun);
        }
    }

    public void Reported(LookupSession session, GrantReport report)
    {
        if (!IsCurrent(session))
        {
            return;
        }

        var begun = _mesh.Counts.Begin();
        if (report.Size > 0)
        {
            _machine!.SizeKnown(report.Size, string.Empty, _mesh.Now, session.Requester.Name);
        }

        foreach (var checksums in report.Checksums)
        {
            _machine!.ChecksumsKnown(session.Requester.Name, (int)checksums.Piece, [.. checksums.Frames]);
        }

        Enter(session.Requester, SetOf(report.Arrived), isComplete: false);
        _machine!.Reported(session.Requester.Name, report, _mesh.Now);
        End(begun);
    }

    /// <summary>The session has ended: the requester has all, has turned to another owner, or is dead.</summary>
    public void Left(LookupSession session)
    {
        if (!Node.IsAlive || !IsCurrent(session))
        {
            return;
        }

        var begun = _mesh.Counts.Begin();
        _sessions.Remove(session.Requester.Name);
        if (session.IsMoving && HasMovedLately)
        {
            // To the one who deals now.
            _machine!.Yield(_mesh.Now);
        }

        _machine!.Left(session.Requester.Name, _mesh.Now, session.IsMoving);
        End(begun);
        CloseIfIdle();
    }

    public void Announced(SimulatedNode holder, PieceSet pieces, bool isComplete)
    {
        var begun = _mesh.Counts.Begin();
        Enter(holder, pieces, isComplete);
        End(begun);
    }

    /// <summary>The node holds nothing any more, or announces it to others.</summary>
    public void Withdrawn(SimulatedNode holder)
    {
        if (_directory.Remove(holder.Number))
        {
            var begun = _mesh.Counts.Begin();
            _machine?.HolderChanged(holder.Name, complete: false, null, _mesh.Now);
            End(begun);
        }
    }

    /// <summary>The node is dead: its requesters notice that their sessions are broken.</summary>
    public void Die()
    {
        foreach (var session in _sessions.Values)
        {
            _mesh.Timeline.After(_mesh.About(_mesh.Scenario.DeathNoticed), session.Broken);
        }
    }

    /// <summary>Just after the ring has changed another member may know who holds and reads what.</summary>
    private void AskOtherOwner(Want want)
    {
        if (_hasAskedOther || !(want.Continued || Node.HasRingChangedLately(_mesh.Now)))
        {
            return;
        }

        _hasAskedOther = true;
        _machine!.Settle(_mesh.Now + Coordination.OtherOwnerPatience);
        BeginAsking();
    }

    private void BeginAsking()
    {
        if (_machine is { } machine && _sessions.Count > 0 && !_isAsking)
        {
            _pace = new AskingPace(_mesh.Scenario.Coordination);
            Ask(machine);
        }
    }

    private void Ask(Coordinator machine)
    {
        _isAsking = true;
        if (_mesh.Responsible(Node, _content).Where(number => number != Node.Number).Select(number => _mesh.Nodes[number]).FirstOrDefault() is not { } other)
        {
            _mesh.Timeline.After(TimeSpan.Zero, () => Heard(machine, null));
            return;
        }

        _mesh.Send(Node, other, () =>
        {
            if (other.IsAlive)
            {
                var known = _mesh.DeskOf(other, _content).Tell(Node);
                _mesh.Send(other, Node, () => Heard(machine, new OtherOwner(other.Name, known, IsNearer(other))));
            }
            else
            {
                var noticed = _mesh.About(_mesh.Scenario.DeathNoticed);
                _mesh.Timeline.After(noticed < Coordination.OtherOwnerPatience ? noticed : Coordination.OtherOwnerPatience, () => Heard(machine, null));
            }
        });
    }

    private bool IsNearer(SimulatedNode other) => HashRing.IsNearer(_content.Digest, other.Name, Node.Name);

    private LookupResponse Tell(SimulatedNode other)
    {
        var isNearer = IsNearer(other);
        if (_machine is null && isNearer)
        {
            OpenMachine();
        }

        var known = (_machine ?? NewMachine()).Tell();
        if (isNearer)
        {
            _machine!.Yield(_mesh.Now);
            BeginAsking();
        }

        _mesh.Counts.CoordinatorMessages++;
        return known;
    }

    /// <summary>The other owner has answered; null: it has not.</summary>
    private void Heard(Coordinator machine, OtherOwner? other)
    {
        if (machine != _machine || !Node.IsAlive)
        {
            return;
        }

        var begun = _mesh.Counts.Begin();
        var isAsked = false;
        if (other is not null)
        {
            isAsked = other.Known.State == LookupState.Available;
            machine.Heard(other.Known, _mesh.Now);
            if (isAsked && other.IsNearer)
            {
                machine.Yield(_mesh.Now);
            }
        }

        // Again while others ask there, or may do so because they see an older ring.
        _isAsking = _sessions.Count > 0 && (isAsked || Node.HasRingChangedLately(_mesh.Now));
        if (_isAsking)
        {
            _mesh.Timeline.After(_pace.Next(other?.Known, machine.Size is not null), () =>
            {
                if (machine == _machine && Node.IsAlive)
                {
                    Ask(machine);
                }
            });
        }

        machine.Settled();
        End(begun);
    }

    private void OpenMachine()
    {
        _machine = NewMachine();
        (_hasAskedOther, _isAsking) = (false, false);
        var number = ++_ticking;
        _mesh.Timeline.After(Coordination.TickInterval, () => Tick(number));
    }

    /// <summary>A new coordinator begins with what the directory knows.</summary>
    private Coordinator NewMachine()
    {
        var machine = new Coordinator(_mesh.Scenario.Coordination, _content.SeedOfOwner, name => _mesh.NodeOf(name).Zone);
        if (!_directory.IsEmpty)
        {
            machine.SizeKnown(_content.Layout.Size, string.Empty, _mesh.Now);
            foreach (var (holder, holding) in _directory.Holdings)
            {
                machine.HolderChanged(_mesh.Nodes[holder].Name, holding.IsComplete, holding.Pieces.Clone(), _mesh.Now);
            }
        }

        return machine;
    }

    private void Enter(SimulatedNode holder, PieceSet pieces, bool isComplete)
    {
        if (pieces.Count > 0 && _directory.Enter(holder.Number, pieces, isComplete) is { } holding && _machine is not null)
        {
            if (_machine.Size is null)
            {
                _machine.SizeKnown(_content.Layout.Size, string.Empty, _mesh.Now);
            }

            _machine.HolderChanged(holder.Name, holding.IsComplete, holding.Pieces.Clone(), _mesh.Now);
        }
    }

    private void Tick(int number)
    {
        if (!Node.IsAlive || _machine is null || number != _ticking)
        {
            return;
        }

        var begun = _mesh.Counts.Begin();
        _machine.Tick(_mesh.Now);
        _mesh.Counts.End(begun);
        _pushes.Request();
        CloseIfIdle();
        _mesh.Timeline.After(Coordination.TickInterval, () => Tick(number));
    }

    /// <summary>Those who come soon must not find a coordinator that does not know that another one deals.</summary>
    private void CloseIfIdle()
    {
        if (_sessions.Count == 0 && _machine?.Yields(_mesh.Now) == false)
        {
            _machine = null;
        }
    }

    private bool IsCurrent(LookupSession session) => _sessions.TryGetValue(session.Requester.Name, out var current) && current == session;

    private void End(long begun)
    {
        _mesh.Counts.End(begun);
        _mesh.Counts.CoordinatorMessages++;
        _pushes.Request();
    }

    private void Push()
    {
        if (_machine is null || !Node.IsAlive)
        {
            return;
        }

        var begun = _mesh.Counts.Begin();
        var pushes = _machine.TakePushes(_mesh.Now).ToList();
        _mesh.Counts.End(begun);
        foreach (var (name, push) in pushes)
        {
            if (_sessions.TryGetValue(name, out var session))
            {
                _mesh.Counts.OwnerMessages++;
                _mesh.Counts.CoordinatorMessages++;
                _mesh.Send(Node, session.Requester, () => session.Pushed(push));
            }
        }
    }

    private PieceSet SetOf(IEnumerable<PieceRun> runs)
    {
        var pieces = new PieceSet(_content.Layout.PieceCount);
        pieces.AddRuns(runs);
        return pieces;
    }
}
