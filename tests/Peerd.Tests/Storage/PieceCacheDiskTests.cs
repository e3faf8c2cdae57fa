using System.Security.Cryptography;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

public sealed class PieceCacheDiskTests
{
    private const int MiB = 1 << 20;
    private const int Size = (8 * MiB) + 5;

    [Fact]
    public void Open_FoldersOfScopesWithNothingInThem_AreRemoved()
    {
        using var folder = new CacheFolder();
        var sample = new SampleContent(1, 1000);
        var (gone, kept) = (sample.Digest.Within("gone"), sample.Digest.Within("kept"));
        var longer = Digest.FromHash(HashAlgorithmName.SHA512, SHA512.HashData(sample.Bytes)).Within("gone");
        using (var cache = folder.Open())
        {
            foreach (var digest in new[] { gone, longer, kept })
            {
                using var lease = cache.Open(digest, sample.Bytes.Length, mediaType: null);
                sample.WritePiece(lease.Content, 0);
            }

            cache.Remove(gone);
            cache.Remove(longer);
        }

        // As a crash leaves it.
        Directory.CreateDirectory(Path.Combine(folder.Path, "contents", sample.Digest.Within("half gone").Algorithm));
        DirectoryInfo[] foreign = [.. new[] { "foreign", kept.Algorithm }.Select(algorithm => Directory.CreateDirectory(Path.Combine(folder.Path, "contents", algorithm, algorithm == "foreign" ? "aa" : "xy")))];
        using var again = folder.Open();

        Assert.Equal(kept, Assert.Single(again.Digests));
        Assert.All(foreign, left => Assert.True(Directory.Exists(left.FullName)));
        Assert.Equal(["foreign", kept.Algorithm], Directory.GetDirectories(Path.Combine(folder.Path, "contents")).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData(17, false)]
    [InlineData(Size - 1, false)]
    [InlineData(Size / 2, true)]
    public void Read_OthersHaveWrittenToTheFile_IsNoticedAndTheRestIsUsed(int offset, bool truncates)
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open();
        var sample = new SampleContent(1, Size);
        sample.WriteAll(cache);
        Assert.True(sample.TryReadAll(cache));

        var path = Assert.Single(folder.Files("*.data"));
        var before = File.GetLastWriteTimeUtc(path);
        using (var file = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite))
        {
            if (truncates)
            {
                RandomAccess.SetLength(file, offset);
            }
            else
            {
                RandomAccess.Write(file, [(byte)~sample.Bytes[offset]], offset);
            }
        }

        // It may have happened within one tick of the kernel's clock.
        File.SetLastWriteTimeUtc(path, before.AddMilliseconds(4));

