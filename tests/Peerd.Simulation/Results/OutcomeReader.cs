using Peerd.Simulation.Mesh;

namespace Peerd.Simulation.Results;

/// <summary>Reads the outcome of a mesh that has run.</summary>
internal static class OutcomeReader
{
    public static Outcome Read(SimulatedMesh mesh)
    {
        var scenario = mesh.Scenario;
        var size = (double)scenario.Contents * scenario.Size;
        var survivors = mesh.Wanting.Where(node => node.IsAlive && !node.IsThin).ToArray();
        var times = survivors.Select(TimeOf).Order().ToArray();

        // Who starts apart from the others is compared with what it could do alone.
        var bound = scenario.Stagger > 0 ? Bound.Alone(scenario) : Bound.Of(scenario);
        return new Outcome
        {
            MedianShare = bound / times[(times.Length - 1) / 2],
            LastShare = bound / times[^1],
            Longest = times[^1],
            Amplification = mesh.Network.SentBy(mesh.Origin) / size,
            OriginRequests = mesh.Counts.OriginRequests,
            BusiestUpload = mesh.Wanting.Max(node => mesh.Network.SentBy(node.Number)) / size,
            MessagesPerNode = mesh.Counts.OwnerMessages / (double)scenario.Nodes,
            Crossed = Crossed(mesh) / size,
            Unfinished = times.Count(time => time == TimeSpan.MaxValue),
            LastResorts = mesh.Counts.LastResorts,
            Refused = mesh.Counts.Refused,
            Repeated = mesh.Counts.Repeated,
            CoordinatorMessages = mesh.Counts.CoordinatorMessages,
            CoordinatorTime = mesh.Counts.CoordinatorTime,
            Events = mesh.Timeline.Happened,
        };
    }

    private static TimeSpan TimeOf(SimulatedNode node) =>
        Array.TrueForAll(node.Downloads, download => download!.IsComplete) ? node.Downloads.Max(download => download!.Took) : TimeSpan.MaxValue;

    private static long Crossed(SimulatedMesh mesh)
    {
        var pairs = from node in mesh.Nodes.Take(mesh.Scenario.Zones) from other in mesh.Nodes.Take(mesh.Scenario.Zones) where node != other select mesh.TrunkBetween(node, other);
        return mesh.Scenario.Zones == 1 ? 0 : pairs.Sum(mesh.Network.SentThrough);
    }
}
