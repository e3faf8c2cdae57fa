using Peerd.Simulation.Mesh;

namespace Peerd.Benchmarks.Simulation;

/// <summary>What happens to a simulated herd on the way.</summary>
internal enum SimulationFault
{
    /// <summary>Nothing.</summary>
    Healthy,

    /// <summary>One node sends at 5 % of its rate.</summary>
    Slow,

    /// <summary>One node sends at 5 % of its rate from the middle on.</summary>
    SlowLater,

    /// <summary>Half of the nodes send at 5 % of their rate.</summary>
    HalfSlow,

    /// <summary>One node sends and receives at 5 % of its rate; the others are what counts.</summary>
    Thin,

    /// <summary>To one node one other sends at 5 % of its rate, and to all others as always.</summary>
    ThinPath,

    /// <summary>A tenth of the nodes is killed.</summary>
    Killed10,

    /// <summary>Three of ten nodes are killed.</summary>
    Killed30,

    /// <summary>Another member becomes the owner.</summary>
    RingChange,

    /// <summary>Other members become owners, one after another.</summary>
    RollingRing,

    /// <summary>Nodes see different owners for three seconds.</summary>
    RingViews,

    /// <summary>Nodes begin within half the time that one needs.</summary>
    Staggered,

    /// <summary>The same, and the origin's connections take nearly all of a link now and then.</summary>
    GreedyStaggered,

    /// <summary>One node sends at 5 % of its rate, and the origin's connections take nearly all of a link now and then.</summary>
    GreedySlow,

    /// <summary>The same where one node receives as slowly as it sends.</summary>
    GreedyThin,

    /// <summary>The owner is killed.</summary>
    OwnerLost,

    /// <summary>Owner and replica are killed at once.</summary>
    OwnersLost,

    /// <summary>Two zones with a link between them that is not faster than a node's.</summary>
    Zones,

    /// <summary>Three zones, the same between each two of them.</summary>
    Zones3,

    /// <summary>Nodes send at different rates, from half of their links to the whole.</summary>
    HalfUnequal,

    /// <summary>Nodes send at different rates, from a fifth of their links to the whole.</summary>
    Unequal,

    /// <summary>Four contents at once, each a quarter of the size.</summary>
    Contents,

    /// <summary>Four, three of them at once as containerd pulls layers, and nodes begin within half the time that one needs.</summary>
    StaggeredContents,

    /// <summary>The same, and the origin's connections take nearly all of a link now and then.</summary>
    GreedyStaggeredContents,
}

/// <summary>Makes scenarios of what happens.</summary>
internal static class SimulationFaults
{
    private const int Contents = 4;
    private const int ContentsAtOnce = 3;
    private const int RingChanges = 4;
    private const double Greed = 0.9;

    public static Scenario Apply(this SimulationFault fault, Scenario scenario) => fault switch
    {
        SimulationFault.Healthy => scenario,
        SimulationFault.Slow => scenario with { SlowNodes = 1 },
        SimulationFault.SlowLater => scenario with { SlowNodes = 1, SlowFrom = 0.5 },
        SimulationFault.HalfSlow => scenario with { SlowNodes = scenario.Nodes / 2 },
        SimulationFault.Thin => scenario with { SlowNodes = 1, SlowBothWays = true },
        SimulationFault.ThinPath => scenario with { ThinPaths = 1 },
        SimulationFault.Killed10 => scenario with { Killed = 0.1 },
        SimulationFault.Killed30 => scenario with { Killed = 0.3 },
        SimulationFault.RingChange => scenario with { RingChanges = 1 },
        SimulationFault.RollingRing => scenario with { RingChanges = RingChanges },
        SimulationFault.RingViews => scenario with { RingChanges = 1, FirstRingChange = 0, RingSpread = TimeSpan.FromSeconds(6) },
        SimulationFault.Staggered => scenario with { Stagger = 0.5 },
        SimulationFault.GreedyStaggered => scenario with { Stagger = 0.5, OriginGreed = Greed },
        SimulationFault.GreedySlow => scenario with { SlowNodes = 1, OriginGreed = Greed },
        SimulationFault.GreedyThin => SimulationFault.Thin.Apply(scenario) with { OriginGreed = Greed },
        SimulationFault.OwnerLost => scenario with { OwnerFate = OwnerFate.OwnerDies },
        SimulationFault.OwnersLost => scenario with { OwnerFate = OwnerFate.BothDie },
        SimulationFault.Zones => scenario with { Zones = 2, ZoneUplink = 1 },
        SimulationFault.Zones3 => scenario with { Zones = 3, ZoneUplink = 1 },
        SimulationFault.HalfUnequal => scenario with { LeastUplink = 0.5 },
        SimulationFault.Unequal => scenario with { LeastUplink = 0.2 },
        SimulationFault.Contents => scenario with { Contents = Contents, Size = scenario.Size / Contents },
        SimulationFault.StaggeredContents => SimulationFault.Contents.Apply(scenario) with { ContentsAtOnce = ContentsAtOnce, Stagger = 0.5 },
        SimulationFault.GreedyStaggeredContents => SimulationFault.StaggeredContents.Apply(scenario) with { OriginGreed = Greed },
        _ => throw new ArgumentOutOfRangeException(nameof(fault), fault, "unknown"),
    };
}
