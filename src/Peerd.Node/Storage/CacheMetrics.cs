using System.Diagnostics.Metrics;

namespace Peerd.Node.Storage;

/// <summary>Instruments of the piece cache.</summary>
internal sealed class CacheMetrics
{
    public const string MeterName = "Peerd";

    public CacheMetrics(IMeterFactory meters, PieceCache cache)
    {
        var meter = meters.Create(MeterName);
        meter.CreateObservableGauge("peerd.cache.bytes", () => cache.UsedBytes, "By", "Bytes that the piece cache takes on disk.");
        meter.CreateObservableGauge("peerd.cache.capacity", () => cache.CapacityBytes, "By", "Bytes that the piece cache may take on disk.");
        meter.CreateObservableCounter("peerd.cache.evictions", () => cache.Evictions, "{content}", "Contents that were evicted to make room for others.");
    }
}
