using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

public sealed class PieceCacheStressTests
{
    private const int MiB = 1 << 20;

    private static readonly TimeSpan Hang = TimeSpan.FromSeconds(60);

    /// <summary>
    /// Writers of the same frames, readers, droppers and evictions at once, part of it in memory. Each byte of a frame
    /// is the number of the write that it comes from, so a mix of two writes shows.
    /// </summary>
    [Theory]
    [InlineData(64 * MiB, 4 * MiB)]
    [InlineData(2 * MiB, 4 * MiB)]
    public async Task ReadAndWrite_ManyThreads_NoFrameIsEverAMix(int capacity, int memory)
    {
        const int Contents = 4;
        using var folder = new CacheFolder();
        using var cache = folder.Open(capacity, memory);
        var digests = Enumerable.Range(0, Contents).Select(i => Digest.OfSha256([(byte)i])).ToArray();
        var layout = new ContentLayout(MiB + 100);
        var reads = 0;
        var left = 8000;

        void Work(int worker)
        {
            var random = new Random(worker);
            var frameBytes = new byte[layout.FrameSize];
            while (Interlocked.Decrement(ref left) > 0)
            {
                using var lease = cache.Open(digests[random.Next(Contents)], layout.Size, null);
                var frame = random.Next(layout.FrameCount);
                var buffer = frameBytes.AsSpan(0, (int)layout.Frame(frame).Length);
                switch (random.Next(100))
                {
                    case < 50:
                        buffer.Fill((byte)random.Next(256));
                        lease.Content.WriteFrame(frame, buffer, FrameChecksum.Compute(buffer));
                        buffer.Fill(0xEE);
                        break;
                    case < 93:
                        try
                        {
                            lease.Content.Read(layout.Frame(frame).Offset, buffer);
                        }
                        catch (FrameLostException)
                        {
                            break;
                        }

                        Interlocked.Increment(ref reads);
                        if (buffer.ContainsAnyExcept(buffer[0]))
                        {
                            throw new InvalidOperationException($"frame {frame} is a mix");
                        }

                        break;
                    case < 97:
                        lease.Content.DropPiece(layout.PieceAt(layout.Frame(frame).Offset));
                        break;
                    case < 99:
                        lease.Content.DropAll();
                        break;
                    default:
                        cache.Remove(lease.Content.Digest);
                        break;
                }
            }
        }

        await Task.WhenAll(Enumerable.Range(0, 8).Select(worker => Task.Run(() => Work(worker)))).WaitAsync(Hang);

        Assert.True(reads > 100);
        foreach (var digest in cache.Digests)
        {
            cache.Remove(digest);
        }

        Assert.Equal(0, cache.UsedBytes);
        Assert.Equal(0, cache.MemoryBytes);
        Assert.Empty(folder.Files("*.data"));
        Assert.Empty(folder.Files("*.index"));
    }

    /// <summary>One frame, dropped and written anew again and again under the eyes of its readers.</summary>
    [Fact]
    public async Task Read_FrameIsDroppedAndWrittenAnew_IsNeverAMix()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open();
        var layout = new ContentLayout(65536);
        using var lease = cache.Open(Digest.OfSha256([1]), layout.Size, null);
        using var stop = new CancellationTokenSource();
        var reads = 0;
        var reading = Enumerable.Range(0, 3).Select(_ => Task.Run(() =>
        {
            var buffer = new byte[layout.Size];
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    lease.Content.Read(0, buffer);
                    Interlocked.Increment(ref reads);
                }
                catch (FrameLostException)
                {
                    continue;
                }

                if (buffer.AsSpan().ContainsAnyExcept(buffer[0]) || buffer[0] == 0)
                {
                    throw new InvalidOperationException("the frame is a mix");
                }
            }
        })).ToArray();

        var bytes = new byte[layout.Size];
        for (var round = 0; (round < 5000 || Volatile.Read(ref reads) < 100) && !Array.Exists(reading, task => task.IsFaulted); round++)
        {
            bytes.AsSpan().Fill((byte)(1 + (round % 255)));
            lease.Content.WriteFrame(0, bytes, FrameChecksum.Compute(bytes));
            lease.Content.DropPiece(0);
        }

        await stop.CancelAsync();
        await Task.WhenAll(reading).WaitAsync(Hang);
    }

    [Fact]
    public async Task WaitForFrameAsync_WritersAndWaiters_EveryWaiterReadsItsFrame()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open();
        var sample = new SampleContent(1, 8 * MiB);
        using var lease = sample.OpenIn(cache);
        var frames = Enumerable.Range(0, sample.Layout.FrameCount).ToArray();
        var waiting = frames.Concat(frames).Select(async frame =>
        {
            await lease.Content.WaitForFrameAsync(frame, CancellationToken.None);
            Assert.True(sample.TryRead(lease.Content, sample.Layout.Frame(frame)));
        }).ToArray();

        var writing = Enumerable.Range(0, 4).Select(writer => Task.Run(() =>
        {
            var order = frames.ToArray();
            new Random(writer).Shuffle(order);
            foreach (var frame in order)
            {
                sample.WriteFrame(lease.Content, frame);
            }
        })).ToArray();

        await Task.WhenAll(writing).WaitAsync(Hang);
        await Task.WhenAll(waiting).WaitAsync(Hang);
        Assert.True(lease.Content.SnapshotPieces().IsFull);
    }

    [Fact]
    public void ReadAndWriteFrame_NormalCase_AllocateNothing()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open();
        var sample = new SampleContent(1, 8 * MiB);
        using var lease = sample.OpenIn(cache);
        var buffer = new byte[3 * sample.Layout.FrameSize];
        var half = sample.Layout.FrameCount / 2;
        void WriteAndRead(int from, int to)
        {
            for (var frame = from; frame < to; frame++)
            {
                lease.Content.WriteFrame(frame, sample.Frame(frame), 1);
                lease.Content.Read(Math.Max(0, sample.Layout.Frame(frame).End - buffer.Length), buffer.AsSpan(0, (int)Math.Min(buffer.Length, sample.Layout.Frame(frame).End)));
                _ = lease.Content.HasFrame(frame);
            }
        }

        // The change set grows once, and everything is compiled.
        WriteAndRead(0, half);

        // A collection started by another test counts what was left of this thread's allocation context as allocated: one undisturbed run of four will do.
        long AllocatedBy(int quarter)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            WriteAndRead(half + (quarter * half / 4), half + ((quarter + 1) * half / 4));
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }

        Assert.Contains(0, Enumerable.Range(0, 4).Select(AllocatedBy));
    }
}
