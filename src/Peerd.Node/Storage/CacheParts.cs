using Peerd.Node.Telemetry;

namespace Peerd.Node.Storage;

/// <summary>
/// What all contents of a cache share. <c>OnShrunk</c> is called, without locks held, when a content lost something
/// although nobody may have it open.
/// </summary>
internal sealed record CacheParts(
    CacheDirectory Directory,
    CacheSpace Space,
    DiskHealth Disk,
    FrameMemory Memory,
    ContentChanges Changes,
    TimeProvider Time,
    ILogger Log,
    ReadCounts Reads,
    IntegrityFailures? Failures,
    Action<CachedContent> OnShrunk);
