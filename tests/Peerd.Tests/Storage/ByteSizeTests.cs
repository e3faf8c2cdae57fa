using Peerd.Contracts;

namespace Peerd.Tests.Storage;

public sealed class ByteSizeTests
{
    [Theory]
    [InlineData("10GiB", 10L << 30)]
    [InlineData("512MiB", 512L << 20)]
    [InlineData("64KiB", 64L << 10)]
    [InlineData("1TiB", 1L << 40)]
    [InlineData("2Gi", 2L << 30)]
    [InlineData("1GB", 1_000_000_000L)]
    [InlineData("1.5 gib", 3L << 29)]
    [InlineData(" 17B ", 17L)]
    [InlineData("1000000", 1_000_000L)]
    [InlineData("0", 0L)]
    [InlineData("9223372036854775807", long.MaxValue)]
    public void TryParse_Size_GivesBytes(string text, long bytes)
    {
        Assert.True(ByteSize.TryParse(text, out var size));
        Assert.Equal(bytes, size.Bytes);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("GiB")]
    [InlineData("-1GiB")]
    [InlineData("10 apples")]
    [InlineData("10GiBB")]
    [InlineData("1e3")]
    [InlineData("1,000")]
    [InlineData("9223372036854775808")]
    [InlineData("8388608TiB")]
    public void TryParse_NoSize_IsRefused(string? text) => Assert.False(ByteSize.TryParse(text, out _));

    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(1023, "1023 B")]
    [InlineData(1024, "1 KiB")]
    [InlineData(1024 * 1024 - 1, "1 MiB")]
    [InlineData(3L << 29, "1.5 GiB")]
    [InlineData(long.MaxValue, "8388608 TiB")]
    public void ToRoundedText_Bytes_HasOneDecimalAtMost(long bytes, string text) => Assert.Equal(text, new ByteSize(bytes).ToRoundedText());

    [Theory]
    [InlineData(20L << 30, "20GiB")]
    [InlineData(1536L << 20, "1536MiB")]
    [InlineData(1023, "1023B")]
    [InlineData(0, "0B")]
    public void ToString_Bytes_UsesLargestWholeUnit(long bytes, string text)
    {
        Assert.Equal(text, new ByteSize(bytes).ToString());
        Assert.True(ByteSize.TryParse(text, out var back));
        Assert.Equal(bytes, back.Bytes);
    }
}
