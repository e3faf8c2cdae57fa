using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Ranges;

/// <summary>What a node has counted.</summary>
/// <param name="Reads">All reads of ranges.</param>
/// <param name="LocalReads">Those whose bytes were all here when they were asked for.</param>
/// <param name="PeerBytes">Bytes of contents that came from other nodes.</param>
/// <param name="OriginBytes">Bytes of contents that came from the origin.</param>
/// <param name="AllocatedBytes">Bytes of memory that were allocated and the collector has to look after.</param>
internal readonly record struct ReadCounts(long Reads, long LocalReads, long PeerBytes, long OriginBytes, long AllocatedBytes)
{
    private const double Percent = 100;
    private const string ReadsName = "peerd_blobs_reads_total";

    public long FetchedBytes => PeerBytes + OriginBytes;

    /// <summary>Which part of the reads had to wait for bytes.</summary>
    public double PercentWaited => Reads == 0 ? 0 : Percent * (Reads - LocalReads) / Reads;

    public static ReadCounts From(NodeMetrics metrics) => new(
        metrics.Sum(ReadsName),
        metrics.Sum(ReadsName, "source=\"local\""),
        metrics.Sum("peerd_peer_received_bytes_total"),
        metrics.Sum("peerd_origin_bytes_total"),
        metrics.Sum("dotnet_gc_heap_total_allocated_bytes_total"));

    /// <summary>What was counted between two moments.</summary>
    public static ReadCounts operator -(ReadCounts later, ReadCounts earlier) => new(
        later.Reads - earlier.Reads, later.LocalReads - earlier.LocalReads, later.PeerBytes - earlier.PeerBytes, later.OriginBytes - earlier.OriginBytes, later.AllocatedBytes - earlier.AllocatedBytes);

    /// <summary>Fails when the node has not counted just these reads.</summary>
    public void Expect(int reads, string what)
    {
        if (Reads != reads)
        {
            throw new InvalidOperationException($"{what}: the node has counted {Reads} reads instead of {reads}");
        }
    }
}
