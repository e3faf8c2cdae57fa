using System.Net;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Origin;

namespace Peerd.Tests.Origin;

public sealed class OriginPauseTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly FakeLogger _logger = new();

    [Theory]
    [InlineData(429)]
    [InlineData(503)]
    public void Heed_RetryAfter_RefusesUntilThen(int status)
    {
        var pause = NewPause();
        Assert.Null(pause.Refusal);

        pause.Heed((HttpStatusCode)status, TimeSpan.FromSeconds(10));
        _time.Advance(TimeSpan.FromSeconds(4));

        Assert.Equal(
            ((HttpStatusCode)status, TimeSpan.FromSeconds(6), false, UnaskedReason.Paused),
            (pause.Refusal?.Status, pause.Refusal?.RetryAfter, pause.Refusal?.IsPassing, pause.Refusal?.Unasked));
        _time.Advance(TimeSpan.FromSeconds(6));
        Assert.Null(pause.Refusal);
    }

    [Theory]
    [InlineData(200, 10)]
    [InlineData(404, 10)]
    [InlineData(500, 10)]
    [InlineData(502, 10)]
    [InlineData(429, 0)]
    [InlineData(429, -10)]
    [InlineData(429, null)]
    [InlineData(503, null)]
    public void Heed_NoPauseAskedFor_RefusesNothing(int status, int? seconds)
    {
        var pause = NewPause();

        pause.Heed((HttpStatusCode)status, seconds is { } some ? TimeSpan.FromSeconds(some) : null);

        Assert.Null(pause.Refusal);
        Assert.Empty(_logger.Collector.GetSnapshot());
    }

    [Fact]
    public void Heed_DuringAPause_LengthensItOnly()
    {
        var pause = NewPause();
        pause.Heed(HttpStatusCode.TooManyRequests, TimeSpan.FromSeconds(10));

        pause.Heed(HttpStatusCode.TooManyRequests, TimeSpan.FromSeconds(5));
        Assert.Equal(TimeSpan.FromSeconds(10), pause.Refusal?.RetryAfter);

        pause.Heed(HttpStatusCode.ServiceUnavailable, TimeSpan.FromSeconds(20));
        Assert.Equal((HttpStatusCode.ServiceUnavailable, TimeSpan.FromSeconds(20)), (pause.Refusal?.Status, pause.Refusal?.RetryAfter));
    }

    [Fact]
    public void Heed_Again_IsLoggedOncePerPause()
    {
        var pause = NewPause();
        for (var round = 1; round <= 2; round++)
        {
            pause.Heed(HttpStatusCode.TooManyRequests, TimeSpan.FromSeconds(10));
            pause.Heed(HttpStatusCode.TooManyRequests, TimeSpan.FromSeconds(20));
            Assert.Equal(round, _logger.Collector.Count);
            _time.Advance(TimeSpan.FromSeconds(20));
        }

        Assert.Equal("No requests for blobs of reg.test for 10 s: the server answered 429 and asked for a pause", _logger.LatestRecord.Message);
    }

    private OriginPause NewPause() => new("blobs of reg.test", _time, _logger);
}
