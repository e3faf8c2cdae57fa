using System.Buffers;

namespace Peerd.Contracts;

/// <summary>The encoding of Protocol Buffers, as far as it is read here without the generated parsers.</summary>
internal static class WireFormat
{
    /// <summary>Reads a number of at most 10 bytes, of which each has 7 bits; false when it does not end.</summary>
    public static bool TryReadVarint(ref SequenceReader<byte> reader, out ulong value)
    {
        value = 0;
        for (var shift = 0; shift < 64; shift += 7)
        {
            if (!reader.TryRead(out var part))
            {
                return false;
            }

            value |= (ulong)(part & 0x7F) << shift;
            if ((part & 0x80) == 0)
            {
                return true;
            }
        }

        return false;
    }
}
