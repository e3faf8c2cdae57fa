using Peerd.Benchmarks.Servers;

namespace Peerd.Benchmarks.Ranges;

/// <summary>What a node has counted.</summary>
/// <param name="Local">Reads whose bytes were all here when they were asked for.</param>
/// <param name="Mesh">Reads that waited for another node.</param>
/// <param name="Origin">Reads that waited for the origin.</param>
/// <param name="FetchedBytes">Bytes of contents that came from other nodes or the origin.</param>
internal readonly record struct ReadCounts(long Local, long Mesh, long Origin, long FetchedBytes)
{
    private const string Reads = "peerd_blobs_reads_total";

    /// <summary>All reads.</summary>
    public long All => Local + Mesh + Origin;

    public static ReadCounts From(NodeMetrics metrics) => new(
        metrics.Sum(Reads, "source=\"local\""),
        metrics.Sum(Reads, "source=\"mesh\""),
        metrics.Sum(Reads, "source=\"origin\""),
        metrics.Sum("peerd_peer_received_bytes_total") + metrics.Sum("peerd_origin_bytes_total"));

    /// <summary>What was counted between two moments.</summary>
    public static ReadCounts operator -(ReadCounts later, ReadCounts earlier) => new(
        later.Local - earlier.Local, later.Mesh - earlier.Mesh, later.Origin - earlier.Origin, later.FetchedBytes - earlier.FetchedBytes);
}
