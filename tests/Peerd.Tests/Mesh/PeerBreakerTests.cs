using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Mesh;
using Polly;
using Polly.CircuitBreaker;

namespace Peerd.Tests.Mesh;

public sealed class PeerBreakerTests
{
    private static readonly RangeOutcome Broken = RangeOutcome.Failed("no connection");

    private readonly FakeTimeProvider _time = new();
    private readonly ResiliencePipeline<RangeOutcome> _breaker;

    public PeerBreakerTests() => _breaker = PeerBreaker.Create(_time);

    [Fact]
    public void Execute_FourFailures_ThePeerIsLeftAloneForASecond()
    {
        for (var range = 0; range < 4; range++)
        {
            Assert.Equal(Broken, Run(Broken));
        }

        Assert.Null(Run(RangeOutcome.Complete));
        _time.Advance(TimeSpan.FromSeconds(0.9));
        Assert.Null(Run(RangeOutcome.Complete));
        _time.Advance(TimeSpan.FromSeconds(0.2));
        Assert.Equal(RangeOutcome.Complete, Run(RangeOutcome.Complete));
        Assert.Equal(RangeOutcome.Complete, Run(RangeOutcome.Complete));
    }

    [Fact]
    public void Execute_EachTrialFails_ThePausesDoubleUpToEightSeconds()
    {
        for (var range = 0; range < 4; range++)
        {
            Run(Broken);
        }

        foreach (var pause in new[] { 1, 2, 4, 8, 8 })
        {
            _time.Advance(TimeSpan.FromSeconds(pause - 0.1));
            Assert.Null(Run(Broken));
            _time.Advance(TimeSpan.FromSeconds(0.2));
            Assert.Equal(Broken, Run(Broken));
        }
    }

    [Fact]
    public void Execute_FewFailuresAmongMany_NothingIsInterrupted()
    {
        for (var range = 0; range < 40; range++)
        {
            Assert.NotNull(Run(range % 2 == 0 ? Broken : RangeOutcome.Complete));
        }
    }

    [Fact]
    public void Execute_BusyAndNotHeld_AreNoFailures()
    {
        for (var range = 0; range < 20; range++)
        {
            Assert.NotNull(Run(new RangeOutcome(range % 2 == 0 ? RangeOutcomeKind.Busy : RangeOutcomeKind.NotHeld, [])));
        }
    }

    /// <summary>Null when the peer was not asked.</summary>
    private RangeOutcome? Run(RangeOutcome outcome)
    {
        try
        {
            return _breaker.Execute(() => outcome);
        }
        catch (BrokenCircuitException)
        {
            return null;
        }
    }
}