        // A reading that is wrong fails the test.
        Assert.False(sample.TryReadAll(cache));
        Assert.True(cache.TryOpen(sample.Digest, out var lease));
        using (lease)
        {
            Assert.False(lease.Content.IsVerified);
            var harmed = sample.Layout.PieceAt(offset);
            Assert.False(lease.Content.HasPiece(harmed));
            Assert.True(harmed == 0 || sample.TryRead(lease.Content, sample.Layout.Piece(0)));
            sample.WritePiece(lease.Content, harmed);
            Assert.True(sample.TryRead(lease.Content, sample.Layout.Piece(harmed)));
        }
    }

    [Fact]
    public void WriteFrame_DiskFull_StaysInMemoryAndTriesTheDiskAgainLater()
    {
        using var folder = new CacheFolder();
        folder.MountTmpfs("4m");
        var ballast = Path.Combine(folder.Path, "ballast");
        var time = new FakeTimeProvider();
        using var cache = folder.Open(memory: 32 * MiB, time: time);
        File.WriteAllBytes(ballast, new byte[MiB]);
        var sample = new SampleContent(1, 8 * MiB);
        using (var lease = sample.OpenIn(cache))
        {
            for (var frame = 0; frame < sample.Layout.FrameCount; frame++)
            {
                sample.WriteFrame(lease.Content, frame);
                Assert.True(lease.Content.HasFrame(frame));
            }

            Assert.False(cache.IsWritable);
            Assert.True(lease.Content.KeepsInMemory);
            Assert.InRange(cache.UsedBytes, MiB, 4 * MiB);
            Assert.InRange(cache.MemoryBytes, MiB, 32 * MiB);
            Assert.True(lease.Content.SnapshotPieces().IsFull);
            Assert.True(sample.TryRead(lease.Content, new ByteRange(0, sample.Bytes.Length)));

            File.Delete(ballast);
            lease.Content.DropPiece(60);
            sample.WritePiece(lease.Content, 60);
            Assert.False(cache.IsWritable);
            time.Advance(DiskHealth.Pause);
            lease.Content.DropPiece(60);
            sample.WritePiece(lease.Content, 60);
            Assert.True(cache.IsWritable);
            Assert.False(lease.Content.KeepsInMemory);
            Assert.True(sample.TryRead(lease.Content, new ByteRange(0, sample.Bytes.Length)));
        }

        cache.Dispose();
        using var reopened = folder.Open();
        using var again = sample.OpenIn(reopened);
        Assert.True(again.Content.HasPiece(60));
        Assert.False(again.Content.HasPiece(59));
        var pieces = again.Content.SnapshotPieces();
        Assert.All(pieces.Runs(), run => Assert.True(sample.TryRead(again.Content, ByteRange.FromBounds(sample.Layout.Piece(run.First).Offset, sample.Layout.Piece(run.First + run.Count - 1).End))));
    }

    [Fact]
    public void WriteFrame_DiskFullOfOldContents_EvictsThem()
    {
        using var folder = new CacheFolder();
        folder.MountTmpfs("4m");
        using var cache = folder.Open();
        var samples = Enumerable.Range(1, 8).Select(seed => new SampleContent(seed, MiB)).ToArray();

        foreach (var sample in samples)
        {
            sample.WriteAll(cache);
        }

        Assert.True(cache.IsWritable);
        Assert.Equal(0, cache.MemoryBytes);
        Assert.True(samples[^1].TryReadAll(cache));
        Assert.DoesNotContain(samples[0].Digest, cache.Digests);
    }

    [Fact]
    public void WriteFrame_DiskFullAndTheOldestIsSmall_EvictsUntilTheFrameFits()
    {
        using var folder = new CacheFolder();
        folder.MountTmpfs("4m");
        using var cache = folder.Open();
        var small = new SampleContent(1, 2048);
        var old = Enumerable.Range(2, 3).Select(seed => new SampleContent(seed, MiB)).ToArray();
        var fresh = new SampleContent(5, MiB);
        small.WriteAll(cache);
        foreach (var sample in old)
        {
            sample.WriteAll(cache);
        }

        fresh.WriteAll(cache);

        Assert.True(cache.IsWritable);
        Assert.Equal(0, cache.MemoryBytes);
        Assert.True(fresh.TryReadAll(cache));
        Assert.Equal(new[] { old[1].Digest, old[2].Digest, fresh.Digest }.ToHashSet(), cache.Digests.ToHashSet());
    }

    [Fact]
    public void WriteFrame_NoRoomForTheIndex_DiskIsNotBroken()
    {
        using var folder = new CacheFolder();
        folder.MountTmpfs("8m");
        using var cache = folder.Open();

        // The record of its last piece lies on another page of the index than that of the first.
        var sample = new SampleContent(1, 64 * MiB);
        using var lease = sample.OpenIn(cache);
        sample.WritePiece(lease.Content, 0);
        var last = sample.Layout.PieceCount - 1;
        var frames = Enumerable.Range(sample.Layout.FirstFrameOf(last), sample.Layout.FramesIn(last)).ToList();
        frames.SkipLast(1).ToList().ForEach(frame => sample.WriteFrame(lease.Content, frame));
        var room = new DriveInfo(folder.Path).AvailableFreeSpace - sample.Layout.Frame(frames[^1]).Length;
        File.WriteAllBytes(Path.Combine(folder.Path, "ballast"), new byte[room]);

        sample.WriteFrame(lease.Content, frames[^1]);

        Assert.Equal(0, new DriveInfo(folder.Path).AvailableFreeSpace);
        Assert.True(cache.IsWritable);
        Assert.Equal(0, cache.MemoryBytes);
        Assert.True(lease.Content.HasPiece(last));
    }

    [Theory]
    [InlineData(28, true)]
    [InlineData(122, true)]
    [InlineData(5, false)]
    [InlineData(30, false)]
    public void IsFull_OnlyWantOfRoom_IsTold(int error, bool expected) => Assert.Equal(expected, DiskHealth.IsFull(new IOException("no", error)));

    [Fact]
    public void Open_ReadOnlyDirectory_ServesWhatIsThereAndTheRestFromMemory()
    {
        using var folder = new CacheFolder();
        folder.MountTmpfs("16m");
        var old = new SampleContent(1, 3 * MiB);
        var fresh = new SampleContent(2, 3 * MiB);
        using (var cache = folder.Open())
        {
            old.WriteAll(cache);
        }

        folder.Remount("ro");
        var time = new FakeTimeProvider();
        using (var cache = folder.Open(time: time))
        {
            Assert.False(cache.IsWritable);
            Assert.True(old.TryReadAll(cache));
            fresh.WriteAll(cache);
            Assert.True(fresh.TryReadAll(cache));
            Assert.Equal(2, cache.Digests.Count);
            time.Advance(DiskHealth.Pause);
            var third = new SampleContent(3, 100);
            third.WriteAll(cache);
            Assert.False(cache.IsWritable);

            folder.Remount("rw");
            time.Advance(DiskHealth.Pause);
            new SampleContent(4, 100).WriteAll(cache);
            Assert.True(cache.IsWritable);
            Assert.Throws<CacheInUseException>(() => folder.Open());
        }
    }

    [Fact]
    public void WriteFrame_MemorySpent_ReadFramesGoFirstThenTheOldest()
    {
        using var folder = new CacheFolder();
        var file = Path.Combine(folder.Path, "file");
        File.WriteAllText(file, "");
        using var cache = folder.Open(memory: 5 * 65536, path: file);
        var sample = new SampleContent(1, MiB);
        using var lease = sample.OpenIn(cache);
        for (var frame = 0; frame < 4; frame++)
        {
            sample.WriteFrame(lease.Content, frame);
        }

        Assert.True(sample.TryRead(lease.Content, sample.Layout.Frame(2)));
        cache.Changes.Drain();

        sample.WriteFrame(lease.Content, 4);
        Assert.Equal([0, 1, 3, 4], Held(lease.Content));
        Assert.Contains(sample.Digest, cache.Changes.Drain());
        Assert.False(lease.Content.HasPiece(2));
        Assert.Throws<FrameLostException>(() => lease.Content.Read(2 * 65536, new byte[1]));
        sample.WriteFrame(lease.Content, 5);
        Assert.Equal([1, 3, 4, 5], Held(lease.Content));
        sample.WriteFrame(lease.Content, 2);
        Assert.Equal([2, 3, 4, 5], Held(lease.Content));
    }

    [Fact]
    public void WriteFrame_ContentLargerThanCapacity_RestIsInMemory()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open(capacity: 2 * MiB, memory: 4 * MiB);
        var sample = new SampleContent(1, 4 * MiB);
        sample.WriteAll(cache);

        Assert.True(sample.TryReadAll(cache));
        Assert.InRange(cache.UsedBytes, MiB, 2 * MiB);
        Assert.InRange(cache.MemoryBytes, MiB, 4 * MiB);
        Assert.True(cache.IsWritable);
        Assert.Equal(4 * MiB, cache.MemoryBudget);
    }

    [Fact]
    public void MemoryFrames_ContentLosesAllWhileUnused_IsForgotten()
    {
        using var folder = new CacheFolder();
        var file = Path.Combine(folder.Path, "file");
        File.WriteAllText(file, "");
        using var cache = folder.Open(memory: 4 * MiB, path: file);
        var first = new SampleContent(1, 2 * MiB);
        first.WriteAll(cache);
        Assert.Equal([first.Digest], cache.Digests);

        var second = new SampleContent(2, (4 * MiB) - 65536);
        second.WriteAll(cache);

        Assert.Equal([second.Digest], cache.Digests);
        Assert.False(cache.TryOpen(first.Digest, out _));
    }

    private static IEnumerable<int> Held(CachedContent content) => Enumerable.Range(0, content.Layout.FrameCount).Where(content.HasFrame);
}
