using System.Buffers.Binary;

namespace Peerd.Node.Cli.Demo;

/// <summary>
/// Incompressible bytes: SplitMix64 with the number of the 8-byte word as its state, so that any offset can be read
/// without what lies before it, at memory speed. The same on every machine.
/// </summary>
internal sealed class RandomBytes(long length, ulong seed) : GeneratedBytes
{
    private const ulong Step = 0x9E3779B97F4A7C15;
    private const int WordSize = sizeof(ulong);

    public override long Length => length;

    /// <summary>A seed of its own for each number, unrelated to those of its neighbours.</summary>
    public static ulong Seed(ulong seed, int number) => Mix(Mix(seed + Step) + ((ulong)number * Step));

    public override void Read(long offset, Span<byte> destination)
    {
        Span<byte> edge = stackalloc byte[WordSize];
        var state = seed + ((ulong)(offset / WordSize) * Step);
        var skipped = (int)(offset % WordSize);
        if (skipped > 0)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(edge, Mix(state));
            var count = Math.Min(WordSize - skipped, destination.Length);
            edge.Slice(skipped, count).CopyTo(destination);
            destination = destination[count..];
            state += Step;
        }

        for (; destination.Length >= WordSize; state += Step)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(destination, Mix(state));
            destination = destination[WordSize..];
        }

        if (!destination.IsEmpty)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(edge, Mix(state));
            edge[..destination.Length].CopyTo(destination);
        }
    }

    private static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}
