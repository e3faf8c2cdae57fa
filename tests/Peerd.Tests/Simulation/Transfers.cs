using Peerd.Contracts;
using Peerd.Simulation.Events;
using Peerd.Simulation.Network;

namespace Peerd.Tests.Simulation;

/// <summary>Nodes on links, and transfers between them that have all frames, or those that a test gives them.</summary>
internal sealed class Transfers
{
    public static readonly TimeSpan Latency = TimeSpan.FromMilliseconds(0.25);

    /// <summary>Frames of 256 KiB.</summary>
    public static readonly ContentLayout Layout = new(1L << 40);

    private readonly List<int> _downlinks = [];

    public Transfers() => Network = new FrameNetwork(Timeline, Latency);

    public Timeline Timeline { get; } = new();

    public FrameNetwork Network { get; }

    /// <summary>Adds a node; rates in frames per second.</summary>
    public int AddNode(double uplink, double downlink)
    {
        _downlinks.Add(Network.AddNode(uplink * Layout.FrameSize, downlink * Layout.FrameSize));
        return _downlinks.Count - 1;
    }

    public int AddTrunk(double rate) => Network.AddLink(rate * Layout.FrameSize);

    public Transfer Send(int from, int to, int frames = 1_000_000, int trunk = Flow.None, bool hasAll = true)
    {
        var transfer = new Transfer(Timeline) { HasAll = hasAll };
        transfer.Number = Network.Open(transfer, from, _downlinks[to], trunk, Layout, 0, frames);
        Network.Wake(transfer.Number);
        return transfer;
    }

    public void Run(double seconds) => Timeline.Run(TimeSpan.FromSeconds(seconds), Network, () => false);
}

/// <summary>Counts what arrives of one flow.</summary>
internal sealed class Transfer(Timeline timeline) : ITransfer
{
    private readonly HashSet<int> _here = [];

    public int Number { get; set; }

    public bool HasAll { get; init; }

    /// <summary>When each frame arrived, in seconds.</summary>
    public List<double> Arrivals { get; } = [];

    public int Count => Arrivals.Count;

    public int? StarvedFor { get; private set; }

    public void Give(FrameNetwork network, int frame)
    {
        _here.Add(frame);
        network.Wake(Number);
    }

    public bool HasFrame(int frame) => HasAll || _here.Contains(frame);

    public void Starved(int frame) => StarvedFor = frame;

    public void Arrived(int frame)
    {
        Assert.Equal(Arrivals.Count, frame);
        Arrivals.Add(timeline.Now.TotalSeconds);
    }
}
