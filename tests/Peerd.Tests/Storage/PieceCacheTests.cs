using CsCheck;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

public sealed class PieceCacheTests
{
    private const int MiB = 1 << 20;

    private static readonly TimeSpan Hang = TimeSpan.FromSeconds(30);

    // Each step: 0–5 write a frame, 6 read a range, 7 close and open the cache, 8 drop a piece, 9 drop all.
    private static readonly Gen<(int Kind, int Where, int Length)[]> Steps =
        Gen.Select(Gen.Frequency((60, Gen.Const(0)), (30, Gen.Const(6)), (4, Gen.Const(7)), (5, Gen.Const(8)), (1, Gen.Const(9))), Gen.Int[0, int.MaxValue], Gen.Int[0, 300_000])
            .Array[1, 300];

    private static readonly Gen<int> Sizes = Gen.OneOf(
        Gen.Int[1, 70_000],
        Gen.Int[60 * 1024, 3 * MiB],
        Gen.Int[8 * MiB, 9 * MiB]);

    // A size costs nothing to tell: with one piece of each, contents that nobody has would fill the memory for good.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Lease_EndsOnContentsOfHugeSizesWithLittleOfThem_TheirTablesAreBounded(bool isRestarted)
    {
        using var folder = new CacheFolder();
        var cache = folder.Open();
        try
        {
            var honest = new SampleContent(9 * MiB, 1);
            using (var lease = honest.OpenIn(cache))
            {
                honest.WriteFrame(lease.Content, 0);
            }

            var huge = Enumerable.Range(0, 6).Select(number => Digest.OfSha256([7, (byte)number])).ToList();
            var frame = new byte[256 * 1024];
            foreach (var digest in huge)
            {
                using var lease = cache.Open(digest, 512L << 30, mediaType: null);
                for (var each = 0; each < lease.Content.Layout.FramesPerPiece; each++)
                {
                    lease.Content.WriteFrame(each, frame, FrameChecksum.Compute(frame));
                }
            }

            if (isRestarted)
            {
                cache.Dispose();
                cache = folder.Open();
            }

            Assert.InRange(cache.IdleTables, 1, cache.MostIdleTables);
            Assert.Equal(3, cache.Digests.Count(huge.Contains));
            Assert.Contains(honest.Digest, cache.Digests);
            Assert.Equal(isRestarted ? 0 : 3, cache.Evictions);
            foreach (var digest in cache.Digests)
            {
                cache.Remove(digest);
            }

            Assert.Equal(0, cache.IdleTables);
            Assert.Equal(0, cache.UsedBytes);
        }
        finally
        {
            cache.Dispose();
        }
    }

    // A directory may have any number of contents: those that are far too many go before all are in memory, the oldest first, however
    // much of them is here.
    [Fact]
    public void Open_TablesOfFarMoreThanMayBeKept_TheOldestGo()
    {
        using var folder = new CacheFolder();
        var digests = Enumerable.Range(0, 5).Select(number => Digest.OfSha256([7, (byte)number])).ToList();
        var frame = new byte[256 * 1024];
        long most;
        using (var cache = folder.Open())
        {
            most = cache.MostIdleTables;
        }

        foreach (var (number, digest) in digests.Index())
        {
            // One at a time, or they would not be here: without what is on disk already.
            using var other = new CacheFolder();
            using (var cache = other.Open())
            using (var lease = cache.Open(digest, PieceCache.MaxContentSize, mediaType: null))
            {
                Assert.InRange(lease.Content.TableBytes, most / 2, most);
                for (var each = 0; each < lease.Content.Layout.FramesPerPiece * (number == 0 ? 2 : 1); each++)
                {
                    lease.Content.WriteFrame(each, frame, FrameChecksum.Compute(frame));
                }
            }

            foreach (var path in other.Files($"{digest.Hex}.*"))
            {
                var copy = Path.Combine(folder.Path, Path.GetRelativePath(other.Path, path));
                Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
                File.Move(path, copy);
                File.SetLastWriteTimeUtc(copy, DateTime.UnixEpoch.AddDays(number));
            }
        }

        using (var cache = folder.Open())
        {
            Assert.Equal([digests[^1]], cache.Digests);
            Assert.Equal(4, cache.Evictions);
            Assert.Single(folder.Files("*.data"));
            Assert.InRange(cache.IdleTables, 1, cache.MostIdleTables);
        }
    }

