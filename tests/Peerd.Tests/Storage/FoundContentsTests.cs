using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

/// <summary>Of contents of 64 KiB, each of which takes 68 KiB on disk, where there is room for ten unless a test says otherwise.</summary>
public sealed class FoundContentsTests
{
    private const int Size = 64 * 1024;
    private const long OnDisk = Size + 4096;

    [Fact]
    public void Add_AnyNumberInAnyOrder_HoldsNoMoreThanThereIsRoomForAtAnyTime()
    {
        var found = new FoundContents(10 * OnDisk, long.MaxValue);
        var dropped = new List<int>();
        foreach (var second in Enumerable.Range(0, 1000).Select(i => i * 7 % 1000))
        {
            Assert.Null(found.Add(Content(second)));
            while (found.TakeExcess() is { } excess)
            {
                dropped.Add(Second(excess));
            }

            Assert.InRange(found.ByLastUse.Count(), 1, 10);
        }

        Assert.Equal(Enumerable.Range(990, 10), found.ByLastUse.Select(Second));
        Assert.Equal(Enumerable.Range(0, 990), dropped.Order());
    }

    // Little on disk, but tables for a TiB.
    [Fact]
    public void Add_ContentsWithLargeTables_HoldsNoMoreThanMemoryAllows()
    {
        const long Huge = 1L << 40;
        var tables = FoundContents.MemoryOfEach + CachedContent.TableBytesOf(new ContentLayout(Huge));
        var found = new FoundContents(long.MaxValue, 2 * tables);
        for (var second = 0; second < 5; second++)
        {
            // The checksums themselves do not matter here.
            found.Add(Content(second, Huge));
            while (found.TakeExcess() is not null)
            {
            }

            Assert.InRange(found.ByLastUse.Count(), 1, 2);
        }

        Assert.Equal([3, 4], found.ByLastUse.Select(Second));
    }

    [Fact]
    public void Add_TheSameContentTwice_KeepsTheOneWithMorePieces()
    {
        var found = new FoundContents(10 * OnDisk, long.MaxValue);
        var (less, more) = (Content(1, 4 * Size, pieces: 1, number: 1, name: 9), Content(2, 4 * Size, pieces: 2, number: 2, name: 9));

        Assert.Null(found.Add(less));
        Assert.Same(less, found.Add(more));
        Assert.Same(less, found.Add(less));
        Assert.Null(found.Add(more));

        Assert.Null(found.TakeExcess());
        Assert.Same(more, Assert.Single(found.ByLastUse));
    }

    [Fact]
    public void TakeExcess_OneAloneIsTooMuch_GivesItUp()
    {
        var found = new FoundContents(OnDisk - 1, long.MaxValue);
        var content = Content(1);
        found.Add(content);

        Assert.Same(content, found.TakeExcess());
        Assert.Null(found.TakeExcess());
        Assert.Empty(found.ByLastUse);
    }

    // Numbers and times that files have may be the same.
    [Fact]
    public void Add_ContentsThatDifferInNothingElse_AreAllKept()
    {
        var found = new FoundContents(10 * OnDisk, long.MaxValue);
        for (var name = 0; name < 3; name++)
        {
            Assert.Null(found.Add(Content(1, name: name)));
        }

        Assert.Equal(3, found.ByLastUse.Count());
    }

    private static int Second(LoadedContent content) => (int)(content.LastUsed - DateTimeOffset.UnixEpoch).TotalSeconds;

    private static LoadedContent Content(int second, long size = Size, int pieces = 1, long number = 1, int? name = null)
    {
        var set = new PieceSet(new ContentLayout(size).PieceCount);
        set.AddRun(0, pieces);
        var header = new IndexHeader(Digest.OfSha256(BitConverter.GetBytes(name ?? second)), size, MediaType: null, IsVerified: false);
        return new LoadedContent(header, number, set, [], DateTimeOffset.UnixEpoch.AddSeconds(second));
    }
}
