using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

public sealed class ExternalStressTests : IDisposable
{
    private const int MiB = 1 << 20;

    private static readonly TimeSpan Hang = TimeSpan.FromSeconds(60);

    private readonly string _store = Directory.CreateTempSubdirectory("peerd-store-").FullName;

    /// <summary>
    /// Readers while contents come to and leave another's store, give the room of their own frames back and are written
    /// and evicted: whatever is read is right.
    /// </summary>
    [Fact]
    public async Task Read_ContentsComeAndGoElsewhere_BytesAreAlwaysRight()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open(capacity: 4 * MiB, memory: 4 * MiB);
        var samples = Enumerable.Range(0, 4).Select(i => new SampleContent(i, MiB + 100)).ToArray();
        var files = samples.Select(sample => Path.Combine(_store, sample.Digest.Hex)).ToArray();
        foreach (var (sample, file) in samples.Zip(files))
        {
            await File.WriteAllBytesAsync(file, sample.Bytes, TestContext.Current.CancellationToken);
        }

        var reads = 0;
        var left = 6000;

        void Work(int worker)
        {
            var random = new Random(worker);
            while (Interlocked.Decrement(ref left) > 0)
            {
                var i = random.Next(samples.Length);
                var sample = samples[i];
                switch (random.Next(100))
                {
                    case < 60:
                        if (cache.TryOpen(sample.Digest, out var lease))
                        {
                            using (lease)
                            {
                                var offset = random.Next(sample.Bytes.Length - 1);
                                Interlocked.Add(ref reads, sample.TryRead(lease.Content, new ByteRange(offset, random.Next(sample.Bytes.Length - offset))) ? 1 : 0);
                            }
                        }

                        break;
                    case < 75:
                        cache.TryAttach(sample.Digest, new ExternalFile(files[i], sample.Bytes.Length), mediaType: null);
                        break;
                    case < 85:
                        using (var open = sample.OpenIn(cache))
                        {
                            sample.WriteFrame(open.Content, random.Next(sample.Layout.FrameCount));
                        }

                        break;
                    case < 92:
                        if (cache.TryPeek(sample.Digest, out var content))
                        {
                            content.ReleaseOwnFrames();
                        }

                        break;
                    default:
                        using (var open = sample.OpenIn(cache))
                        {
                            open.Content.DropPiece(random.Next(sample.Layout.PieceCount));
                        }

                        break;
                }
            }
        }

        await Task.WhenAll(Enumerable.Range(0, 8).Select(worker => Task.Run(() => Work(worker)))).WaitAsync(Hang);

        Assert.InRange(reads, 100, int.MaxValue);
        foreach (var digest in cache.Digests)
        {
            cache.Remove(digest);
        }

        Assert.Equal(0, cache.UsedBytes);
        Assert.Equal(0, cache.MemoryBytes);
        Assert.Equal(0, cache.ExternalContents);
        Assert.Empty(folder.Files("*.data"));
        Assert.All(files, file => Assert.True(File.Exists(file)));
    }

    public void Dispose() => Directory.Delete(_store, recursive: true);
}
