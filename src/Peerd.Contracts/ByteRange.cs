namespace Peerd.Contracts;

/// <summary>A run of bytes of a content.</summary>
/// <param name="Offset">First byte, from 0.</param>
/// <param name="Length">How many bytes, 0 or more.</param>
public readonly record struct ByteRange(long Offset, long Length)
{
    /// <summary>The byte after the last one.</summary>
    public long End => Offset + Length;

    /// <summary>True when it holds no byte.</summary>
    public bool IsEmpty => Length <= 0;

    /// <summary>The run from <paramref name="start"/> up to, but without, <paramref name="end"/>.</summary>
    public static ByteRange FromBounds(long start, long end) => new(start, end - start);

    /// <summary>True when all of <paramref name="other"/> lies within this run.</summary>
    public bool Contains(ByteRange other) => other.Offset >= Offset && other.End <= End;

    /// <summary>What both have in common; empty when they do not meet.</summary>
    public ByteRange Intersect(ByteRange other)
    {
        var start = Math.Max(Offset, other.Offset);
        return FromBounds(start, Math.Max(start, Math.Min(End, other.End)));
    }
}
