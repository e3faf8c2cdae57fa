namespace Peerd.Node.Storage;

/// <summary>Log messages of the piece cache.</summary>
internal static partial class Log
{
    [LoggerMessage(2001, LogLevel.Information, "Piece cache in {Directory}: {Contents} contents, {Used} of {Capacity} bytes")]
    public static partial void Opened(ILogger log, string directory, int contents, long used, long capacity);

    [LoggerMessage(2002, LogLevel.Warning, "The cache disk does not take writes ({Reason}); serving goes on from memory without caching, next attempt in 10 s")]
    public static partial void DiskFailed(ILogger log, string reason);

    [LoggerMessage(2003, LogLevel.Information, "The cache disk takes writes again")]
    public static partial void DiskRecovered(ILogger log);

    [LoggerMessage(2004, LogLevel.Warning, "The cache directory has {Count} entries that are not the cache's, for example {Example}; they are left alone")]
    public static partial void ForeignEntries(ILogger log, int count, string example);

    [LoggerMessage(2005, LogLevel.Information, "Deleted {Count} cache files that were torn, corrupt or of an unknown version")]
    public static partial void DeletedUseless(ILogger log, int count);

    [LoggerMessage(2006, LogLevel.Warning, "Cache entry {Path} could not be read or deleted: {Reason}")]
    public static partial void EntryUnusable(ILogger log, string path, string reason);

    [LoggerMessage(2007, LogLevel.Warning, "Dropped piece {Piece} of {Digest}: {Reason}")]
    public static partial void PieceDropped(ILogger log, int piece, string digest, string reason);

    [LoggerMessage(2008, LogLevel.Warning, "The piece cache is full of contents in use; frames of {Digest} stay in memory")]
    public static partial void FullOfPinned(ILogger log, string digest);

    [LoggerMessage(2009, LogLevel.Debug, "Evicted {Digest}, {Bytes} bytes")]
    public static partial void Evicted(ILogger log, string digest, long bytes);

    [LoggerMessage(2010, LogLevel.Warning, "The index of {Digest} could not be changed: {Reason}")]
    public static partial void IndexNotWritten(ILogger log, string digest, string reason);

    [LoggerMessage(2011, LogLevel.Information, "{Digest} is withdrawn: {Reason}")]
    public static partial void ExternalLost(ILogger log, string digest, string reason);

    [LoggerMessage(2012, LogLevel.Information, "The content store of containerd in {Root} is a source: {Contents} contents")]
    public static partial void ContainerdFollowed(ILogger log, string root, int contents);

    [LoggerMessage(2013, LogLevel.Information, "containerd at {Socket} is not followed ({Reason}); next attempts at most {Period} apart")]
    public static partial void ContainerdAbsent(ILogger log, string socket, string reason, TimeSpan period);

    [LoggerMessage(2014, LogLevel.Warning, "{Digest} is not what its digest says in containerd's store; it is not served from there")]
    public static partial void ContainerdCorrupt(ILogger log, string digest);

    [LoggerMessage(2015, LogLevel.Information, "Files of containerd's store cannot be read ({Reason}): containerd is asked for their bytes, which costs more")]
    public static partial void ContainerdUnreadable(ILogger log, string reason);

    [LoggerMessage(2016, LogLevel.Debug, "{Digest} is not taken from containerd's store now: {Reason}")]
    public static partial void BlobUnusable(ILogger log, string digest, string reason);
}
