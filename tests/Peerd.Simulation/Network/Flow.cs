using System.Runtime.InteropServices;

namespace Peerd.Simulation.Network;

/// <summary>Frames on their way from one node to another, in order.</summary>
[StructLayout(LayoutKind.Auto)]
internal struct Flow
{
    public const int None = -1;

    public ITransfer? Transfer;
    public int Sender;

    /// <summary>Its receiver's link.</summary>
    public int Downlink;

    /// <summary>The link between the zones of both, or between both alone; or <see cref="None"/>.</summary>
    public int Trunk;

    public int NextFrame;
    public int EndFrame;
    public int FrameSize;

    /// <summary>Number and size of the last frame of the content, which may be shorter.</summary>
    public int LastFrame;
    public int LastFrameSize;

    /// <summary>Sent and not arrived, and how many there may be.</summary>
    public int FramesUnderWay;
    public int Window;

    public bool IsClosed;

    /// <summary>It stands in a queue, and who follows it there.</summary>
    public bool IsQueued;
    public int NextInQueue;

    public readonly int SizeOf(int frame) => frame == LastFrame ? LastFrameSize : FrameSize;
}

/// <summary>Flows that stand in line; a flow stands in one line at most.</summary>
[StructLayout(LayoutKind.Auto)]
internal struct FlowQueue()
{
    private int _last = Flow.None;

    public int First { get; private set; } = Flow.None;

    public readonly bool IsEmpty => First == Flow.None;

    public void Add(Flow[] flows, int flow)
    {
        flows[flow].IsQueued = true;
        flows[flow].NextInQueue = Flow.None;
        if (IsEmpty)
        {
            First = flow;
        }
        else
        {
            flows[_last].NextInQueue = flow;
        }

        _last = flow;
    }

    public int Take(Flow[] flows)
    {
        var flow = First;
        First = flows[flow].NextInQueue;
        flows[flow].IsQueued = false;
        return flow;
    }
}
