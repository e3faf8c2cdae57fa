using Peerd.Node.Swarm;
using Peerd.Simulation.Owners;
using Peerd.Simulation.Requesters;

namespace Peerd.Simulation.Mesh;

/// <summary>One node: its links, its downloads, and what it coordinates.</summary>
internal sealed class SimulatedNode(int number, string name, string zone, int downlink, int contents)
{
    public int Number { get; } = number;

    public string Name { get; } = name;

    public string Zone { get; } = zone;

    /// <summary>Number of its downlink in the network.</summary>
    public int Downlink { get; } = downlink;

    /// <summary>It receives so slowly that nobody waits for it.</summary>
    public bool IsThin { get; init; }

    public bool IsAlive { get; private set; } = true;

    private TimeSpan _ringChangedAt = -CoordinationMesh.Lately;

    /// <summary>The ring that it sees.</summary>
    public int Ring { get; private set; }

    /// <summary>By content; null when it does not want it, or not yet.</summary>
    public SimulatedDownload?[] Downloads { get; } = new SimulatedDownload?[contents];

    /// <summary>Downloads that begin when one of the others is over.</summary>
    public Queue<SimulatedDownload> Waiting { get; } = [];

    /// <summary>By content; what it knows as somebody responsible.</summary>
    public OwnerDesk?[] Desks { get; } = new OwnerDesk?[contents];

    /// <summary>Ends the process: everything that others had with it breaks.</summary>
    public void Die()
    {
        IsAlive = false;
        foreach (var download in Downloads)
        {
            download?.Die();
        }

        foreach (var desk in Desks)
        {
            desk?.Die();
        }
    }

    /// <summary>Former owners may know more than those whom its ring names.</summary>
    public bool HasRingChangedLately(TimeSpan now) => now - _ringChangedAt < CoordinationMesh.Lately;

    /// <summary>Another ring is there to see; what comes late is older than what it sees.</summary>
    public void SeeRing(int ring, TimeSpan now)
    {
        if (ring <= Ring)
        {
            return;
        }

        Ring = ring;
        _ringChangedAt = now;
        foreach (var download in Downloads)
        {
            download?.RingChanged();
        }
    }
}
