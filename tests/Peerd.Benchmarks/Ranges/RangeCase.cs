namespace Peerd.Benchmarks.Ranges;

/// <summary>One thing to measure.</summary>
/// <param name="Kind">Where the bytes are.</param>
/// <param name="RangeSize">Bytes of each range.</param>
/// <param name="Pattern">In which order they are read.</param>
internal sealed record RangeCase(RangeKind Kind, int RangeSize, RangePattern Pattern)
{
    private const int PromisedSize = 64 << 10;
    private const double LocalMilliseconds = 1;
    private const int PacedRequests = 2000;
    private const double LocalRequests = 0.5;
    private const double PeerLatency = 3;

    /// <summary>How tables call it.</summary>
    public string Name => $"{(Kind is RangeKind.Cold ? "cold origin" : $"{Kind} hit".ToLowerInvariant())}, {RangeSize >> 10} KiB {Pattern.ToString().ToLowerInvariant()}";

    /// <summary>Reads per second at which it is measured once more; a link of 1 Gbit/s brings 1,900 ranges of 64 KiB.</summary>
    public int? Pace => Kind is RangeKind.Local && RangeSize == PromisedSize ? PacedRequests : null;

    /// <summary>What p99 has to be at most, in milliseconds.</summary>
    public double? P99Target => Kind is RangeKind.Local && RangeSize == PromisedSize ? LocalMilliseconds : null;

    /// <summary>What p99 has to be at most over a link, in those of nginx: without one it is the processors that are measured.</summary>
    public double? P99RatioTarget => Kind is RangeKind.Peer && RangeSize == PromisedSize ? PeerLatency : null;

    /// <summary>What requests per second have to be at least, in those of nginx.</summary>
    public double? RequestsRatioTarget => Kind is RangeKind.Local && RangeSize == PromisedSize ? LocalRequests : null;
}
