namespace Peerd.Benchmarks.Simulation;

/// <summary>What a simulation should reach.</summary>
internal sealed record SimulationTargets
{
    public const long MiB = 1 << 20;
    public const long GiB = 1 << 30;

    private static readonly SimulationTargets None = new();

    /// <summary>The last node's share of the bound, in percent.</summary>
    public double? Share { get; private init; }

    public double? Amplification { get; private init; }

    /// <summary>Bytes between the zones, in sizes.</summary>
    public double? Crossed { get; private init; }

    /// <summary>Time of the last node after the origin's first byte, in the time that a node's link takes for the content.</summary>
    public double? LinkTimes { get; private init; }

    /// <summary>Time in that of a healthy herd, mean of all seeds.</summary>
    public double? HealthyRatio { get; private init; }

    /// <summary>The same of the worst seed.</summary>
    public double? WorstHealthyRatio { get; private init; }

    /// <summary>What is promised of a case. Of short transfers only those that say so: what happens to the others costs a fixed time.</summary>
    public static SimulationTargets Of(SimulationFault fault, int nodes, long size, int uplink) => fault switch
    {
        SimulationFault.Healthy => new() { Share = ShareOf(nodes, size, uplink), LinkTimes = (nodes, size, uplink) is (50, MiB, 4) ? 3 : null, Amplification = 1 },
        SimulationFault.Zones => new() { Crossed = 1 },
        SimulationFault.Zones3 => new() { Crossed = 2 },
        SimulationFault.GreedyStaggered => new() { Amplification = 1.02 },
        _ when size < GiB => None,
        SimulationFault.Staggered => new() { Share = StaggeredShareOf(nodes, uplink) },
        SimulationFault.Slow => new() { HealthyRatio = 1.1, WorstHealthyRatio = 1.3 },
        SimulationFault.Killed10 => new() { Amplification = 1.03 },
        SimulationFault.Killed30 => new() { Amplification = 1.08 },
        _ => None,
    };

    private static double? ShareOf(int nodes, long size, int uplink) => (nodes, size, uplink) switch
    {
        (2, >= GiB, 4 or 1) => 98,
        (8, >= GiB, 4) => 98,
        (8, >= GiB, 1) => 96,
        (50, GiB, 4) => 97,
        (50, GiB, 1) => 94,
        (200, GiB, 4) => 96,
        (200, GiB, 1) => 93,
        (1000, GiB, 4) => 95,
        (1000, GiB, 1) => 92,
        (50, 256 * MiB, 4) => 94,
        (50, 256 * MiB, 1) => 90,
        (50, 64 * MiB, 1) => 84,
        _ => null,
    };

    private static double? StaggeredShareOf(int nodes, int uplink) => (nodes, uplink) switch
    {
        (2 or 3, 4 or 1) => 80,
        ( >= 8, 4) => 95,
        ( >= 8, 1) => 91,
        _ => null,
    };
}
