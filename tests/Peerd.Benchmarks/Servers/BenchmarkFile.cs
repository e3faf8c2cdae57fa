using System.Security.Cryptography;
using Peerd.Contracts;

namespace Peerd.Benchmarks.Servers;

/// <summary>
/// A file of random bytes that lies where the path of a registry blob leads, and where registries keep blobs in their store,
/// so that any web server is its registry or its store.
/// </summary>
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

    /// <summary>Path of the blob in the store of a registry, without a slash at the beginning.</summary>
    public string StorePath => $"docker/registry/v2/blobs/sha256/{Digest.Hex[..2]}/{Digest.Hex}/data";

    /// <summary>The file itself.</summary>
    public string FullName => Path.Combine(Folder, UrlPath);

    /// <summary>Writes a file of this size.</summary>
    public static Task<BenchmarkFile> CreateAsync(string folder, long size, CancellationToken cancellationToken) => CreateAsync(folder, size, Seed, cancellationToken);

    /// <summary>Writes a file of this size; the seed decides all of its bytes.</summary>
    public static async Task<BenchmarkFile> CreateAsync(string folder, long size, int seed, CancellationToken cancellationToken)
    {
        var blobs = System.IO.Directory.CreateDirectory(Path.Combine(folder, BlobsPath)).FullName;
        var temporary = Path.Combine(blobs, "new");
        var random = new Random(seed);
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
        var made = new BenchmarkFile(folder, digest, size);
        File.Move(temporary, made.FullName);
        var stored = Path.Combine(folder, made.StorePath);
        System.IO.Directory.CreateDirectory(Path.GetDirectoryName(stored)!);
        File.CreateSymbolicLink(stored, made.FullName);
        return made;
    }
}
