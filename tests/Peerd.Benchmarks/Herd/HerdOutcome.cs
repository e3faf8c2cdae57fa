namespace Peerd.Benchmarks.Herd;

/// <summary>What one herd has done.</summary>
/// <param name="Seconds">Time of each judged node whose pull has finished, from its start.</param>
/// <param name="Failed">Judged nodes whose pull has not.</param>
/// <param name="ImageSize">Bytes of a complete pull.</param>
/// <param name="Delivered">Bytes that all pulls have received.</param>
/// <param name="OriginBytes">Bytes of bodies that the registry has written, by its access log.</param>
/// <param name="OriginWireBytes">Bytes that have left the registry's interface, headers of every packet included.</param>
/// <param name="OriginRequests">Contents or parts of them that the registry was asked for.</param>
/// <param name="BusiestUpload">Bytes out of the interface of whoever sent most, the registry apart.</param>
/// <param name="ProcessorSeconds">Processor time of the processes between registry and pullers, nodes or the proxy; 0 without any.</param>
/// <param name="PeakMemory">Most resident bytes that any of these has ever had; 0 without any.</param>
/// <param name="PullersSeconds">Processor time of all pullers, which are one process: this one.</param>
/// <param name="PullersMemory">Most resident bytes of that process meanwhile.</param>
/// <param name="MachineBusy">Which part of the whole machine's processors was busy with this or anything else.</param>
internal sealed record HerdOutcome(
    IReadOnlyList<double> Seconds,
    int Failed,
    long ImageSize,
    long Delivered,
    long OriginBytes,
    long OriginWireBytes,
    int OriginRequests,
    long BusiestUpload,
    double ProcessorSeconds,
    long PeakMemory,
    double PullersSeconds,
    long PullersMemory,
    double MachineBusy)
{
    private const double Giga = 1e9;

    /// <summary>Bytes that have left the zones, what the registry was asked included; 0 without zones.</summary>
    public long Crossed { get; init; }

    public double Last => Seconds.Count == 0 ? double.PositiveInfinity : Seconds.Max();

    public double Median => Seconds.Count == 0 ? double.PositiveInfinity : Seconds.Order().ElementAt(Seconds.Count / 2);

    public double Amplification => OriginBytes / (double)ImageSize;

    public double WireAmplification => OriginWireBytes / (double)ImageSize;

    public double BusiestUploads => BusiestUpload / (double)ImageSize;

    public double Crossings => Crossed / (double)ImageSize;

    public double SecondsPerGigabyte => ProcessorSeconds / (Delivered / Giga);

    public double PullersSecondsPerGigabyte => PullersSeconds / (Delivered / Giga);
}
