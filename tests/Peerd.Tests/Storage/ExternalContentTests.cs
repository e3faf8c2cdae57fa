using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

public sealed class ExternalContentTests : IDisposable
{
    private const int MiB = 1 << 20;

    private readonly CacheFolder _folder = new();
    private readonly string _store = Directory.CreateTempSubdirectory("peerd-store-").FullName;

    [Fact]
    public void TryAttach_UnknownContent_IsServedWholeAndTakesNoRoom()
    {
        using var cache = _folder.Open();
        var sample = new SampleContent(1, (5 * MiB) + 17);
        var file = Store(sample);

        Assert.True(cache.TryAttach(sample.Digest, file, "a/b"));

        Assert.True(sample.TryReadAll(cache));
        Assert.Contains(sample.Digest, cache.Digests);
        Assert.Contains(sample.Digest, cache.Changes.Drain());
        Assert.Equal(0, cache.UsedBytes);
        Assert.Empty(_folder.Files("*.data"));
        Assert.True(cache.TryPeek(sample.Digest, out var content));
        Assert.True(content.IsVerified);
        Assert.True(content.SnapshotPieces().IsFull);
        Assert.Equal("a/b", content.MediaType);
        Assert.False(file.IsServed);
        Assert.Equal(FrameChecksum.Compute(sample.Frame(3)), content.ChecksumOf(3));
        Assert.True(file.IsServed);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Read_FileGoneOrTruncated_IsWithdrawnAtOnce(bool isGone)
    {
        using var cache = _folder.Open();
        var sample = new SampleContent(2, 2 * MiB);
        var file = Store(sample);
        cache.TryAttach(sample.Digest, file, mediaType: null);
        Assert.True(sample.TryReadAll(cache));
        cache.Changes.Drain();
        if (isGone)
        {
            File.Delete(file.Path);
        }
        else
        {
            File.WriteAllBytes(file.Path, sample.Bytes[..MiB]);
        }

        Assert.False(sample.TryReadAll(cache));

        Assert.DoesNotContain(sample.Digest, cache.Digests);
        Assert.Contains(sample.Digest, cache.Changes.Drain());
        Assert.False(cache.TryOpen(sample.Digest, out _));
    }

    [Fact]
    public void Read_FileDeletedDuringResponse_GoesOnToTheEnd()
    {
        using var cache = _folder.Open();
        var sample = new SampleContent(3, 2 * MiB);
        var file = Store(sample);
        cache.TryAttach(sample.Digest, file, mediaType: null);
        Assert.True(cache.TryOpen(sample.Digest, out var lease));
        using (lease)
        {
            Assert.True(sample.TryRead(lease.Content, new ByteRange(0, 100)));
            File.Delete(file.Path);
            Assert.True(sample.TryRead(lease.Content, new ByteRange(0, sample.Bytes.Length)));
        }

        Assert.False(sample.TryReadAll(cache));
    }

    [Fact]
    public void Read_FileGoneButCached_CachedServesOn()
    {
        using var cache = _folder.Open();
        var sample = new SampleContent(4, 2 * MiB);
        sample.WriteAll(cache);
        var file = Store(sample);
        Assert.True(cache.TryAttach(sample.Digest, file, mediaType: null));
        File.Delete(file.Path);

        Assert.True(sample.TryReadAll(cache));
        cache.Detach(sample.Digest, file);

        Assert.True(sample.TryReadAll(cache));
        Assert.True(cache.TryPeek(sample.Digest, out var content));
        Assert.True(content.IsVerified);
    }

    [Fact]
    public void Write_CacheFull_WhatIsAlsoElsewhereGoesFirstAndIsReadOn()
    {
        using var cache = _folder.Open(capacity: 6 * MiB);
        var older = new SampleContent(5, 2 * MiB);
        var elsewhere = new SampleContent(6, 2 * MiB);
        older.WriteAll(cache);
        elsewhere.WriteAll(cache);
        Assert.True(cache.TryAttach(elsewhere.Digest, Store(elsewhere), mediaType: null));
        Assert.True(elsewhere.TryReadAll(cache));

        new SampleContent(7, 3 * MiB).WriteAll(cache);

        Assert.True(older.TryReadAll(cache));
        Assert.True(cache.TryPeek(elsewhere.Digest, out var content));
        Assert.Equal(0, content.DiskBytes);
        Assert.True(elsewhere.TryReadAll(cache));
    }

    [Fact]
    public void TryAttach_BeingFetched_WaitsAndThenReplacesWhatWasNotVerified()
    {
        using var cache = _folder.Open();
        var sample = new SampleContent(8, 9 * MiB);
        var file = Store(sample);
        using (var lease = sample.OpenIn(cache))
        {
            sample.WritePiece(lease.Content, 0);
            Assert.False(cache.TryAttach(sample.Digest, file, mediaType: null));
            Assert.False(lease.Content.IsExternal);
        }

        Assert.True(cache.TryAttach(sample.Digest, file, mediaType: null));
        Assert.True(sample.TryReadAll(cache));
        Assert.Equal(0, cache.UsedBytes);
    }

    [Fact]
    public void DropAll_FileHasWrongBytes_IsDistrusted()
    {
        using var cache = _folder.Open();
        var sample = new SampleContent(9, MiB);
        var file = Store(sample);
        cache.TryAttach(sample.Digest, file, mediaType: null);
        Assert.True(cache.TryOpen(sample.Digest, out var lease));
        using (lease)
        {
            lease.Content.DropAll();
            Assert.True(file.IsDistrusted);
            Assert.False(lease.Content.HoldsSomething);
            sample.WriteFrame(lease.Content, 0);
            Assert.True(sample.TryRead(lease.Content, new ByteRange(0, 10)));
        }
    }

    [Fact]
    public void Open_AfterRestart_ExternalIsNotRemembered()
    {
        var sample = new SampleContent(10, MiB);
        using (var cache = _folder.Open())
        {
            cache.TryAttach(sample.Digest, Store(sample), mediaType: null);
        }

        using var again = _folder.Open();
        Assert.Empty(again.Digests);
    }

    [Fact]
    public void DoubtExternal_CheckedBefore_IsCheckedAgainButNotAllTheTime()
    {
        using var cache = _folder.Open();
        var time = new FakeTimeProvider();
        var sample = new SampleContent(11, MiB);
        var file = Store(sample);
        cache.TryAttach(sample.Digest, file, mediaType: null);
        Assert.False(file.IsToBeChecked(time));
        Assert.True(cache.TryPeek(sample.Digest, out var content));
        _ = content.ChecksumOf(0);
        Assert.True(file.IsToBeChecked(time));
        file.MarkChecked(file.Doubts, time);
        Assert.False(file.IsToBeChecked(time));

        content.DoubtExternal();
        Assert.False(file.IsToBeChecked(time));
        time.Advance(TimeSpan.FromMinutes(2));
        Assert.True(file.IsToBeChecked(time));
        file.MarkChecked(file.Doubts, time);
        time.Advance(TimeSpan.FromMinutes(2));
        Assert.False(file.IsToBeChecked(time));

        // A doubt that comes during a comparison is none of those that it settles.
        content.DoubtExternal();
        var doubts = file.Doubts;
        content.DoubtExternal();
        file.MarkChecked(doubts, time);
        time.Advance(TimeSpan.FromMinutes(2));
        Assert.True(file.IsToBeChecked(time));
    }

    [Fact]
    public void DropPiece_OwnBytesAreWrong_OthersFileServesAndIsLookedAt()
    {
        using var cache = _folder.Open();
        var sample = new SampleContent(13, 3 * MiB);
        using (var own = sample.OpenIn(cache))
        {
            for (var piece = 0; piece < sample.Layout.PieceCount; piece++)
            {
                sample.WritePiece(own.Content, piece);
            }

            own.Content.MarkVerified();
        }

        var file = Store(sample);
        Assert.True(cache.TryAttach(sample.Digest, file, mediaType: null));
        Assert.True(cache.TryOpen(sample.Digest, out var lease));
        using (lease)
        {
            lease.Content.DropPiece(1);

            Assert.False(file.IsDistrusted);
            Assert.True(file.IsToBeChecked(new FakeTimeProvider()));
            Assert.True(lease.Content.IsVerified && lease.Content.SnapshotPieces().IsFull);
        }

        Assert.True(sample.TryReadAll(cache));
    }

    [Fact]
    public void TryRead_FileGivenUp_IsNotOpenedAgain()
    {
        var sample = new SampleContent(14, 1000);
        var file = Store(sample);
        Assert.Null(file.TryRead(0, new byte[10]).Failure);

        file.Retire();

        Assert.True(file.TryRead(0, new byte[10]).IsLost);
        Assert.True(file.IsRetired);
    }

    [Fact]
    public void DropPiece_FileHasWrongBytes_IsDetachedAndDistrusted()
    {
        using var cache = _folder.Open();
        var sample = new SampleContent(12, 3 * MiB);
        var file = Store(sample);
        cache.TryAttach(sample.Digest, file, mediaType: null);
        Assert.True(cache.TryOpen(sample.Digest, out var lease));
        using (lease)
        {
            lease.Content.DropPiece(1);

            Assert.True(file.IsDistrusted);
            Assert.False(lease.Content.IsExternal);
            Assert.False(lease.Content.HoldsSomething);
        }

        Assert.DoesNotContain(sample.Digest, cache.Digests);
    }

    public void Dispose()
    {
        _folder.Dispose();
        Directory.Delete(_store, recursive: true);
    }

    private ExternalFile Store(SampleContent sample)
    {
        var path = Path.Combine(_store, sample.Digest.Hex);
        File.WriteAllBytes(path, sample.Bytes);
        return new ExternalFile(path, sample.Bytes.Length);
    }
}
