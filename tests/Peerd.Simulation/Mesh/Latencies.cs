namespace Peerd.Simulation.Mesh;

/// <summary>
/// How long messages take from one node to another. Each pair has its own time, the same for all its messages, so they
/// stay in order.
/// </summary>
internal sealed class Latencies(int seed)
{
    /// <summary>Over a data connection, which carries requests for ranges, their frames and their ends.</summary>
    public static readonly TimeSpan Data = TimeSpan.FromMilliseconds(0.25);

    private static readonly TimeSpan Self = TimeSpan.FromMilliseconds(0.02);
    private static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(0.5);
    private static readonly TimeSpan Longest = TimeSpan.FromMilliseconds(2);

    /// <summary>Over a control connection: Lookup and Announce.</summary>
    public TimeSpan Control(int node, int other) =>
        node == other ? Self : Shortest + ((Longest - Shortest) * Chance.Of(seed, Math.Min(node, other), Math.Max(node, other)));
}