    [Fact]
    public void Content_AnyOrderOfStepsAndRestarts_IsWhatTheModelSays() => Gen.Select(Sizes, Steps).Sample(
        (size, steps) =>
        {
            using var folder = new CacheFolder();
            var sample = new SampleContent(size, size);
            var layout = sample.Layout;
            var held = new PieceSet(layout.FrameCount);
            var cache = folder.Open();
            var lease = sample.OpenIn(cache);
            foreach (var (kind, where, length) in steps)
            {
                var frame = where % layout.FrameCount;
                var piece = where % layout.PieceCount;
                switch (kind)
                {
                    case 0:
                        sample.WriteFrame(lease.Content, frame);
                        held.Add(frame);
                        break;
                    case 6:
                        var offset = where % size;
                        var range = ByteRange.FromBounds(offset, Math.Min(size, offset + length));
                        var isHeld = range.IsEmpty || Enumerable.Range(layout.FrameAt(offset), layout.FrameAt(range.End - 1) - layout.FrameAt(offset) + 1).All(held.Contains);
                        Assert.Equal(isHeld, sample.TryRead(lease.Content, range));
                        break;
                    case 7:
                        lease.Dispose();
                        cache.Dispose();
                        cache = folder.Open();
                        lease = sample.OpenIn(cache);
                        for (var i = 0; i < layout.PieceCount; i++)
                        {
                            var frames = Enumerable.Range(layout.FirstFrameOf(i), layout.FramesIn(i)).ToList();
                            if (!frames.TrueForAll(held.Contains))
                            {
                                frames.ForEach(lost => held.Remove(lost));
                            }
                        }

                        break;
                    case 8:
                        lease.Content.DropPiece(piece);
                        for (var i = 0; i < layout.FramesIn(piece); i++)
                        {
                            held.Remove(layout.FirstFrameOf(piece) + i);
                        }

                        break;
                    default:
                        lease.Content.DropAll();
                        held.Clear();
                        break;
                }

                Assert.Equal(held.Contains(frame), lease.Content.HasFrame(frame));
                Assert.Equal(Enumerable.Range(layout.FirstFrameOf(piece), layout.FramesIn(piece)).All(held.Contains), lease.Content.HasPiece(piece));
                var heldBytes = Enumerable.Range(0, layout.FrameCount).Where(held.Contains).Sum(i => layout.Frame(i).Length);
                Assert.InRange(cache.UsedBytes - heldBytes, 0, IndexFormat.SpaceOf(layout));
            }

            lease.Dispose();
            cache.Dispose();
        },
        iter: 60);

    [Fact]
    public void Open_AfterRestart_KeepsVerifiedMediaTypeAndChecksums()
    {
        using var folder = new CacheFolder();
        var sample = new SampleContent(1, 3 * MiB);
        using (var cache = folder.Open())
        {
            sample.WriteAll(cache);
            using var lease = cache.Open(sample.Digest, sample.Bytes.Length, "application/x-first");
            lease.Content.MediaType = "application/x-second";
            Assert.Equal("application/x-first", lease.Content.MediaType);
        }

        using (var cache = folder.Open())
        {
            Assert.Equal([sample.Digest], cache.Digests);
            Assert.Contains(sample.Digest, cache.Changes.Drain());
            Assert.True(cache.TryOpen(sample.Digest, out var lease));
            using (lease)
            {
                Assert.True(lease.Content.IsVerified);
                Assert.True(lease.Content.SnapshotPieces().IsFull);
                Assert.Equal("application/x-first", lease.Content.MediaType);
                Assert.Equal(FrameChecksum.Compute(sample.Frame(2)), lease.Content.ChecksumOf(2));
            }

            Assert.True(sample.TryReadAll(cache));
        }
    }

