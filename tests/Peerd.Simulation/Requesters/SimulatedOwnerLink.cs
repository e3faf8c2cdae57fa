using Peerd.Contracts.V1;
using Peerd.Node.Swarm;
using Peerd.Simulation.Mesh;
using Peerd.Simulation.Owners;

namespace Peerd.Simulation.Requesters;

/// <summary>
/// The Lookup session of one download, as the node's own OwnerLink keeps it: with the owner, with the replica when the
/// owner is silent, and again with the owner when the ring changes.
/// </summary>
internal sealed class SimulatedOwnerLink(SimulatedMesh mesh, SimulatedDownload download)
{
    private readonly List<GrantReport> _kept = [];
    private int[] _responsible = [];
    private int _attempt;
    private LookupSession? _session;
    private bool _isClosed;

    private bool HasOwnerChanged => mesh.Responsible(download.Node, download.Content)[0] != _responsible[0];

    public void Start()
    {
        _responsible = mesh.Responsible(download.Node, download.Content);
        _attempt = 0;
        Talk();
    }

    public void Report(GrantReport report)
    {
        if (_session is null)
        {
            _kept.Add(report);
            return;
        }

        SendToOwner(_session, session => session.Desk.Reported(session, report));
    }

    public void AskAgain(Want want)
    {
        // A session that is still to begin brings its own want.
        if (_session is not null)
        {
            SendToOwner(_session, session => session.Desk.Asked(session, want));
        }
    }

    /// <summary>Goes to the new owner a moment later. Between two attempts the ring is not looked at.</summary>
    public void RingChanged()
    {
        if (_session is { } former && HasOwnerChanged)
        {
            mesh.Timeline.After(OwnerLink.Lingering, () =>
            {
                if (former == _session && HasOwnerChanged)
                {
                    former.IsMoving = true;
                    Leave();
                    Start();
                }
            });
        }
    }

    /// <summary>Everything is here: ends the session after what was reported.</summary>
    public void Close()
    {
        _isClosed = true;
        Leave();
    }

    /// <summary>The requester is dead: the owner notices it by itself.</summary>
    public void Die()
    {
        _isClosed = true;
        if (_session is { } session)
        {
            _session = null;
            mesh.Timeline.After(mesh.About(mesh.Scenario.DeathNoticed), () => session.Desk.Left(session));
        }
    }

    /// <summary>A push has arrived.</summary>
    public void Pushed(LookupSession session, LookupResponse push)
    {
        if (session == _session)
        {
            download.Pushed(push);
        }
    }

    /// <summary>The session broke, or could not be opened.</summary>
    public void Broken(LookupSession session)
    {
        if (session == _session)
        {
            _session = null;
            if (HasOwnerChanged)
            {
                Start();
                return;
            }

            _attempt++;
            Talk();
        }
    }

    private void Talk()
    {
        if (_attempt >= _responsible.Length)
        {
            download.OwnerLost();
            mesh.Timeline.After(OwnerLink.RetryPause, () =>
            {
                if (!_isClosed && _session is null)
                {
                    Start();
                }
            });
            return;
        }

        var owner = mesh.Nodes[_responsible[_attempt]];
        var session = new LookupSession(this, download.Node, mesh.DeskOf(owner, download.Content));
        var want = download.CreateWant();
        _session = session;
        SendToOwner(session, opened => opened.Desk.Opened(opened, want));
        foreach (var report in _kept)
        {
            SendToOwner(session, opened => opened.Desk.Reported(opened, report));
        }

        _kept.Clear();
    }

    private void Leave()
    {
        if (_session is { } session)
        {
            _session = null;
            SendToOwner(session, left => left.Desk.Left(left));
        }
    }

    private void SendToOwner(LookupSession session, Action<LookupSession> arrived)
    {
        mesh.Counts.OwnerMessages++;
        mesh.Send(download.Node, session.Desk.Node, () =>
        {
            if (!session.Desk.Node.IsAlive)
            {
                mesh.Timeline.After(mesh.About(mesh.Scenario.DeathNoticed), () => Broken(session));
            }
            else if (download.Node.IsAlive)
            {
                arrived(session);
            }
        });
    }
}
