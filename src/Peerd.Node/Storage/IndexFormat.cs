using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;
using Peerd.Contracts;

namespace Peerd.Node.Storage;

/// <summary>What an index file says of its content as a whole.</summary>
internal readonly record struct IndexHeader(Digest Digest, long Size, string? MediaType, bool IsVerified);

/// <summary>
/// Bytes of an index file, little-endian: a header of 512 bytes with its own checksum, then one record per piece. A
/// record has the XxHash3 of each frame of the piece (zero for frames that a short last piece lacks) and a checksum
/// over them that also depends on the content and the piece number. All zero, or beyond the end of the file: the
/// piece is not here.
/// </summary>
internal static class IndexFormat
{
    public const int HeaderSize = 512;

    private const uint Version = 1;
    private const uint VerifiedFlag = 1;

    private const int VersionAt = 8;
    private const int FlagsAt = 12;
    private const int SizeAt = 16;
    private const int FrameSizeAt = 24;
    private const int PieceSizeAt = 28;
    private const int DigestLengthAt = 32;
    private const int MediaTypeLengthAt = 34;
    private const int TextAt = 36;
    private const int ChecksumAt = HeaderSize - sizeof(ulong);

    private static ReadOnlySpan<byte> Magic => "peerdidx"u8;

    public static int RecordSize(ContentLayout layout) => (layout.FramesPerPiece + 1) * sizeof(ulong);

    public static long RecordOffset(ContentLayout layout, int piece) => HeaderSize + ((long)piece * RecordSize(layout));

    /// <summary>What an index is counted with against the capacity: whole blocks of a file system.</summary>
    public static long SpaceOf(ContentLayout layout) => (RecordOffset(layout, layout.PieceCount) + 4095) & ~4095L;

    /// <summary>Makes the records of one content invalid in the index of another.</summary>
    public static ulong SaltOf(Digest digest) => XxHash3.HashToUInt64(Encoding.ASCII.GetBytes(digest.ToString()));

    public static void WriteHeader(Span<byte> bytes, IndexHeader header)
    {
        bytes = bytes[..HeaderSize];
        bytes.Clear();
        var layout = new ContentLayout(header.Size);
        Magic.CopyTo(bytes);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[VersionAt..], Version);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[FlagsAt..], header.IsVerified ? VerifiedFlag : 0);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[SizeAt..], header.Size);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[FrameSizeAt..], layout.FrameSize);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[PieceSizeAt..], layout.PieceSize);
        var digestLength = Encoding.ASCII.GetBytes(header.Digest.ToString(), bytes[TextAt..]);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[DigestLengthAt..], (ushort)digestLength);
        if (header.MediaType is { } mediaType && Encoding.UTF8.GetByteCount(mediaType) is > 0 and <= ContentMediaType.MaxLength)
        {
            var mediaTypeLength = Encoding.UTF8.GetBytes(mediaType, bytes[(TextAt + digestLength)..]);
            BinaryPrimitives.WriteUInt16LittleEndian(bytes[MediaTypeLengthAt..], (ushort)mediaTypeLength);
        }

        BinaryPrimitives.WriteUInt64LittleEndian(bytes[ChecksumAt..], XxHash3.HashToUInt64(bytes[..ChecksumAt]));
    }

    /// <summary>False for everything that this version did not write whole.</summary>
    public static bool TryReadHeader(ReadOnlySpan<byte> bytes, out IndexHeader header)
    {
        header = default;
        if (bytes.Length < HeaderSize
            || !bytes.StartsWith(Magic)
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes[VersionAt..]) != Version
            || BinaryPrimitives.ReadUInt64LittleEndian(bytes[ChecksumAt..]) != XxHash3.HashToUInt64(bytes[..ChecksumAt]))
        {
            return false;
        }

        var size = BinaryPrimitives.ReadInt64LittleEndian(bytes[SizeAt..]);
        var digestLength = BinaryPrimitives.ReadUInt16LittleEndian(bytes[DigestLengthAt..]);
        var mediaTypeLength = BinaryPrimitives.ReadUInt16LittleEndian(bytes[MediaTypeLengthAt..]);
        if (size is < 0 or > PieceCache.MaxContentSize
            || TextAt + digestLength + mediaTypeLength > ChecksumAt
            || !Digest.TryParseScoped(Encoding.ASCII.GetString(bytes.Slice(TextAt, digestLength)), out var digest))
        {
            return false;
        }

        // A later version may cut contents differently.
        var layout = new ContentLayout(size);
        if (BinaryPrimitives.ReadInt32LittleEndian(bytes[FrameSizeAt..]) != layout.FrameSize
            || BinaryPrimitives.ReadInt32LittleEndian(bytes[PieceSizeAt..]) != layout.PieceSize)
        {
            return false;
        }

        var mediaType = mediaTypeLength == 0 ? null : Encoding.UTF8.GetString(bytes.Slice(TextAt + digestLength, mediaTypeLength));
        var isVerified = (BinaryPrimitives.ReadUInt32LittleEndian(bytes[FlagsAt..]) & VerifiedFlag) != 0;
        header = new IndexHeader(digest, size, mediaType, isVerified);
        return true;
    }

    public static void WriteRecord(Span<byte> record, ulong salt, int piece, ReadOnlySpan<ulong> checksums)
    {
        record.Clear();
        for (var i = 0; i < checksums.Length; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(record[(i * sizeof(ulong))..], checksums[i]);
        }

        var frames = record[..^sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(record[frames.Length..], ChecksumOf(frames, salt, piece));
    }

    /// <summary>Reads the frame checksums of a piece; false when the piece is not here or the record is torn.</summary>
    public static bool TryReadRecord(ReadOnlySpan<byte> record, ulong salt, int piece, Span<ulong> checksums)
    {
        var frames = record[..^sizeof(ulong)];
        if (BinaryPrimitives.ReadUInt64LittleEndian(record[frames.Length..]) != ChecksumOf(frames, salt, piece))
        {
            return false;
        }

        for (var i = 0; i < checksums.Length; i++)
        {
            checksums[i] = BinaryPrimitives.ReadUInt64LittleEndian(frames[(i * sizeof(ulong))..]);
        }

        return true;
    }

    // Never zero: zero is what an unwritten record reads as.
    private static ulong ChecksumOf(ReadOnlySpan<byte> frames, ulong salt, int piece) =>
        Math.Max(1, XxHash3.HashToUInt64(frames, unchecked((long)(salt + (uint)piece))));
}
