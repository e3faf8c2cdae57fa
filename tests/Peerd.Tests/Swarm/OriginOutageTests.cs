using System.Net;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class OriginOutageTests
{
    private static readonly SourceFailure Pause = new(HttpStatusCode.TooManyRequests, "later", RetryAfter: TimeSpan.FromSeconds(5));

    private readonly OriginOutage _outage = new();

    [Theory]
    [InlineData(2, 5.0)]
    [InlineData(6, 1.0)]
    [InlineData(7, null)]
    public void PauseLeft_TheOriginAskedForOne_UntilItIsOver(int now, double? left)
    {
        _outage.Began(Pause, TimeSpan.FromSeconds(2));

        Assert.Equal(left, _outage.PauseLeft(TimeSpan.FromSeconds(now))?.TotalSeconds);
    }

    [Fact]
    public void PauseLeft_NoPause_None()
    {
        Assert.Null(_outage.PauseLeft(TimeSpan.Zero));
        _outage.Began(new SourceFailure(HttpStatusCode.NotFound, "no"), TimeSpan.Zero);
        Assert.Null(_outage.PauseLeft(TimeSpan.Zero));
    }

    [Fact]
    public void Explain_AnotherReason_TheOriginDidNotFailAgain()
    {
        _outage.Began(Pause, TimeSpan.FromSeconds(2));
        _outage.Explain(new SourceFailure(HttpStatusCode.BadGateway, "no"));

        Assert.Equal((HttpStatusCode.BadGateway, TimeSpan.FromSeconds(2)), (_outage.Failure?.Status, _outage.Since));

        _outage.End();
        Assert.Null(_outage.Failure);
    }

    [Theory]
    [InlineData(null, 0u)]
    [InlineData(1L, 1u)]
    [InlineData(1500 * TimeSpan.TicksPerMillisecond, 1500u)]
    [InlineData(long.MaxValue, (uint)int.MaxValue)]
    public void Milliseconds_AnyPause_IsTold(long? ticks, uint told) =>
        Assert.Equal(told, OriginOutage.Milliseconds(ticks is { } pause ? TimeSpan.FromTicks(pause) : null));
}
