using Peerd.Contracts;

namespace Peerd.Node.Swarm;

/// <summary>What downloads log, of whichever of their parts.</summary>
internal static partial class DownloadLog
{
    [LoggerMessage(1, LogLevel.Warning, "Peer {Node} sent wrong bytes of {Digest}: {Error}")]
    public static partial void PeerCorrupt(ILogger logger, string node, Digest digest, string error);

    [LoggerMessage(2, LogLevel.Debug, "Fetching {Digest} from {Node} failed: {Error}")]
    public static partial void PeerFailed(ILogger logger, string node, Digest digest, string error);

    [LoggerMessage(3, LogLevel.Information, "Reading {Digest} from the origin broke: {Error}")]
    public static partial void OriginBroken(ILogger logger, Digest digest, string error);

    [LoggerMessage(4, LogLevel.Warning, "What was received as {Digest} does not match it; all of it was dropped")]
    public static partial void DigestMismatch(ILogger logger, Digest digest);

    [LoggerMessage(6, LogLevel.Information, "Nothing arrives of {Digest}: reading {Count} pieces from piece {First} on from the origin without a grant")]
    public static partial void LastResort(ILogger logger, Digest digest, int first, int count);

    [LoggerMessage(7, LogLevel.Information, "Neither owner nor replica of {Digest} answers")]
    public static partial void OwnerLost(ILogger logger, Digest digest);

    [LoggerMessage(8, LogLevel.Information, "The owner of {Digest} took back {Segments} segments that had made no progress")]
    public static partial void Revoked(ILogger logger, Digest digest, int segments);

    [LoggerMessage(9, LogLevel.Warning, "The size of {Digest} is uncertain, what is here of it was dropped: {Reason}")]
    public static partial void SizesDiffer(ILogger logger, Digest digest, string reason);

    [LoggerMessage(10, LogLevel.Warning, "Another node has found wrong bytes of {Digest}: what is here of it is fetched again")]
    public static partial void Discarded(ILogger logger, Digest digest);

    [LoggerMessage(11, LogLevel.Warning, "The origin sends other bytes than {Digest} again and again: for {Time} it is not kept here, and clients get what their own URL or registry sends")]
    public static partial void Quarantined(ILogger logger, Digest digest, TimeSpan time);

    [LoggerMessage(12, LogLevel.Warning, "The origin sends other bytes of {Digest} than another node read there: what is here of others is dropped, and all of it is read from the origin")]
    public static partial void Contradicted(ILogger logger, Digest digest);

    [LoggerMessage(13, LogLevel.Warning, "{Digest} is said to have {Size} bytes, and there is no room for what is kept of such a content: too much was told of others")]
    public static partial void SizeRefused(ILogger logger, Digest digest, long size);

    [LoggerMessage(5, LogLevel.Error, "Downloading {Digest} met an unexpected error")]
    public static partial void TaskFailed(ILogger logger, Exception exception, Digest digest);
}
