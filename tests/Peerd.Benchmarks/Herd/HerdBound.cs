namespace Peerd.Benchmarks.Herd;

/// <summary>The least possible time to give the same bytes to all of a herd.</summary>
internal static class HerdBound
{
    private const double BitsPerByte = 8;

    /// <summary>Seconds by the rates that the links are set to, headers not counted.</summary>
    /// <param name="size">Bytes that everyone gets.</param>
    /// <param name="nodes">How many get them.</param>
    /// <param name="rate">Bits per second of a node's link, each way.</param>
    /// <param name="uplink">Bits per second that the registry sends.</param>
    public static double Seconds(long size, int nodes, long rate, long uplink)
    {
        var bits = size * BitsPerByte;
        return Math.Max(bits / uplink, Math.Max(bits / rate, nodes * bits / (uplink + ((double)nodes * rate))));
    }
}
