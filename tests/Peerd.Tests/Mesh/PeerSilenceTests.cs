using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Mesh;

namespace Peerd.Tests.Mesh;

public sealed class PeerSilenceTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly FakeTimeProvider _time = new();
    private readonly PeerSilence _silence;

    public PeerSilenceTests() => _silence = new PeerSilence(_time);

    [Fact]
    public void Ended_TwoSilentRangesOneAfterTheOther_IsLeftAloneAndThenTriedOnceEachTime()
    {
        BeSilent();
        Assert.True(_silence.MayAsk());
        BeSilent();

        foreach (var seconds in new[] { 2, 4, 8, 8 })
        {
            Assert.False(_silence.MayAsk());
            _time.Advance((seconds * Second) - TimeSpan.FromTicks(1));
            Assert.False(_silence.MayAsk());
            _time.Advance(TimeSpan.FromTicks(1));
            Assert.True(_silence.MayAsk());
        }
    }

    [Fact]
    public void Ended_RangesThatWereUnderWayTogether_CountAsOne()
    {
        var started = _time.GetTimestamp();
        _time.Advance(Second);
        for (var range = 0; range < 8; range++)
        {
            _silence.Ended(started, hasSpoken: false);
            _time.Advance(Second / 10);
        }

        Assert.True(_silence.MayAsk());
    }

    [Fact]
    public void Ended_RangesThatWereGivenUpSoon_SayNothing()
    {
        for (var range = 0; range < 8; range++)
        {
            BeSilent(0.4 * Second);
        }

        Assert.True(_silence.MayAsk());
    }

    [Fact]
    public void Ended_SilentLongAfterTheFirst_IsTheFirstOfOthers()
    {
        BeSilent();
        _time.Advance(31 * Second);
        BeSilent();

        Assert.True(_silence.MayAsk());
        BeSilent();
        Assert.False(_silence.MayAsk());
    }

    [Fact]
    public void Ended_SomethingCame_AllBeginsAnew()
    {
        BeSilent();
        Speak();
        BeSilent();
        Assert.True(_silence.MayAsk());

        BeSilent();
        _time.Advance(2 * Second);
        Assert.True(_silence.MayAsk());
        Assert.False(_silence.MayAsk());
        Speak();
        Assert.True(_silence.MayAsk());

        BeSilent();
        BeSilent();
        Assert.False(_silence.MayAsk());
        _time.Advance(2 * Second);
        Assert.True(_silence.MayAsk());

        void Speak() => _silence.Ended(_time.GetTimestamp(), hasSpoken: true);
    }

    private void BeSilent(TimeSpan? time = null)
    {
        var started = _time.GetTimestamp();
        _time.Advance(time ?? Second);
        _silence.Ended(started, hasSpoken: false);
    }
}
