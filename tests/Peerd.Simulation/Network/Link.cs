using System.Runtime.InteropServices;

namespace Peerd.Simulation.Network;

/// <summary>What frames pass through at a limited rate: a node's downlink, or the way from one zone to another.</summary>
/// <param name="rate">Bytes per second.</param>
[StructLayout(LayoutKind.Auto)]
internal struct Link(double rate)
{
    public readonly double TicksPerByte = TimeSpan.TicksPerSecond / rate;

    /// <summary>When all that was sent to it so far is through.</summary>
    public long BusyUntil;

    /// <summary>When what greedy connections sent to it is through; see <see cref="Greed"/>.</summary>
    public long GreedyUntil;

    /// <summary>Bytes that were sent to it.</summary>
    public long Bytes;
}

/// <summary>What sends the frames of many flows one after another.</summary>
/// <param name="rate">Bytes per second.</param>
[StructLayout(LayoutKind.Auto)]
internal struct Uplink(double rate)
{
    public double TicksPerByte = TimeSpan.TicksPerSecond / rate;

    public bool IsBusy;

    /// <summary>Flows that have a frame to send, whose turn comes one after another.</summary>
    public FlowQueue Ready = new();

    /// <summary>Bytes that it has sent.</summary>
    public long Bytes;
}
