using CsCheck;
using Peerd.Contracts;

namespace Peerd.Tests.Contracts;

public sealed class DurationTests
{
    [Theory]
    [InlineData("500ms", 500)]
    [InlineData("30s", 30_000)]
    [InlineData("1.5s", 1_500)]
    [InlineData("2m", 120_000)]
    [InlineData("1h", 3_600_000)]
    [InlineData("7d", 604_800_000)]
    [InlineData("0s", 0)]
    [InlineData(" 30s ", 30_000)]
    [InlineData("00:00:30", 30_000)]
    [InlineData("1.00:00:00.5", 86_400_500)]
    public void TryParse_WellFormed_IsRead(string text, long milliseconds)
    {
        Assert.True(Duration.TryParse(text, out var duration));
        Assert.Equal(TimeSpan.FromMilliseconds(milliseconds), duration);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("30")]
    [InlineData("s")]
    [InlineData("-1s")]
    [InlineData("-00:00:30")]
    [InlineData("1 s")]
    [InlineData("1S")]
    [InlineData("1e3s")]
    [InlineData("1,5s")]
    [InlineData("1.2.3s")]
    [InlineData(".s")]
    [InlineData("30sec")]
    [InlineData("999999999999999999999h")]
    [InlineData("00:99:00")]
    public void TryParse_Malformed_IsRefused(string? text) => Assert.False(Duration.TryParse(text, out _));

    [Fact]
    public void Format_AnyDuration_IsReadBack() => Gen.Long[0, TimeSpan.TicksPerDay * 365].Sample(ticks =>
    {
        var duration = TimeSpan.FromTicks(ticks);
        return Duration.TryParse(Duration.Format(duration), out var read) && read == duration;
    });
}
