using System.Security.Cryptography;
using Peerd.Contracts;

namespace Peerd.Benchmarks.Servers;

/// <summary>A file of random bytes that lies where the path of a registry blob leads, so that any web server is its registry.</summary>
/// <param name="Folder">Root of the paths.</param>
/// <param name="Digest">Digest of the bytes.</param>
/// <param name="Size">How many bytes.</param>
internal sealed record BenchmarkFile(string Folder, Digest Digest, long Size)
{
    private const string BlobsPath = "v2/bench/blobs";
    private const int BlockSize = 1 << 20;
    private const int Seed = 20_250_101;

    /// <summary>Path of the blob, without a slash at the beginning.</summary>
    public string UrlPath => $"{BlobsPath}/{Digest}";

    /// <summary>Writes a file of this size.</summary>
    public static async Task<BenchmarkFile> CreateAsync(string folder, long size, CancellationToken cancellationToken)
    {
        var blobs = System.IO.Directory.CreateDirectory(Path.Combine(folder, BlobsPath)).FullName;
        var temporary = Path.Combine(blobs, "new");
        var random = new Random(Seed);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        await using (var file = File.Create(temporary))
        {
            var block = new byte[BlockSize];
            for (var left = size; left > 0; left -= block.Length)
            {
                random.NextBytes(block);
                var bytes = block.AsMemory(0, (int)Math.Min(left, block.Length));
                hash.AppendData(bytes.Span);
                await file.WriteAsync(bytes, cancellationToken);
            }
        }

        var digest = Digest.FromHash(HashAlgorithmName.SHA256, hash.GetHashAndReset());
        File.Move(temporary, Path.Combine(blobs, digest.ToString()));
        return new BenchmarkFile(folder, digest, size);
    }
}
