using Peerd.Contracts;
using Peerd.Simulation.Mesh;

namespace Peerd.Benchmarks.Simulation;

/// <summary>One kind of simulation, to be run with several seeds.</summary>
internal sealed record SimulationCase(SimulationFault Fault, int Nodes, long Size, int Uplink, int Seeds)
{
    public string Name => $"{Fault.ToString().ToLowerInvariant()}, {Nodes} nodes, {new ByteSize(Size)}, {Uplink}x";

    /// <summary>The same herd with nothing that happens to it.</summary>
    public SimulationCase Healthy => this with { Fault = SimulationFault.Healthy };

    public SimulationTargets Targets => SimulationTargets.Of(Fault, Nodes, Size, Uplink);

    public Scenario With(int seed) => Fault.Apply(new Scenario { Seed = seed, Nodes = Nodes, Size = Size, OriginUplink = Uplink });

    /// <summary>What is looked at unless something else is asked for: all that is promised, and more.</summary>
    public static IEnumerable<SimulationCase> Usual(int seeds)
    {
        foreach (var nodes in new[] { 2, 3, 8, 50, 200, 1000 })
        {
            // The large ones differ little from seed to seed.
            var few = nodes >= 1000 ? 1 : seeds;
            yield return Of(SimulationFault.Healthy, nodes, 4) with { Seeds = few };
            yield return Of(SimulationFault.Healthy, nodes, 1) with { Seeds = few };
        }

        yield return Of(SimulationFault.Healthy, 50, 4) with { Size = 256 * SimulationTargets.MiB };
        yield return Of(SimulationFault.Healthy, 50, 1) with { Size = 256 * SimulationTargets.MiB };
        yield return Of(SimulationFault.Healthy, 50, 1) with { Size = 64 * SimulationTargets.MiB };
        yield return Of(SimulationFault.Healthy, 50, 4) with { Size = SimulationTargets.MiB };
        foreach (var nodes in new[] { 2, 3, 8, 50 })
        {
            yield return Of(SimulationFault.Healthy, nodes, 40);
        }

        // One piece.
        foreach (var nodes in new[] { 8, 50, 1000, 5000 })
        {
            yield return Of(SimulationFault.Healthy, nodes, 4) with { Size = SimulationTargets.MiB / 16, Seeds = nodes >= 1000 ? 1 : seeds };
        }

        foreach (var nodes in new[] { 2, 3, 8, 50 })
        {
            yield return Of(SimulationFault.Staggered, nodes, 4);
            yield return Of(SimulationFault.Staggered, nodes, 1);
        }

        foreach (var uplink in new[] { 4, 1 })
        {
            yield return Of(SimulationFault.Slow, 2, uplink);
            yield return Of(SimulationFault.Slow, 3, uplink);
            yield return Of(SimulationFault.Slow, 8, uplink);
            yield return Of(SimulationFault.Slow, 50, uplink);
            yield return Of(SimulationFault.GreedyStaggered, 3, uplink);
            yield return Of(SimulationFault.GreedyStaggered, 8, uplink);
            yield return Of(SimulationFault.StaggeredContents, 8, uplink);
            yield return Of(SimulationFault.HalfUnequal, 50, uplink);
            yield return Of(SimulationFault.Unequal, 50, uplink);
        }

        yield return Of(SimulationFault.Killed10, 50, 4);
        yield return Of(SimulationFault.Killed30, 50, 4);
        yield return Of(SimulationFault.Zones, 50, 4);
        yield return Of(SimulationFault.Zones3, 50, 4);
        yield return Of(SimulationFault.OwnerLost, 50, 4);
        yield return Of(SimulationFault.OwnersLost, 50, 4);
        yield return Of(SimulationFault.Contents, 50, 4);
        yield return Of(SimulationFault.RollingRing, 50, 4);
        yield return Of(SimulationFault.RingViews, 50, 4);

        SimulationCase Of(SimulationFault fault, int nodes, int uplink) => new(fault, nodes, SimulationTargets.GiB, uplink, seeds);
    }
}
