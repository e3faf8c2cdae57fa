using System.Text;

namespace Peerd.Node.Cli.Demo;

/// <summary>A tar archive (POSIX ustar) of generated files with fixed owner, mode and time.</summary>
internal static class GeneratedTar
{
    private const int BlockSize = 512;

    /// <summary>2024-01-01 00:00:00 UTC.</summary>
    private const long ModifiedAt = 1_704_067_200;

    /// <summary>The archive; paths have at most 100 ASCII characters, files less than 8 GiB.</summary>
    public static GeneratedBytes Of(IEnumerable<(string Path, GeneratedBytes Content)> files)
    {
        List<GeneratedBytes> parts = [];
        foreach (var (path, content) in files)
        {
            parts.Add(new LiteralBytes(Header(path, content.Length)));
            parts.Add(content);
            parts.Add(new LiteralBytes(new byte[(BlockSize - (content.Length % BlockSize)) % BlockSize]));
        }

        parts.Add(new LiteralBytes(new byte[2 * BlockSize]));
        return new ConcatenatedBytes(parts);
    }

    private static byte[] Header(string path, long size)
    {
        var header = new byte[BlockSize];
        Encoding.ASCII.GetBytes(path, header.AsSpan(0, 100));
        WriteOctal(header.AsSpan(100, 8), Convert.ToInt64("644", 8));
        WriteOctal(header.AsSpan(108, 8), 0);
        WriteOctal(header.AsSpan(116, 8), 0);
        WriteOctal(header.AsSpan(124, 12), size);
        WriteOctal(header.AsSpan(136, 12), ModifiedAt);
        header.AsSpan(148, 8).Fill((byte)' ');
        header[156] = (byte)'0';
        "ustar\0"u8.CopyTo(header.AsSpan(257));
        "00"u8.CopyTo(header.AsSpan(263));

        // The checksum is taken with its own field full of spaces, which is what is there by now.
        var sum = 0;
        foreach (var value in header)
        {
            sum += value;
        }

        WriteOctal(header.AsSpan(148, 7), sum);
        return header;
    }

    private static void WriteOctal(Span<byte> field, long value)
    {
        field[^1] = 0;
        for (var i = field.Length - 2; i >= 0; i--, value >>= 3)
        {
            field[i] = (byte)('0' + (value & 7));
        }
    }
}
