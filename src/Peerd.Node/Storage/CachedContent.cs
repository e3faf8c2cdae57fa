using Peerd.Contracts;

namespace Peerd.Node.Storage;

/// <summary>
/// One content of the cache. Frames are written in any order by any thread, each as soon as its checksum was checked,
/// and can be read at once. A piece is available when all its frames are. Thread-safe.
/// </summary>
internal sealed class CachedContent
{
    public Digest Digest => throw new NotImplementedException();

    public ContentLayout Layout => throw new NotImplementedException();

    public long Size => Layout.Size;

    /// <summary>Media type as the origin told it; null when unknown. The first one that is told stays.</summary>
    public string? MediaType { get => throw new NotImplementedException(); set => throw new NotImplementedException(); }

    /// <summary>All pieces are here and the whole was found to match the digest (in this process or before a restart).</summary>
    public bool IsVerified => throw new NotImplementedException();

    /// <summary>A copy of the set of available pieces.</summary>
    public PieceSet SnapshotPieces() => throw new NotImplementedException();

    public bool HasPiece(int piece) => throw new NotImplementedException();

    public bool HasFrame(int frame) => throw new NotImplementedException();

    /// <summary>Checksum of a frame that is here.</summary>
    /// <exception cref="FrameLostException">It is not here.</exception>
    public ulong ChecksumOf(int frame) => throw new NotImplementedException();

    /// <summary>
    /// Stores one frame, which the caller has checked against <paramref name="checksum"/>. Idempotent: a frame that is
    /// here already is not written again. Never throws for a full or broken disk: the frame then stays in memory.
    /// The data is not used after the call returns.
    /// </summary>
    public void WriteFrame(int frame, ReadOnlySpan<byte> data, ulong checksum) => throw new NotImplementedException();

    /// <summary>
    /// Completes when the frame is here: at once, or when it is written. Throws <see cref="OperationCanceledException"/>
    /// when cancelled. Waiting does not make anybody fetch the frame.
    /// </summary>
    public ValueTask WaitForFrameAsync(int frame, CancellationToken cancellationToken) => throw new NotImplementedException();

    /// <summary>
    /// Fills the buffer with the bytes at <paramref name="offset"/>; all frames that the range touches must be here.
    /// A frame that was loaded from disk after a restart is checked against its checksum on the first read; when it
    /// does not match, the piece is dropped.
    /// </summary>
    /// <exception cref="FrameLostException">A frame of the range is not (or no longer) here, or does not read.</exception>
    public void Read(long offset, Span<byte> buffer) => throw new NotImplementedException();

    /// <summary>Records that the whole content matched its digest; kept over restarts.</summary>
    public void MarkVerified() => throw new NotImplementedException();

    /// <summary>Drops a piece, for example because another reader found it corrupt.</summary>
    public void DropPiece(int piece) => throw new NotImplementedException();

    /// <summary>Drops everything: the whole did not match its digest. The content starts again empty.</summary>
    public void DropAll() => throw new NotImplementedException();
}
