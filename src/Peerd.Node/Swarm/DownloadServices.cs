using Peerd.Contracts;
using Peerd.Node.Directory;
using Peerd.Node.Limits;
using Peerd.Node.Mesh;
using Peerd.Node.Origin;
using Peerd.Node.Storage;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Swarm;

/// <summary>What all downloads of a node share.</summary>
internal sealed record DownloadServices(
    PieceCache Cache,
    IOrigin Origin,
    PeerConnections Peers,
    ContentMismatches Mismatches,
    Func<Digest, IOwnerLinkUser, OwnerLink> OpenLink,
    string SelfName,
    ulong Incarnation,
    DownloaderPolicy Policy,
    MeshMetrics Metrics,
    IntegrityFailures Failures,
    MemoryShare Memory,
    ByteRate? OriginRate,
    TimeProvider Time,
    ILogger Logger)
{
    /// <summary>Bytes of what is kept in proportion to sizes: a content of 1 TiB takes 100 MB of it, one of 10 GiB 1 MB.</summary>
    private const long MostOfSizes = 160 << 20;

    /// <summary>Sizes that origins told and the mesh had otherwise: nobody can make contents fail for good by telling a wrong size.</summary>
    public RecentContents<long> Sizes { get; } = new(Time);

    /// <summary>Contents of which the origin of this node's clients sends other bytes than others have told: only that origin is believed.</summary>
    public RecentContents<bool> Contradicted { get; } = new(Time);

    public Quarantine Quarantine { get; } = new(Time);

    public OpenRepositories OpenRepositories { get; } = new(Time);

    /// <summary>What is kept of the checksums that owners push.</summary>
    public ChecksumBudget Checksums { get; } = new();

    /// <summary>What is kept in proportion to the sizes that owners and origins tell.</summary>
    public SizeBudget ToldSizes { get; } = new(MostOfSizes);

    /// <summary>The content is not brought here, and what is here of it was not found right.</summary>
    public bool IsQuarantined(Digest content) => Quarantine.Contains(content) && !(Cache.TryPeek(content, out var cached) && cached.IsVerified);
}
