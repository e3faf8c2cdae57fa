using CsCheck;
using Microsoft.Extensions.Primitives;
using Peerd.Contracts;
using Peerd.Node.Facade;

namespace Peerd.Tests.Facade;

public sealed class RequestedRangeTests
{
    [Theory]
    [InlineData("bytes=0-", 0, 1000)]
    [InlineData("bytes=100-", 100, 900)]
    [InlineData("bytes=0-0", 0, 1)]
    [InlineData("bytes=999-999", 999, 1)]
    [InlineData("bytes=990-99999999999", 990, 10)]
    [InlineData("bytes=0-9223372036854775807", 0, 1000)]
    [InlineData("bytes=-1", 999, 1)]
    [InlineData("bytes=-1000", 0, 1000)]
    [InlineData("bytes=-5000", 0, 1000)]
    [InlineData("BYTES=1-2", 1, 2)]
    public void Resolve_OfSatisfiable_IsClippedRange(string header, long offset, long length) =>
        Assert.Equal(new ByteRange(offset, length), RequestedRange.Parse(header)!.Value.Resolve(1000));

    [Theory]
    [InlineData("bytes=1000-")]
    [InlineData("bytes=1000-2000")]
    [InlineData("bytes=9223372036854775807-")]
    [InlineData("bytes=-0")]
    public void Resolve_OfUnsatisfiable_IsNull(string header) => Assert.Null(RequestedRange.Parse(header)!.Value.Resolve(1000));

    [Theory]
    [InlineData("")]
    [InlineData("bytes=9-0")]
    [InlineData("bytes=a-b")]
    [InlineData("bytes=")]
    [InlineData("bytes")]
    [InlineData("bytes=-")]
    [InlineData("bytes=--1")]
    [InlineData("bytes=0x1-2")]
    [InlineData("items=0-5")]
    [InlineData("bytes=0-9,20-29")]
    [InlineData("bytes=99999999999999999999999-")]
    public void Parse_OfAnythingElse_IsNull(string header) => Assert.Null(RequestedRange.Parse(header));

    [Fact]
    public void Parse_OfTwoHeaders_IsNull() => Assert.Null(RequestedRange.Parse(new StringValues(["bytes=0-1", "bytes=0-1"])));

    [Fact]
    public void Parse_OfTenThousandRanges_IsNull() =>
        Assert.Null(RequestedRange.Parse("bytes=" + string.Join(',', Enumerable.Range(0, 10_000).Select(i => $"{i}-{i}"))));

    [Theory]
    [InlineData("bytes=0-")]
    [InlineData("bytes=5-9")]
    [InlineData("bytes=-5")]
    public void Resolve_OfEmptyContent_IsEmptyRange(string header) =>
        Assert.Equal(new ByteRange(0, 0), RequestedRange.Parse(header)!.Value.Resolve(0));

    [Fact]
    public void Resolve_OfAnyRange_IsWhatPickingBytesOneByOneGives()
    {
        var sizes = Gen.Int[1, 50];
        Gen.Select(sizes, Gen.Int[0, 60], Gen.Int[0, 60]).Sample((size, a, b) =>
        {
            var (first, last) = (Math.Min(a, b), Math.Max(a, b));
            var all = Enumerable.Range(0, size).ToList();
            Check($"bytes={first}-{last}", all.Where(i => i >= first && i <= last));
            Check($"bytes={first}-", all.Where(i => i >= first));
            Check($"bytes=-{first}", all.TakeLast(first));

            void Check(string header, IEnumerable<int> expected)
            {
                var range = RequestedRange.Parse(header)!.Value.Resolve(size);
                Assert.Equal(expected, range is { } r ? Enumerable.Range((int)r.Offset, (int)r.Length) : []);
            }
        });
    }
}
