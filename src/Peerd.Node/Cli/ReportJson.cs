using System.Text.Json;
using System.Text.Json.Serialization;

namespace Peerd.Node.Cli;

/// <summary>What <c>peerd status --json</c> prints.</summary>
internal sealed record StatusReport(
    string Node,
    string Version,
    long UptimeSeconds,
    int Members,
    int ConnectedPeers,
    string RingVersion,
    long CacheBytes,
    long CacheCapacityBytes,
    bool CacheWritable,
    int Contents,
    int Downloads,
    int DirectoryContents,
    long OriginBytes,
    long PeerReceivedBytes,
    long PeerSentBytes);

/// <summary>What <c>peerd ring --json</c> prints.</summary>
/// <param name="Version">Version of the ring.</param>
/// <param name="Members">All members, by name.</param>
/// <param name="Digest">The content that was asked for.</param>
/// <param name="Owner">Its owner.</param>
/// <param name="Replicas">The members after the owner.</param>
internal sealed record RingReport(
    string Version, IReadOnlyList<RingReport.Member> Members, string? Digest, string? Owner, IReadOnlyList<string>? Replicas)
{
    /// <summary>One member.</summary>
    internal sealed record Member(string Node, string Address, string Zone);
}

/// <summary>What <c>peerd peers --json</c> prints.</summary>
internal sealed record PeersReport(IReadOnlyList<PeersReport.Peer> Peers)
{
    /// <summary>One other member.</summary>
    internal sealed record Peer(string Node, string Address, bool Connected, long ReceivedBytes, long SentBytes, long Failures);
}

/// <summary>Serializers made at build time.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(StatusReport))]
[JsonSerializable(typeof(RingReport))]
[JsonSerializable(typeof(PeersReport))]
internal sealed partial class ReportJson : JsonSerializerContext;
