using CsCheck;
using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

public sealed class PieceCacheCrashTests
{
    private const int MiB = 1 << 20;

    private enum Harm
    {
        Flip,
        Zero,
        Truncate,
        Append,
        Delete,
    }

    /// <summary>
    /// A copy that takes the index first is what kill -9 leaves: all that the index tells must read. A copy that takes
    /// the data first is like a power loss: the index may tell more than the data has.
    /// </summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Restart_CopyTakenInTheMiddleOfWrites_NothingWrongIsRead(bool indexFirst)
    {
        using var folder = new CacheFolder();
        using var cache = folder.Open();
        var samples = Enumerable.Range(1, 3).Select(seed => new SampleContent(seed, (8 * MiB) + seed)).ToArray();
        using var permits = new SemaphoreSlim(0);
        var writing = samples.Select(sample => Task.Run(async () =>
        {
            using var lease = sample.OpenIn(cache);
            var order = Enumerable.Range(0, sample.Layout.FrameCount).ToArray();
            new Random(sample.Bytes[0]).Shuffle(order);
            foreach (var frames in order.Chunk(9))
            {
                await permits.WaitAsync();
                foreach (var frame in frames)
                {
                    sample.WriteFrame(lease.Content, frame);
                }
            }

            lease.Content.MarkVerified();
        })).ToArray();

        var used = 0;
        while (!Array.TrueForAll(writing, task => task.IsCompleted))
        {
            permits.Release(samples.Length);
            using var copy = new CacheFolder();
            CopyTo(copy, folder, indexFirst ? ["*.index", "*.data"] : ["*.data", "*.index"]);
            using var reopened = copy.Open();
            foreach (var sample in samples)
            {
                using var lease = sample.OpenIn(reopened);
                var pieces = lease.Content.SnapshotPieces();
                for (var piece = pieces.NextSet(0); piece >= 0; piece = pieces.NextSet(piece + 1))
                {
                    var isRead = sample.TryRead(lease.Content, sample.Layout.Piece(piece));
                    Assert.True(isRead || !indexFirst, $"the index told of piece {piece} before its data was written");
                    used += isRead ? 1 : 0;
                }
            }
        }

        await Task.WhenAll(writing);
        Assert.True(used > 0, "no piece survived: the test has tested nothing");
    }

    [Fact]
    public void Restart_KilledBetweenWrites_UsesEveryCompletePiece()
    {
        var sample = new SampleContent(1, 32 * MiB);
        Gen.Int[0, 129].Sample(
            written =>
            {
                using var folder = new CacheFolder();
                using var cache = folder.Open();
                using var lease = sample.OpenIn(cache);
                for (var frame = 0; frame < Math.Min(written, sample.Layout.FrameCount); frame++)
                {
                    sample.WriteFrame(lease.Content, frame);
                }

                // Nothing is closed or flushed: this is what a kill leaves.
                using var copy = new CacheFolder();
                CopyTo(copy, folder, ["*.index", "*.data"]);
                using var reopened = copy.Open();
                Assert.Equal(written / 2 > 0, reopened.TryOpen(sample.Digest, out var again));
                if (again is not null)
                {
                    var pieces = again.Content.SnapshotPieces();
                    Assert.Equal(Math.Min(written / 2, sample.Layout.PieceCount), pieces.Count);
                    Assert.True(sample.TryRead(again.Content, new ByteRange(0, pieces.Count * (long)sample.Layout.PieceSize)));
                    again.Dispose();
                }
            },
            iter: 30);
    }

    [Fact]
    [Trait(FuzzTraits.Kind, FuzzTraits.Fuzz)]
    public void Restart_FilesHarmed_ReadsRightBytesOrNothingAndUsesWhatIsIntact() => Gen.Select(
        Gen.Select(Gen.Bool, Gen.Enum<Harm>(), Gen.Int[0, int.MaxValue], Gen.Int[1, 200_000]).Array[1, 4],
        Gen.OneOf(Gen.Const(100_000), Gen.Const((3 * MiB) + 5), Gen.Const((8 * MiB) + 5))).Sample(
        (harms, size) =>
        {
            using var folder = new CacheFolder();
            var sample = new SampleContent(size, size);
            using (var cache = folder.Open())
            {
                sample.WriteAll(cache);
            }

            var harmed = new PieceSet(sample.Layout.PieceCount);
            foreach (var (isIndex, harm, where, length) in harms)
            {
                var path = folder.Files(isIndex ? "*.index" : "*.data").FirstOrDefault();
                if (path is not null)
                {
                    var bytes = Apply(path, harm, where, length);
                    Note(harmed, sample.Layout, isIndex, bytes);
                }
            }

            using (var cache = folder.Open())
            {
                using (var lease = sample.OpenIn(cache))
                {
                    for (var piece = 0; piece < sample.Layout.PieceCount; piece++)
                    {
                        var isRead = sample.TryRead(lease.Content, sample.Layout.Piece(piece));
                        Assert.True(isRead || harmed.Contains(piece), $"piece {piece} was not harmed, but lost");
                        Assert.Equal(isRead, lease.Content.HasPiece(piece));
                        Assert.Equal(isRead, lease.Content.HasFrame(sample.Layout.FirstFrameOf(piece)));
                    }
                }

                sample.WriteAll(cache);
                Assert.True(sample.TryReadAll(cache));
            }

            using (var cache = folder.Open())
            {
                Assert.True(sample.TryReadAll(cache));
            }
        },
        iter: 150);

