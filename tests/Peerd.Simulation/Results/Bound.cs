using Peerd.Simulation.Mesh;

namespace Peerd.Simulation.Results;

/// <summary>The least possible time to give all contents to all nodes, headers and delays not counted.</summary>
internal static class Bound
{
    public static TimeSpan Of(Scenario scenario)
    {
        var size = (double)scenario.Contents * scenario.Size;
        var origin = scenario.OriginUplink * scenario.NodeRate;

        // Which nodes are slow is not known here: with unequal uplinks, too, each counts as the average.
        var uplink = Enumerable.Range(0, scenario.Nodes).Sum(scenario.UplinkOf) / scenario.Nodes;
        var uplinks = uplink * (scenario.Nodes - scenario.SlowNodes + (scenario.SlowNodes * scenario.SlowRate));
        var receivers = scenario.Nodes - (scenario.SlowBothWays ? scenario.SlowNodes : 0);
        return TimeSpan.FromSeconds(Math.Max(Math.Max(size / origin, size / scenario.NodeRate), receivers * size / (origin + uplinks)));
    }

    /// <summary>What one node needs at least when nobody else wants anything.</summary>
    public static TimeSpan Alone(Scenario scenario) =>
        TimeSpan.FromSeconds(scenario.Contents * scenario.Size / (scenario.NodeRate * Math.Min(1, scenario.OriginUplink)));
}
