using System.Security.Cryptography;
using Peerd.Contracts;
using Peerd.Node.Cli.Demo;

namespace Peerd.EndToEnd.Harness;

/// <summary>A blob of bytes that do not compress and are not kept: any of them can be made again. The same seed makes the same blob.</summary>
internal sealed class GeneratedBlob
{
    private readonly RandomBytes _bytes;

    public GeneratedBlob(long size, int seed)
    {
        _bytes = new RandomBytes(size, RandomBytes.Seed(0, seed));
        using var stream = _bytes.OpenRead();
        Digest = Digest.FromHash(HashAlgorithmName.SHA256, SHA256.HashData(stream));
    }

    /// <summary>Its name.</summary>
    public Digest Digest { get; }

    /// <summary>How many bytes it has.</summary>
    public long Size => _bytes.Length;

    /// <summary>Fills the buffer with the bytes from this offset on.</summary>
    public void Read(long offset, Span<byte> destination) => _bytes.Read(offset, destination);

    /// <summary>Compares what was read with what is there.</summary>
    /// <exception cref="InvalidDataException">A byte differs.</exception>
    public void Demand(long offset, ReadOnlySpan<byte> read)
    {
        var expected = new byte[read.Length];
        Read(offset, expected);
        var same = read.CommonPrefixLength(expected);
        if (same < read.Length)
        {
            throw new InvalidDataException($"byte {offset + same} of {Digest} is wrong, in a read of {read.Length} at {offset}");
        }
    }
}
