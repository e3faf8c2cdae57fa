using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Origin;

namespace Peerd.Tests.Origin;

public sealed class RetryAfterTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("7", 7)]
    [InlineData("300", 300)]
    [InlineData("301", 300)]
    [InlineData("21600", 300)]
    [InlineData("2147483647", 300)]
    [InlineData("2147483648", 300)]
    [InlineData("99999999999999999999999999", 300)]
    [InlineData("Thu, 01 Jan 2026 00:01:00 GMT", 60)]
    [InlineData("Wed, 31 Dec 2025 23:59:59 GMT", 0)]
    [InlineData("Thu, 01 Jan 1970 00:00:00 GMT", 0)]
    [InlineData("Fri, 31 Dec 9999 23:59:59 GMT", 300)]
    [InlineData("-1", null)]
    [InlineData("+1", null)]
    [InlineData("1.5", null)]
    [InlineData("5s", null)]
    [InlineData("0x10", null)]
    [InlineData("soon", null)]
    [InlineData("", null)]
    [InlineData("Thu, 32 Jan 2026 00:01:00 GMT", null)]
    [InlineData("\u0661\u0662", null)]
    public void Of_Header_IsBoundedOrIgnored(string header, int? seconds)
    {
        var time = new FakeTimeProvider(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
        using var message = new HttpResponseMessage();
        message.Headers.TryAddWithoutValidation("Retry-After", header);

        Assert.Equal(seconds is { } some ? TimeSpan.FromSeconds(some) : null, RetryAfter.Of(message, time));
    }

    [Fact]
    public void Of_NoHeader_IsNone()
    {
        using var message = new HttpResponseMessage();

        Assert.Null(RetryAfter.Of(message, TimeProvider.System));
    }

    [Fact]
    public void Of_SeveralNumbersTooLarge_IsNone()
    {
        using var message = new HttpResponseMessage();
        message.Headers.TryAddWithoutValidation("Retry-After", ["99999999999", "99999999999"]);

        Assert.Null(RetryAfter.Of(message, TimeProvider.System));
    }
}