    // Who tells nothing usable, first or again, does not keep others from telling it.
    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("application/octet-stream")]
    [InlineData("multipart/byteranges")]
    [InlineData("text/html\r\nX-Evil: 1")]
    public void MediaType_ToldNothingUsable_TheNextOneIsKept(string? useless)
    {
        using var folder = new CacheFolder();
        var sample = new SampleContent(1, 3 * MiB);
        using (var cache = folder.Open())
        {
            using var lease = cache.Open(sample.Digest, sample.Bytes.Length, useless);
            sample.WriteAll(cache);
            lease.Content.MediaType = useless;
            Assert.Null(lease.Content.MediaType);
            lease.Content.MediaType = "application/x-first";
            lease.Content.MediaType = useless;
        }

        using (var cache = folder.Open())
        {
            Assert.True(cache.TryPeek(sample.Digest, out var content));
            Assert.Equal("application/x-first", content.MediaType);
        }
    }

    // Versions before this one kept whatever the origin said.
    [Fact]
    public void Open_IndexWithTypeThatIsNotKeptAnyMore_LoadsWithoutIt()
    {
        using var folder = new CacheFolder();
        var sample = new SampleContent(1, 3 * MiB);
        using (var cache = folder.Open())
        {
            sample.WriteAll(cache);
        }

        var index = Assert.Single(folder.Files("*.index"));
        var bytes = File.ReadAllBytes(index);
        Assert.True(IndexFormat.TryReadHeader(bytes, out var header));
        IndexFormat.WriteHeader(bytes, header with { MediaType = "application/octet-stream" });
        File.WriteAllBytes(index, bytes);

        using (var cache = folder.Open())
        {
            Assert.True(cache.TryPeek(sample.Digest, out var content));
            Assert.Equal((true, null), (content.IsVerified, content.MediaType));
        }
    }

    [Fact]
    public void MarkVerified_ThenPieceDroppedAndFetchedAgain_IsNotVerifiedAfterRestart()
    {
        using var folder = new CacheFolder();
        var sample = new SampleContent(1, 3 * MiB);
        using (var cache = folder.Open())
        {
            sample.WriteAll(cache);
            using var lease = sample.OpenIn(cache);
            lease.Content.DropPiece(0);
            Assert.False(lease.Content.IsVerified);
            lease.Content.MarkVerified();
            Assert.False(lease.Content.IsVerified);
            sample.WritePiece(lease.Content, 0);
        }

        using (var cache = folder.Open())
        {
            using var lease = sample.OpenIn(cache);
            Assert.True(lease.Content.SnapshotPieces().IsFull);
            Assert.False(lease.Content.IsVerified);
        }
    }

    [Fact]
    public void TryOpen_NothingHeld_IsFalse()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open();
        var sample = new SampleContent(1, MiB);
        Assert.False(cache.TryOpen(sample.Digest, out _));

        using (var lease = sample.OpenIn(cache))
        {
            Assert.False(cache.TryOpen(sample.Digest, out _));
            Assert.Throws<FrameLostException>(() => lease.Content.ChecksumOf(0));
            sample.WriteFrame(lease.Content, 3);
            Assert.True(cache.TryOpen(sample.Digest, out var second));
            Assert.Same(lease.Content, second.Content);
            second.Dispose();
            lease.Content.DropAll();
        }

        Assert.False(cache.TryOpen(sample.Digest, out _));
        Assert.Empty(cache.Digests);
        Assert.Empty(folder.Files("*.data"));
        Assert.Equal(0, cache.UsedBytes);
    }

    // What was asked for before may be what was wrong.
    [Fact]
    public void TryWriteFrame_AllWasDroppedMeanwhile_IsNotStored()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open();
        var sample = new SampleContent(1, MiB);
        using var lease = sample.OpenIn(cache);
        var (before, checksum) = (lease.Content.Resets, FrameChecksum.Compute(sample.Frame(0)));
        Assert.True(lease.Content.TryWriteFrame(0, sample.Frame(0), checksum, before));
        lease.Content.DropAll();

        Assert.False(lease.Content.TryWriteFrame(0, sample.Frame(0), checksum, before));
        Assert.False(lease.Content.HasFrame(0));

        Assert.True(lease.Content.TryWriteFrame(0, sample.Frame(0), checksum, lease.Content.Resets));
        Assert.True(lease.Content.HasFrame(0));
    }

    [Fact]
    public void MarkVerified_EmptyContent_IsKeptOverRestart()
    {
        using var folder = new CacheFolder();
        var sample = new SampleContent(1, 0);
        using (var cache = folder.Open())
        {
            using var lease = sample.OpenIn(cache);
            Assert.False(cache.TryOpen(sample.Digest, out _));
            lease.Content.MarkVerified();
            lease.Content.Read(0, []);
        }

        using (var cache = folder.Open())
        {
            Assert.True(cache.TryOpen(sample.Digest, out var lease));
            Assert.True(lease.Content.IsVerified);
            lease.Dispose();
        }
    }

    [Fact]
    public void Open_OtherSize_IsRefused()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open();
        var sample = new SampleContent(1, MiB);
        sample.WriteAll(cache);

        Assert.Throws<InvalidDataException>(() => cache.Open(sample.Digest, MiB + 1, null));
        Assert.Throws<InvalidDataException>(() => cache.Open(Digest.OfSha256([7]), -1, null));
        Assert.Throws<InvalidDataException>(() => cache.Open(Digest.OfSha256([7]), long.MaxValue, null));
        Assert.Throws<ArgumentException>(() => cache.Open(default, 1, null));
    }

    [Fact]
    public void WriteFrame_WrongLengthOrNumber_IsRefused()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open();
        using var lease = new SampleContent(1, 100_000).OpenIn(cache);

        Assert.Throws<ArgumentException>(() => lease.Content.WriteFrame(0, new byte[65535], 0));
        Assert.Throws<ArgumentException>(() => lease.Content.WriteFrame(1, new byte[65536], 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => lease.Content.WriteFrame(2, new byte[1], 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => lease.Content.WriteFrame(-1, new byte[1], 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => lease.Content.Read(99_999, new byte[2]));
        Assert.Throws<ArgumentOutOfRangeException>(() => lease.Content.Read(-1, new byte[2]));
        Assert.False(lease.Content.HasFrame(-1));
        Assert.False(lease.Content.HasFrame(2));
    }

    [Fact]
    public void Changes_SomethingOrPieceAvailableVerifiedDroppedRemoved_TellsEach()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open();
        var sample = new SampleContent(1, 32 * MiB);
        using var lease = sample.OpenIn(cache);
        sample.WriteFrame(lease.Content, 0);
        Assert.Equal([sample.Digest], cache.Changes.Drain());
        sample.WriteFrame(lease.Content, 2);
        Assert.Empty(cache.Changes.Drain());

        sample.WriteFrame(lease.Content, 1);
        Assert.Equal([sample.Digest], cache.Changes.Drain());
        lease.Content.DropPiece(0);
        Assert.Equal([sample.Digest], cache.Changes.Drain());
        sample.WriteAll(cache);
        Assert.Equal([sample.Digest], cache.Changes.Drain());
        lease.Content.DropAll();
        Assert.Equal([sample.Digest], cache.Changes.Drain());
        sample.WriteAll(cache);
        cache.Changes.Drain();
        cache.Remove(sample.Digest);
        Assert.Equal([sample.Digest], cache.Changes.Drain());
    }

    [Fact]
    public async Task Remove_WhileOpen_ReadersAndWaitersLoseTheFrameAndTheContentCanBeFetchedAgain()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open();
        var sample = new SampleContent(1, MiB);
        using var lease = sample.OpenIn(cache);
        sample.WriteFrame(lease.Content, 0);
        var waiting = lease.Content.WaitForFrameAsync(1, CancellationToken.None).AsTask();

        cache.Remove(sample.Digest);

        Assert.Equal(0, cache.UsedBytes);
        Assert.False(lease.Content.HasFrame(0));
        Assert.False(sample.TryRead(lease.Content, new ByteRange(0, 10)));
        await Assert.ThrowsAsync<FrameLostException>(() => waiting.WaitAsync(Hang));
        await Assert.ThrowsAsync<FrameLostException>(() => lease.Content.WaitForFrameAsync(1, CancellationToken.None).AsTask());
        sample.WriteFrame(lease.Content, 0);
        Assert.False(lease.Content.HasFrame(0));
        sample.WriteAll(cache);
        lease.Dispose();
        Assert.True(sample.TryReadAll(cache));
        Assert.Single(folder.Files("*.data"));
    }

    [Fact]
    public async Task WaitForFrameAsync_WrittenCancelledDropped_EachAsItShould()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open();
        var sample = new SampleContent(1, MiB);
        using var lease = sample.OpenIn(cache);
        using var cancellation = new CancellationTokenSource();
        var first = lease.Content.WaitForFrameAsync(5, CancellationToken.None).AsTask();
        var second = lease.Content.WaitForFrameAsync(5, cancellation.Token).AsTask();
        Assert.False(first.IsCompleted);

        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second.WaitAsync(Hang));
        sample.WriteFrame(lease.Content, 4);
        lease.Content.DropAll();
        Assert.False(first.IsCompleted);
        sample.WriteFrame(lease.Content, 5);
        await first.WaitAsync(Hang);

        await lease.Content.WaitForFrameAsync(5, new CancellationToken(canceled: true));
        Assert.True(sample.TryRead(lease.Content, sample.Layout.Frame(5)));
    }

    [Fact]
    public void Eviction_NeedsRoom_TakesLeastRecentlyUsedFirstAndNeverPinned()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open(capacity: 4 * MiB);
        var samples = Enumerable.Range(1, 6).Select(seed => new SampleContent(seed, MiB)).ToArray();
        samples[0].WriteAll(cache);
        samples[1].WriteAll(cache);
        samples[2].WriteAll(cache);
        Assert.True(samples[0].TryReadAll(cache));
        Assert.True(cache.TryOpen(samples[1].Digest, out var pinned));
        cache.Changes.Drain();

        samples[3].WriteAll(cache);
        Assert.Equal(new[] { 0, 1, 3 }.Select(i => samples[i].Digest).ToHashSet(), cache.Digests.ToHashSet());
        Assert.Contains(samples[2].Digest, cache.Changes.Drain());
        samples[4].WriteAll(cache);
        samples[5].WriteAll(cache);

        Assert.Equal(new[] { 1, 4, 5 }.Select(i => samples[i].Digest).ToHashSet(), cache.Digests.ToHashSet());
        Assert.Equal(3, cache.Evictions);
        Assert.Equal(3, folder.Files("*.data").Length);
        Assert.True(samples[1].TryRead(pinned.Content, new ByteRange(0, MiB)));
        pinned.Dispose();
    }

    [Fact]
    public void MarkExpendable_NeedsRoom_GoesFirst()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open(capacity: 4 * MiB);
        var samples = Enumerable.Range(1, 4).Select(seed => new SampleContent(seed, MiB)).ToArray();
        samples[0].WriteAll(cache);
        samples[1].WriteAll(cache);
        samples[2].WriteAll(cache);

        cache.MarkExpendable(samples[2].Digest);
        samples[3].WriteAll(cache);

        Assert.Equal(new[] { 0, 1, 3 }.Select(i => samples[i].Digest).ToHashSet(), cache.Digests.ToHashSet());
    }

    [Fact]
    public void Eviction_AfterRestart_KnowsTheOrderOfUse()
    {
        using var folder = new CacheFolder();
        var time = new FakeTimeProvider(TimeProvider.System.GetUtcNow());
        var samples = Enumerable.Range(1, 4).Select(seed => new SampleContent(seed, MiB)).ToArray();
        using (var cache = folder.Open(capacity: 4 * MiB, time: time))
        {
            foreach (var sample in samples[..3])
            {
                time.Advance(TimeSpan.FromMinutes(2));
                sample.WriteAll(cache);
            }

            time.Advance(TimeSpan.FromMinutes(2));
            Assert.True(samples[0].TryReadAll(cache));
        }

        using (var cache = folder.Open(capacity: 4 * MiB, time: time))
        {
            samples[3].WriteAll(cache);
            Assert.Equal(new[] { 0, 2, 3 }.Select(i => samples[i].Digest).ToHashSet(), cache.Digests.ToHashSet());
        }

        using (var cache = folder.Open(capacity: 2 * MiB, time: time))
        {
            Assert.Equal([samples[3].Digest], cache.Digests);
            Assert.InRange(cache.UsedBytes, MiB, 2 * MiB);
        }
    }

    [Fact]
    public void Capacity_RandomContents_IsNeverExceeded() => Gen.Select(Gen.Int[0, 19], Gen.Int[0, 63], Gen.Bool).Array[1, 400].Sample(
        steps =>
        {
            const long Capacity = 3 * MiB;
            using var folder = new CacheFolder();
            using var cache = folder.Open(Capacity, memory: 4 * MiB);
            var leases = new Queue<ContentLease>();
            foreach (var (which, frame, isKept) in steps)
            {
                var sample = Samples[which];
                var lease = sample.OpenIn(cache);
                sample.WriteFrame(lease.Content, frame % sample.Layout.FrameCount);
                leases.Enqueue(lease);
                while (leases.Count > (isKept ? 4 : 0))
                {
                    leases.Dequeue().Dispose();
                }

                Assert.InRange(cache.UsedBytes, 0, Capacity);
                Assert.InRange(cache.MemoryBytes, 0, 4 * MiB);
            }

            while (leases.TryDequeue(out var lease))
            {
                lease.Dispose();
            }

            Assert.InRange(folder.Files("*.data").Sum(AllocatedBytes), 0, Capacity);
            foreach (var digest in cache.Digests)
            {
                cache.Remove(digest);
            }

            Assert.Equal(0, cache.UsedBytes);
            Assert.Equal(0, cache.MemoryBytes);
            Assert.Empty(folder.Files("*.data"));
        },
        iter: 20);

    [Fact]
    public void DropPiece_OnDisk_GivesTheRoomBack()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open();
        var sample = new SampleContent(1, 8 * MiB);
        using var lease = sample.OpenIn(cache);
        for (var frame = 0; frame < sample.Layout.FrameCount; frame++)
        {
            sample.WriteFrame(lease.Content, frame);
        }

        for (var piece = 0; piece < sample.Layout.PieceCount / 2; piece++)
        {
            lease.Content.DropPiece(piece);
        }

        Assert.InRange(AllocatedBytes(folder.Files("*.data")[0]), 4 * MiB, 5 * MiB);
        Assert.InRange(cache.UsedBytes, 4 * MiB, 5 * MiB);
        lease.Content.DropAll();
        Assert.InRange(AllocatedBytes(folder.Files("*.data")[0]), 0, MiB);
    }

    [Fact]
    public void Open_DirectoryInUse_SaysSo()
    {
        using var folder = new CacheFolder();
        using (folder.Open())
        {
            var failure = Assert.Throws<CacheInUseException>(() => folder.Open());
            Assert.Contains(folder.Path, failure.Message, StringComparison.Ordinal);
        }

        using var again = folder.Open();
        Assert.True(again.IsWritable);
    }

    [Fact]
    public void Open_ForeignFiles_AreLeftAloneAndOwnUselessOnesDeleted()
    {
        using var folder = new CacheFolder();
        var sample = new SampleContent(1, MiB);
        using (var cache = folder.Open())
        {
            sample.WriteAll(cache);
        }

        var home = Path.GetDirectoryName(folder.Files("*.data")[0])!;
        var hex = Path.GetFileName(home) + new string('0', 62);
        string[] foreign =
        [
            Path.Combine(folder.Path, "notes.txt"),
            Path.Combine(folder.Path, "contents", "notes.txt"),
            Path.Combine(folder.Path, "contents", "sha256", "notes.txt"),
            Path.Combine(home, "notes.txt"),
            Path.Combine(home, sample.Digest.Hex + ".index"),
            Path.Combine(home, new string('e', 64) + ".1.index"),
            Path.Combine(home, $"{hex}.01.index"),
        ];
        foreach (var path in foreign)
        {
            File.WriteAllText(path, "mine");
        }

        Directory.CreateDirectory(Path.Combine(home, $"{hex}.9.index"));
        File.CreateSymbolicLink(Path.Combine(home, $"{hex}.8.index"), foreign[0]);
        string[] useless = [Path.Combine(home, $"{hex}.5.index"), Path.Combine(home, $"{hex}.6.data"), Path.Combine(home, $"{hex}.7.index")];
        File.WriteAllText(useless[0], "torn");
        File.WriteAllText(useless[1], "alone");
        File.WriteAllBytes(useless[2], []);

        using (var cache = folder.Open())
        {
            Assert.True(sample.TryReadAll(cache));
            Assert.All(foreign, path => Assert.Equal("mine", File.ReadAllText(path)));
            Assert.True(Directory.Exists(Path.Combine(home, $"{hex}.9.index")));
            Assert.DoesNotContain(useless, File.Exists);
        }
    }

    [Fact]
    public void Open_DirectoryIsAFile_WorksInMemory()
    {
        using var folder = new CacheFolder();
        var path = Path.Combine(folder.Path, "file");
        File.WriteAllText(path, "");
        using var cache = folder.Open(path: path);

        Assert.False(cache.IsWritable);
        var sample = new SampleContent(1, MiB);
        sample.WriteAll(cache);
        Assert.True(sample.TryReadAll(cache));
        Assert.Equal(0, cache.UsedBytes);
    }

    [Fact]
    public void WriteFrame_FilesDeletedByOthers_StartsAgainWithoutWrongBytes()
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open();
        var sample = new SampleContent(1, MiB);
        sample.WriteAll(cache);
        Directory.Delete(Path.Combine(folder.Path, "contents"), recursive: true);
        // Others push it out of the set of idle open files.
        for (var seed = 2; seed < 70; seed++)
        {
            new SampleContent(seed, 100).WriteAll(cache);
        }

        using var lease = sample.OpenIn(cache);
        lease.Content.DropPiece(3);
        sample.WritePiece(lease.Content, 3);

        Assert.True(sample.TryRead(lease.Content, sample.Layout.Piece(3)));
        for (var piece = 0; piece < sample.Layout.PieceCount; piece++)
        {
            Assert.Equal(lease.Content.HasPiece(piece), sample.TryRead(lease.Content, sample.Layout.Piece(piece)));
        }

        sample.WriteAll(cache);
        Assert.True(sample.TryReadAll(cache));
        Assert.True(cache.IsWritable);
    }

    private static readonly SampleContent[] Samples = [.. Enumerable.Range(1, 20).Select(seed => new SampleContent(seed, seed * 77_777))];

    private static long AllocatedBytes(string path)
    {
        var start = new System.Diagnostics.ProcessStartInfo("stat", ["-c", "%b %B", path]) { RedirectStandardOutput = true, UseShellExecute = false };
        using var process = System.Diagnostics.Process.Start(start)!;
        var fields = process.StandardOutput.ReadToEnd().Split(' ');
        process.WaitForExit();
        return long.Parse(fields[0]) * long.Parse(fields[1]);
    }
}
