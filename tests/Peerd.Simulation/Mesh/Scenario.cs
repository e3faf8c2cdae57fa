using Peerd.Node.Swarm;

namespace Peerd.Simulation.Mesh;

/// <summary>What becomes of those who coordinate.</summary>
internal enum OwnerFate
{
    /// <summary>Nothing.</summary>
    Lives,

    /// <summary>The owner of the first content is killed.</summary>
    OwnerDies,

    /// <summary>Its owner and its replica are killed at the same moment.</summary>
    BothDie,
}

/// <summary>What one simulation is about; all of it follows from these values. Times of faults are shares of the bound.</summary>
internal sealed record Scenario
{
    private const double Gigabit = 125e6;

    public int Seed { get; init; } = 1;

    /// <summary>How many nodes want the contents.</summary>
    public int Nodes { get; init; } = 8;

    /// <summary>Bytes of a content.</summary>
    public long Size { get; init; } = 1L << 30;

    /// <summary>How many contents of that size each of them wants.</summary>
    public int Contents { get; init; } = 1;

    /// <summary>How many of them a node fetches at a time: containerd pulls three layers at once, and begins the next when one is here.</summary>
    public int ContentsAtOnce { get; init; } = int.MaxValue;

    /// <summary>Bytes per second of a node's link, each way.</summary>
    public double NodeRate { get; init; } = Gigabit;

    /// <summary>What nodes send lies, by chance, between this share of their links and the whole.</summary>
    public double LeastUplink { get; init; } = 1;

    /// <summary>What the origin sends, in links of a node.</summary>
    public double OriginUplink { get; init; } = 4;

    /// <summary>From a request to the first byte of the origin's answer.</summary>
    public TimeSpan OriginDelay { get; init; } = TimeSpan.FromMilliseconds(10);

    /// <summary>Share of a node's link that the origin's connections take for seconds, whatever comes beside them; 0: links are shared evenly.</summary>
    public double OriginGreed { get; init; }

    /// <summary>Nodes begin at times evenly spread over this share of the time that one needs alone.</summary>
    public double Stagger { get; init; }

    /// <summary>Nodes that send at <see cref="SlowRate"/> of the others' rate.</summary>
    public int SlowNodes { get; init; }

    public double SlowRate { get; init; } = 0.05;

    /// <summary>When they begin to; until then they send as quickly as all others.</summary>
    public double SlowFrom { get; init; }

    /// <summary>The slow nodes receive as slowly as they send; nobody waits for them then.</summary>
    public bool SlowBothWays { get; init; }

    /// <summary>Nodes that get what one other sends at <see cref="SlowRate"/>, though that other sends to all others as quickly as any.</summary>
    public int ThinPaths { get; init; }

    /// <summary>Share of the nodes that are killed at <see cref="FaultAt"/>, none of them responsible for the first content as long as there are others.</summary>
    public double Killed { get; init; }

    public OwnerFate OwnerFate { get; init; }

    public double FaultAt { get; init; } = 0.4;

    /// <summary>From the death of a node until others notice that their streams to it are broken, at most; half of it at least.</summary>
    public TimeSpan DeathNoticed { get; init; } = TimeSpan.FromMilliseconds(60);

    public int Zones { get; init; } = 1;

    /// <summary>Bytes per second from one zone to another, in links of a node; each way.</summary>
    public double ZoneUplink { get; init; } = double.PositiveInfinity;

    /// <summary>How often another member joins (the one before leaves) that owns the first content then; evenly spread over the download.</summary>
    public int RingChanges { get; init; }

    /// <summary>When the first of them happens; null: as evenly spread as the others.</summary>
    public double? FirstRingChange { get; init; }

    /// <summary>From a change of the ring until the last node sees it.</summary>
    public TimeSpan RingSpread { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How often holders announce what has changed to those who are responsible.</summary>
    public TimeSpan AnnounceInterval { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>Constants of the owners.</summary>
    public CoordinatorPolicy Coordination { get; init; } = new();

    /// <summary>Constants of the requesters.</summary>
    public DownloaderPolicy Downloading { get; init; } = new();

    /// <summary>What a node sends that is not slow, in bytes per second.</summary>
    public double UplinkOf(int node) => NodeRate * (LeastUplink + ((1 - LeastUplink) * Chance.Of(Seed, node, node)));
}
