namespace Peerd.Node.Cli.Demo;

/// <summary>
/// Bytes that are a function of their offset alone: never stored, read in any order and by many readers at once.
/// </summary>
internal abstract class GeneratedBytes
{
    public abstract long Length { get; }

    /// <summary>Fills the buffer with the bytes from this offset on; all of them must lie within <see cref="Length"/>.</summary>
    public abstract void Read(long offset, Span<byte> destination);

    /// <summary>A seekable stream of its own for every reader.</summary>
    public Stream OpenRead() => new GeneratedStream(this);
}

/// <summary>Bytes that are kept in memory: for what is small.</summary>
internal sealed class LiteralBytes(ReadOnlyMemory<byte> content) : GeneratedBytes
{
    public override long Length => content.Length;

    public override void Read(long offset, Span<byte> destination) => content.Span.Slice((int)offset, destination.Length).CopyTo(destination);
}

/// <summary>Several runs of bytes, one behind the other.</summary>
internal sealed class ConcatenatedBytes : GeneratedBytes
{
    private readonly GeneratedBytes[] _parts;
    private readonly long[] _ends;

    public ConcatenatedBytes(IEnumerable<GeneratedBytes> parts)
    {
        _parts = [.. parts.Where(part => part.Length > 0)];
        _ends = new long[_parts.Length];
        var end = 0L;
        for (var i = 0; i < _parts.Length; i++)
        {
            end += _parts[i].Length;
            _ends[i] = end;
        }

        Length = end;
    }

    public override long Length { get; }

    public override void Read(long offset, Span<byte> destination)
    {
        for (var i = FirstPartBehind(offset); !destination.IsEmpty; i++)
        {
            var part = _parts[i];
            var start = offset - (_ends[i] - part.Length);
            var count = (int)Math.Min(destination.Length, part.Length - start);
            part.Read(start, destination[..count]);
            destination = destination[count..];
            offset += count;
        }
    }

    private int FirstPartBehind(long offset)
    {
        var index = Array.BinarySearch(_ends, offset);
        return index >= 0 ? index + 1 : ~index;
    }
}
