namespace Peerd.Node.Swarm;

/// <summary>Times that double each time, up to the longest.</summary>
internal static class DoublingTime
{
    private const int MostDoublings = 10;

    /// <summary>The time after it has doubled so often.</summary>
    public static TimeSpan After(int times, TimeSpan first, TimeSpan longest)
    {
        var doubled = first * Math.Pow(2, Math.Min(MostDoublings, times));
        return doubled < longest ? doubled : longest;
    }
}
