using Peerd.Contracts;
using Peerd.Simulation.Mesh;

namespace Peerd.Benchmarks.Simulation;

/// <summary>What a simulation should reach.</summary>
internal sealed record SimulationTargets
{
    /// <summary>The last node's share of the bound, in percent.</summary>
    public double? Share { get; init; }

    public double? Amplification { get; init; }

    /// <summary>Bytes between the zones, in sizes.</summary>
    public double? Crossed { get; init; }

    /// <summary>Time of the last node after the origin's first byte, in the time that a node's link takes for the content.</summary>
    public double? LinkTimes { get; init; }

    /// <summary>Time in that of a healthy herd, usually.</summary>
    public double? HealthyRatio { get; init; }

    /// <summary>The same of the worst seed.</summary>
    public double? WorstHealthyRatio { get; init; }
}

/// <summary>One kind of simulation, to be run with several seeds.</summary>
internal sealed record SimulationCase(SimulationFault Fault, int Nodes, long Size, int Uplink, int Seeds, SimulationTargets Targets)
{
    private const long MiB = 1 << 20;
    private const long GiB = 1 << 30;

    public string Name => $"{Fault.ToString().ToLowerInvariant()}, {Nodes} nodes, {new ByteSize(Size)}, {Uplink}x";

    /// <summary>The same herd with nothing that happens to it.</summary>
    public SimulationCase Healthy => this with { Fault = SimulationFault.Healthy };

    public Scenario With(int seed) => Fault.Apply(new Scenario { Seed = seed, Nodes = Nodes, Size = Size, OriginUplink = Uplink });

    /// <summary>What is promised of simulations, case by case.</summary>
    public static IEnumerable<SimulationCase> Promised(int seeds)
    {
        foreach (var (nodes, four, one) in new[] { (2, 98, 98), (8, 98, 96), (50, 97, 94), (200, 96, 93), (1000, 95, 92) })
        {
            // The large ones differ little from seed to seed.
            var few = nodes >= 1000 ? 1 : seeds;
            yield return Healthy(nodes, GiB, 4, new() { Share = four, Amplification = 1 }) with { Seeds = few };
            yield return Healthy(nodes, GiB, 1, new() { Share = one, Amplification = 1 }) with { Seeds = few };
        }

        yield return Healthy(50, 256 * MiB, 4, new() { Share = 94, Amplification = 1 });
        yield return Healthy(50, 256 * MiB, 1, new() { Share = 90, Amplification = 1 });
        yield return Healthy(50, 64 * MiB, 1, new() { Share = 84, Amplification = 1 });
        yield return Healthy(50, MiB, 4, new() { LinkTimes = 3, Amplification = 1 });
        foreach (var (nodes, four, one) in new[] { (2, 80, 80), (3, 80, 80), (8, 95, 91), (50, 95, 91) })
        {
            yield return Of(SimulationFault.Staggered, nodes, 4, new() { Share = four });
            yield return Of(SimulationFault.Staggered, nodes, 1, new() { Share = one });
        }

        foreach (var uplink in new[] { 4, 1 })
        {
            yield return Of(SimulationFault.Slow, 2, uplink, new() { HealthyRatio = 1.1, WorstHealthyRatio = 1.3 });
            yield return Of(SimulationFault.Slow, 8, uplink, new() { HealthyRatio = 1.1, WorstHealthyRatio = 1.3 });
            yield return Of(SimulationFault.Slow, 50, uplink, new() { HealthyRatio = 1.1, WorstHealthyRatio = 1.3 });
            yield return Of(SimulationFault.GreedyStaggered, 3, uplink, new() { Amplification = 1.02 });
            yield return Of(SimulationFault.GreedyStaggered, 8, uplink, new() { Amplification = 1.02 });
        }

        yield return Of(SimulationFault.Killed10, 50, 4, new() { Amplification = 1.03 });
        yield return Of(SimulationFault.Killed30, 50, 4, new() { Amplification = 1.08 });
        yield return Of(SimulationFault.Zones, 50, 4, new() { Crossed = 1 });
        yield return Of(SimulationFault.OwnerLost, 50, 4, new());
        yield return Of(SimulationFault.OwnersLost, 50, 4, new());
        yield return Of(SimulationFault.Contents, 50, 4, new());
        yield return Of(SimulationFault.RollingRing, 50, 4, new());
        yield return Of(SimulationFault.RingViews, 50, 4, new());

        SimulationCase Healthy(int nodes, long size, int uplink, SimulationTargets targets) => new(SimulationFault.Healthy, nodes, size, uplink, seeds, targets);
        SimulationCase Of(SimulationFault fault, int nodes, int uplink, SimulationTargets targets) => new(fault, nodes, GiB, uplink, seeds, targets);
    }
}
