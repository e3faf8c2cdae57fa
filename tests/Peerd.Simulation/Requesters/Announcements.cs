using Peerd.Node.Directory;
using Peerd.Simulation.Mesh;
using Peerd.Simulation.Owners;

namespace Peerd.Simulation.Requesters;

/// <summary>Tells those who are responsible for a content what this node holds of it, a while after it has changed.</summary>
internal sealed class Announcements(SimulatedMesh mesh, SimulatedDownload download)
{
    private int[] _told = [];
    private bool _isScheduled;

    /// <summary>More is here.</summary>
    public void Changed()
    {
        if (!_isScheduled)
        {
            _isScheduled = true;
            mesh.Timeline.After(mesh.About(mesh.Scenario.AnnounceInterval), Announce);
        }
    }

    /// <summary>Others may be responsible now: they are told everything, and those who are not any more forget it.</summary>
    public void RingChanged()
    {
        var told = _told;
        if (download.Pieces.Count > 0)
        {
            Announce();
        }

        mesh.Timeline.After(Announcer.WithdrawPause, () =>
        {
            foreach (var number in told.Except(_told))
            {
                Send(number, desk => desk.Withdrawn(download.Node));
            }
        });
    }

    private void Announce()
    {
        _isScheduled = false;
        if (!download.Node.IsAlive)
        {
            return;
        }

        _told = mesh.Responsible(download.Node, download.Content);
        var pieces = download.Pieces.Clone();
        foreach (var number in _told)
        {
            Send(number, desk => desk.Announced(download.Node, pieces, pieces.IsFull));
        }
    }

    private void Send(int number, Action<OwnerDesk> told)
    {
        var responsible = mesh.Nodes[number];
        mesh.Send(download.Node, responsible, () =>
        {
            // What a dead node had sent is lost with its connection, and nobody hears it at a dead one.
            if (download.Node.IsAlive && responsible.IsAlive)
            {
                told(mesh.DeskOf(responsible, download.Content));
            }
        });
    }
}
