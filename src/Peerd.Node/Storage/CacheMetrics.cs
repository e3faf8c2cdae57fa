using System.Diagnostics.Metrics;

namespace Peerd.Node.Storage;

/// <summary>Instruments of the piece cache.</summary>
internal sealed class CacheMetrics
{
    public const string MeterName = "Peerd";

    private static readonly KeyValuePair<string, object?> FromCache = new("source", "cache");
    private static readonly KeyValuePair<string, object?> FromContainerd = new("source", "containerd");

    public CacheMetrics(IMeterFactory meters, PieceCache cache)
    {
        var meter = meters.Create(MeterName);
        meter.CreateObservableGauge("peerd.cache.bytes", () => cache.UsedBytes, "By", "Bytes that the piece cache takes on disk.");
        meter.CreateObservableGauge("peerd.cache.capacity", () => cache.CapacityBytes, "By", "Bytes that the piece cache may take on disk.");
        meter.CreateObservableCounter("peerd.cache.evictions", () => cache.Evictions, "{content}", "Contents that were evicted to make room for others.");
        meter.CreateObservableGauge("peerd.containerd.contents", () => cache.ExternalContents, "{content}", "Contents that are read from containerd's store.");
        meter.CreateObservableCounter(
            "peerd.storage.read",
            () => new Measurement<long>[] { new(cache.Reads.Cache, FromCache), new(cache.Reads.External, FromContainerd) },
            "By",
            "Content bytes that were read on this node to serve or check them, by source: cache or containerd.");
    }
}