    [Fact]
    public void Restart_DataIsGarbage_IndexAloneTellsPiecesAndReadsDropThem()
    {
        using var folder = new CacheFolder();
        var sample = new SampleContent(1, 32 * MiB);
        using (var cache = folder.Open())
        {
            sample.WriteAll(cache);
        }

        File.WriteAllBytes(folder.Files("*.data")[0], new byte[sample.Bytes.Length]);

        using (var cache = folder.Open())
        {
            using var lease = sample.OpenIn(cache);
            Assert.True(lease.Content.SnapshotPieces().IsFull);
            cache.Changes.Drain();
            var lost = Assert.Throws<FrameLostException>(() => lease.Content.Read(sample.Layout.Piece(5).Offset + 70_000, new byte[10]));
            Assert.Equal(11, lost.Frame);
            Assert.Equal([sample.Digest], cache.Changes.Drain());
            Assert.False(lease.Content.HasPiece(5));
            Assert.False(lease.Content.IsVerified);
            Assert.True(lease.Content.HasPiece(6));
        }

        using (var cache = folder.Open())
        {
            using var lease = sample.OpenIn(cache);
            Assert.False(lease.Content.HasPiece(5));
            Assert.True(lease.Content.HasPiece(6));
        }
    }

    [Fact]
    public void Restart_TwoFilesOfOneContent_KeepsTheFullerOne()
    {
        using var folder = new CacheFolder();
        var sample = new SampleContent(1, 3 * MiB);
        using (var cache = folder.Open())
        {
            sample.WriteAll(cache);
        }

        using (var other = new CacheFolder())
        {
            using (var cache = other.Open())
            {
                using var lease = sample.OpenIn(cache);
                sample.WritePiece(lease.Content, 0);
            }

            foreach (var path in other.Files("*.index").Concat(other.Files("*.data")))
            {
                File.Copy(path, Path.Combine(folder.Path, Path.GetRelativePath(other.Path, path)).Replace(".1.", ".7.", StringComparison.Ordinal));
            }
        }

        using (var cache = folder.Open())
        {
            Assert.True(sample.TryReadAll(cache));
            Assert.Single(folder.Files("*.index"));
            Assert.Single(folder.Files("*.data"));
        }
    }

    private static void CopyTo(CacheFolder copy, CacheFolder folder, string[] patterns)
    {
        foreach (var path in patterns.SelectMany(folder.Files))
        {
            var target = Path.Combine(copy.Path, Path.GetRelativePath(folder.Path, path));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            try
            {
                File.Copy(path, target);
            }
            catch (FileNotFoundException)
            {
                // Removed meanwhile.
            }
        }
    }

    private static ByteRange Apply(string path, Harm harm, int where, int length)
    {
        if (harm == Harm.Delete)
        {
            var size = new FileInfo(path).Length;
            File.Delete(path);
            return new ByteRange(0, size);
        }

        using var file = new FileStream(path, FileMode.Open);
        var offset = file.Length == 0 ? 0 : where % file.Length;
        switch (harm)
        {
            case Harm.Flip when file.Length > 0:
                file.Position = offset;
                var value = file.ReadByte();
                file.Position = offset;
                file.WriteByte((byte)(value ^ (1 << (length % 8))));
                return new ByteRange(offset, 1);
            case Harm.Zero:
                length = (int)Math.Min(length, file.Length - offset);
                file.Position = offset;
                file.Write(new byte[length]);
                return new ByteRange(offset, length);
            case Harm.Truncate:
                var end = file.Length;
                file.SetLength(offset);
                return ByteRange.FromBounds(offset, end);
            default:
                file.Position = file.Length;
                var junk = new byte[length];
                new Random(where).NextBytes(junk);
                file.Write(junk);
                return new ByteRange(offset, 0);
        }
    }

    private static void Note(PieceSet harmed, ContentLayout layout, bool isIndex, ByteRange bytes)
    {
        for (var piece = 0; piece < layout.PieceCount; piece++)
        {
            var own = isIndex ? new ByteRange(IndexFormat.RecordOffset(layout, piece), IndexFormat.RecordSize(layout)) : layout.Piece(piece);
            var isHeader = isIndex && bytes.Offset < IndexFormat.HeaderSize;
            if (!bytes.IsEmpty && (isHeader || !own.Intersect(bytes).IsEmpty))
            {
                harmed.Add(piece);
            }
        }
    }
}
