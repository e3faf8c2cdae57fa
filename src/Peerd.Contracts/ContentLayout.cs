using System.Numerics;

namespace Peerd.Contracts;

/// <summary>
/// How a content is cut into frames, pieces and segments. A function of the size alone, so that all nodes and
/// versions of one protocol package agree: frames divide pieces, and pieces divide segments.
/// </summary>
/// <param name="Size">Size of the content in bytes, 0 or more.</param>
public readonly record struct ContentLayout(long Size)
{
    private const int KiB = 1024;
    private const int MiB = 1024 * KiB;

    /// <summary>Bytes of a frame: 64 KiB for contents under 4 GiB, else 256 KiB.</summary>
    /// <remarks>Nothing less can be checked, so a read of a few KiB moves the frames that it touches, and waits for all of them.</remarks>
    public int FrameSize => Size < 4096L * MiB ? 64 * KiB : 256 * KiB;

    /// <summary>Bytes of a piece: a segment, but 1 MiB at most.</summary>
    /// <remarks>A larger piece would keep small contents from being cut finely enough to spread quickly.</remarks>
    public int PieceSize => Math.Min(SegmentSize, MiB);

    /// <summary>Bytes of a segment: the power of two at or below size/256, between 64 KiB and 16 MiB.</summary>
    public int SegmentSize => (int)Math.Clamp(FloorPowerOfTwo(Size / 256), 64 * KiB, 16 * MiB);

    /// <summary>How many frames the content has.</summary>
    public int FrameCount => Count(FrameSize);

    /// <summary>How many frames go in one message at most: a quarter of a segment, but 256 KiB at most, and one frame at least.</summary>
    /// <remarks>Each message costs both ends the same. Longer ones would keep those waiting who pass the bytes on.</remarks>
    public int FramesPerMessage => Math.Clamp(SegmentSize / 4, FrameSize, 256 * KiB) / FrameSize;

    /// <summary>How many pieces the content has.</summary>
    public int PieceCount => Count(PieceSize);

    /// <summary>How many segments the content has.</summary>
    public int SegmentCount => Count(SegmentSize);

    /// <summary>Frames in a piece that is not the last.</summary>
    public int FramesPerPiece => PieceSize / FrameSize;

    /// <summary>Pieces in a segment that is not the last.</summary>
    public int PiecesPerSegment => SegmentSize / PieceSize;

    /// <summary>The bytes of a frame; the last frame is shorter.</summary>
    public ByteRange Frame(int index) => Block(index, FrameSize);

    /// <summary>The bytes of a piece; the last piece is shorter.</summary>
    public ByteRange Piece(int index) => Block(index, PieceSize);

    /// <summary>The bytes of a segment; the last segment is shorter.</summary>
    public ByteRange Segment(int index) => Block(index, SegmentSize);

    /// <summary>The frame that holds the byte at this offset.</summary>
    public int FrameAt(long offset) => (int)(offset / FrameSize);

    /// <summary>The piece that holds the byte at this offset.</summary>
    public int PieceAt(long offset) => (int)(offset / PieceSize);

    /// <summary>First frame of a piece.</summary>
    public int FirstFrameOf(int piece) => piece * FramesPerPiece;

    /// <summary>How many frames this piece has.</summary>
    public int FramesIn(int piece) => Math.Min(FramesPerPiece, FrameCount - FirstFrameOf(piece));

    private int Count(int blockSize) => checked((int)((Size + blockSize - 1) / blockSize));

    private ByteRange Block(int index, int blockSize)
    {
        var start = (long)index * blockSize;
        return ByteRange.FromBounds(start, Math.Min(Size, start + blockSize));
    }

    private static long FloorPowerOfTwo(long value) => value <= 0 ? 0 : 1L << (63 - BitOperations.LeadingZeroCount((ulong)value));
}
