using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

public sealed class CacheSpaceTests
{
    private const long MiB = 1 << 20;

    private readonly Queue<long> _contents = new();
    private readonly CacheSpace _space;

    public CacheSpaceTests() => _space = new CacheSpace(long.MaxValue, EvictOne);

    [Theory]
    [InlineData(1, 4, 1)]
    [InlineData(3 * MiB, 4, 3)]
    [InlineData(1, 80, 10)]
    [InlineData(1, 1000, 16)]
    public void TryMakeRoom_BigAndSmallCaches_FreesWhatIsNeededOrAShare(long needed, int contents, int evicted)
    {
        Hold(contents);

        Assert.True(_space.TryMakeRoom(needed, _space.Rounds));
        Assert.Equal(contents - evicted, _contents.Count);
    }

    [Fact]
    public void TryMakeRoom_SeveralFoundItFull_OnlyTheFirstEvicts()
    {
        Hold(10);
        var rounds = _space.Rounds;

        Assert.True(_space.TryMakeRoom(1, rounds));
        Assert.True(_space.TryMakeRoom(1, rounds));
        Assert.Equal(8, _contents.Count);
        Assert.True(_space.TryMakeRoom(1, _space.Rounds));
        Assert.Equal(7, _contents.Count);
    }

    [Fact]
    public void TryMakeRoom_NothingMayGo_SaysSo()
    {
        _space.Count(MiB);

        Assert.False(_space.TryMakeRoom(1, _space.Rounds));
        Assert.Equal(0, _space.Rounds);
    }

    [Fact]
    public void TryMakeRoom_LessThanIsNeeded_FreesAll()
    {
        Hold(3);

        Assert.True(_space.TryMakeRoom(10 * MiB, _space.Rounds));
        Assert.Empty(_contents);
    }

    private void Hold(int contents)
    {
        for (var i = 0; i < contents; i++)
        {
            _contents.Enqueue(MiB);
            _space.Count(MiB);
        }
    }

    private long EvictOne()
    {
        if (!_contents.TryDequeue(out var bytes))
        {
            return 0;
        }

        _space.Release(bytes);
        return bytes;
    }
}
