using System.Buffers.Binary;

namespace Peerd.Node.Cli.Demo;

/// <summary>
/// Content in gzip format without compression (stored blocks): where a byte lies is plain arithmetic, so that the
/// result is seekable and costs nothing; any gunzip unpacks it.
/// </summary>
/// <param name="content">What is packed.</param>
/// <param name="crc32">Its CRC-32.</param>
internal sealed class StoredGzip(GeneratedBytes content, uint crc32) : GeneratedBytes
{
    private const int HeaderSize = 10;
    private const int BlockHeaderSize = 5;
    private const int BlockSize = 32 * 1024;
    private const int TrailerSize = 8;

    private readonly long _blocks = Math.Max(1, (content.Length + BlockSize - 1) / BlockSize);

    // Deflate, no flags, no time, unknown system.
    private static ReadOnlySpan<byte> Header => [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

    public override long Length => HeaderSize + (_blocks * BlockHeaderSize) + content.Length + TrailerSize;

    public override void Read(long offset, Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            var count = ReadSome(offset, destination);
            destination = destination[count..];
            offset += count;
        }
    }

    private int ReadSome(long offset, Span<byte> destination)
    {
        if (offset < HeaderSize)
        {
            return Copy(Header[(int)offset..], destination);
        }

        var trailerStart = Length - TrailerSize;
        if (offset >= trailerStart)
        {
            Span<byte> trailer = stackalloc byte[TrailerSize];
            BinaryPrimitives.WriteUInt32LittleEndian(trailer, crc32);
            BinaryPrimitives.WriteUInt32LittleEndian(trailer[4..], (uint)content.Length);
            return Copy(trailer[(int)(offset - trailerStart)..], destination);
        }

        var (block, within) = Math.DivRem(offset - HeaderSize, BlockSize + BlockHeaderSize);
        var start = block * BlockSize;
        var size = (int)Math.Min(BlockSize, content.Length - start);
        if (within < BlockHeaderSize)
        {
            Span<byte> header = stackalloc byte[BlockHeaderSize];
            header[0] = block == _blocks - 1 ? (byte)1 : (byte)0;
            BinaryPrimitives.WriteUInt16LittleEndian(header[1..], (ushort)size);
            BinaryPrimitives.WriteUInt16LittleEndian(header[3..], (ushort)~size);
            return Copy(header[(int)within..], destination);
        }

        var skipped = (int)within - BlockHeaderSize;
        var count = Math.Min(size - skipped, destination.Length);
        content.Read(start + skipped, destination[..count]);
        return count;
    }

    private static int Copy(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        var count = Math.Min(source.Length, destination.Length);
        source[..count].CopyTo(destination);
        return count;
    }
}
