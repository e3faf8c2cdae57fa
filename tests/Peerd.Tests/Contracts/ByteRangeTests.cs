using CsCheck;
using Peerd.Contracts;

namespace Peerd.Tests.Contracts;

public sealed class ByteRangeTests
{
    private static readonly Gen<ByteRange> GenRange = Gen.Select(Gen.Int[0, 40], Gen.Int[0, 20], (offset, length) => new ByteRange(offset, length));

    [Fact]
    public void FromBounds_StartAndEnd_HasThem()
    {
        var range = ByteRange.FromBounds(3, 10);

        Assert.Equal((3, 7, 10, false), (range.Offset, range.Length, range.End, range.IsEmpty));
        Assert.True(ByteRange.FromBounds(3, 3).IsEmpty);
    }

    [Fact]
    public void Intersect_AnyTwo_HasJustTheBytesOfBoth() =>
        Gen.Select(GenRange, GenRange).Sample((a, b) =>
        {
            var both = a.Intersect(b);
            return BytesOf(both).SequenceEqual(BytesOf(a).Intersect(BytesOf(b))) && both.Length >= 0 && both.Length == b.Intersect(a).Length;
        });

    [Fact]
    public void Contains_AnyTwo_IsTrueWhenNoByteIsOutside() =>
        Gen.Select(GenRange, GenRange.Where(range => !range.IsEmpty)).Sample((a, b) => a.Contains(b) == !BytesOf(b).Except(BytesOf(a)).Any());

    private static IEnumerable<int> BytesOf(ByteRange range) => Enumerable.Range((int)range.Offset, (int)range.Length);
}
