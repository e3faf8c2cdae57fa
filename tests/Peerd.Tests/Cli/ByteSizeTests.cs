using CsCheck;
using Peerd.Node.Cli;

namespace Peerd.Tests.Cli;

public sealed class ByteSizeTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("123", 123)]
    [InlineData("5B", 5)]
    [InlineData("64KiB", 65536)]
    [InlineData("1.5 MiB", 1572864)]
    [InlineData("10GiB", 10737418240)]
    [InlineData("1TiB", 1099511627776)]
    public void TryParse_Size_IsRead(string text, long bytes)
    {
        Assert.True(ByteSize.TryParse(text, out var size));
        Assert.Equal(bytes, size.Bytes);
    }

    [Theory]
    [InlineData("")]
    [InlineData("MiB")]
    [InlineData("-1")]
    [InlineData("1.5")]
    [InlineData("1MB")]
    [InlineData("1 M i B")]
    [InlineData("1e3")]
    [InlineData("1,5MiB")]
    [InlineData("9999999999999999999")]
    [InlineData("9999999999TiB")]
    public void TryParse_NoSize_IsRefused(string text) => Assert.False(ByteSize.TryParse(text, out _));

    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(1023, "1023 B")]
    [InlineData(1024, "1 KiB")]
    [InlineData(1048575, "1 MiB")]
    [InlineData(1610612736, "1.5 GiB")]
    public void ToString_Size_IsShort(long bytes, string expected) => Assert.Equal(expected, new ByteSize(bytes).ToString());

    [Fact]
    public void ToString_AnySize_IsReadBackWithinARoundingError() =>
        Gen.Long[0, long.MaxValue >> 12].Sample(bytes =>
            ByteSize.TryParse(new ByteSize(bytes).ToString(), out var size) && Math.Abs(size.Bytes - bytes) <= bytes * 0.051);
}
