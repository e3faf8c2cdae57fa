using Microsoft.Extensions.Logging.Abstractions;
using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

/// <summary>Two processes of a node and one cache directory, of which one at a time writes.</summary>
public sealed class CacheHandoverTests : IDisposable
{
    private const int MiB = 1 << 20;

    private static readonly TimeSpan Hang = TimeSpan.FromSeconds(30);

    private readonly CacheFolder _folder = new();
    private readonly SampleContent _sample = new(seed: 1, 3 * MiB);
    private readonly CancellationTokenSource _hang = new(Hang);
    private readonly CacheLocks _oldLocks;
    private readonly CacheLocks _newLocks;
    private readonly PieceCache _old;

    public CacheHandoverTests()
    {
        _oldLocks = new CacheLocks(_folder.Path);
        _newLocks = new CacheLocks(_folder.Path);
        _old = Open(_oldLocks);
    }

    public void Dispose()
    {
        _old.Dispose();
        _newLocks.Dispose();
        _hang.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void Open_NotReleased_IsRefused()
    {
        Assert.False(_newLocks.TryOwn());
        Assert.Throws<CacheInUseException>(() => Open(_newLocks));
    }

    [Fact]
    public void Queue_OneWaits_TheOwnerSeesIt()
    {
        Assert.False(_oldLocks.IsSomebodyQueueing());
        Assert.True(_newLocks.TryQueue());
        Assert.True(_oldLocks.IsSomebodyQueueing());
        using var third = new CacheLocks(_folder.Path);
        Assert.False(third.TryQueue());

        _newLocks.LeaveQueue();

        Assert.False(_oldLocks.IsSomebodyQueueing());
        Assert.True(third.TryQueue());
    }

    [Fact]
    public async Task Release_TheNextOne_HasAllAndWrites()
    {
        _sample.WriteAll(_old);

        await _old.ReleaseAsync(_hang.Token);
        using var next = Open(_newLocks);

        Assert.True(_newLocks.HasFormer());
        Assert.True(next.IsWritable);
        Assert.True(_sample.TryReadAll(next));
        var more = new SampleContent(seed: 2, MiB);
        more.WriteAll(next);
        next.Dispose();
        _old.Dispose();
        using var last = _folder.Open();
        Assert.True(more.TryReadAll(last));
    }

    [Fact]
    public async Task Release_OldOne_ReadsOnAndKeepsWhatIsNewInMemory()
    {
        _sample.WriteAll(_old);
        var files = _folder.Files("*.index").Length;

        await _old.ReleaseAsync(_hang.Token);
        var more = new SampleContent(seed: 2, MiB);
        more.WriteAll(_old);

        Assert.False(_old.IsWritable);
        Assert.True(_sample.TryReadAll(_old));
        Assert.True(more.TryReadAll(_old));
        Assert.Equal(files, _folder.Files("*.index").Length);
    }

    // Whatever the new one does with a content, the old one reads right bytes or says that it lost them.
    [Theory]
    [InlineData("piece")]
    [InlineData("all")]
    [InlineData("remove")]
    [InlineData("rewrite")]
    public async Task Release_NextOneDrops_OldOneReadsNothingWrong(string what)
    {
        _sample.WriteAll(_old);
        using var reading = _sample.OpenIn(_old);
        Assert.True(_sample.TryRead(reading.Content, new(0, 10)));
        await _old.ReleaseAsync(_hang.Token);
        using var next = Open(_newLocks);
        using (var lease = _sample.OpenIn(next))
        {
            // Opened for writing, as after a fetch.
            lease.Content.DropPiece(0);
            _sample.WritePiece(lease.Content, 0);
            switch (what)
            {
                case "piece":
                    lease.Content.DropPiece(1);
                    break;
                case "all" or "rewrite":
                    lease.Content.DropAll();
                    break;
            }
        }

        if (what == "remove")
        {
            next.Remove(_sample.Digest);
        }

        if (what == "rewrite")
        {
            _sample.WriteAll(next);
            Assert.True(_sample.TryReadAll(next));
        }

        // It has the file open: all of it is still there.
        Assert.True(_sample.TryRead(reading.Content, new(0, _sample.Bytes.Length)));
    }

    [Fact]
    public async Task Release_UnfinishedPieceOfTheOldOne_StaysReadableThere()
    {
        // Large enough for pieces of two frames.
        var sample = new SampleContent(seed: 4, 33 * MiB);
        using var reading = sample.OpenIn(_old);
        sample.WritePiece(reading.Content, 0);
        var frame = sample.Layout.FirstFrameOf(1);
        sample.WriteFrame(reading.Content, frame);
        await _old.ReleaseAsync(_hang.Token);

        using var next = Open(_newLocks);

        Assert.True(sample.TryRead(reading.Content, sample.Layout.Frame(frame)));
        using var lease = sample.OpenIn(next);
        Assert.True(lease.Content.HasPiece(0));
        Assert.False(lease.Content.HasPiece(1));
    }

    [Fact]
    public async Task TakeBack_NextOneIsGone_OldOneWritesAgain()
    {
        _sample.WriteAll(_old);
        await _old.ReleaseAsync(_hang.Token);
        var next = Open(_newLocks);
        Assert.False(_old.TryTakeBack());

        next.Dispose();

        Assert.True(_old.TryTakeBack());
        Assert.True(_old.IsWritable);
        var more = new SampleContent(seed: 3, MiB);
        more.WriteAll(_old);
        _old.Dispose();
        using var last = _folder.Open();
        Assert.True(more.TryReadAll(last));
        Assert.True(_sample.TryReadAll(last));
    }

    [Fact]
    public async Task HasFormer_OldOneIsGone_IsNotTrueAnyMore()
    {
        await _old.ReleaseAsync(_hang.Token);
        Assert.True(_newLocks.TryOwn());
        Assert.True(_newLocks.HasFormer());

        _old.Dispose();

        Assert.False(_newLocks.HasFormer());
    }

    private PieceCache Open(CacheLocks locks) =>
        PieceCache.Open(new CacheOptions { Directory = _folder.Path, Capacity = "1GiB" }, TimeProvider.System, NullLogger<PieceCache>.Instance, locks);
}
