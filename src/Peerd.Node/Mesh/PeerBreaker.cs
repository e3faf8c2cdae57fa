using Polly;
using Polly.CircuitBreaker;

namespace Peerd.Node.Mesh;

/// <summary>
/// Leaves a peer alone that fails again and again, whatever content is asked of it: each attempt would cost the time that
/// it takes to fail.
/// </summary>
internal static class PeerBreaker
{
    /// <summary>So many ranges within <see cref="Window"/> must have ended before their failures mean something.</summary>
    public const int LeastRanges = 4;

    /// <summary>Part of them that must have failed.</summary>
    private const double FailedPart = 0.8;

    private const double LongestPauseSeconds = 8;

    private static readonly TimeSpan Window = TimeSpan.FromSeconds(5);

    /// <summary>One for each peer. The first pause is a second, and each one after a failed trial is twice as long, up to 8 s.</summary>
    public static ResiliencePipeline<RangeOutcome> Create(TimeProvider time) =>
        new ResiliencePipelineBuilder<RangeOutcome> { TimeProvider = time }
            .AddCircuitBreaker(new CircuitBreakerStrategyOptions<RangeOutcome>
            {
                FailureRatio = FailedPart,
                MinimumThroughput = LeastRanges,
                SamplingDuration = Window,
                BreakDurationGenerator = static arguments =>
                    ValueTask.FromResult(TimeSpan.FromSeconds(Math.Min(LongestPauseSeconds, Math.Pow(2, Math.Min(3, arguments.HalfOpenAttempts))))),
                ShouldHandle = static arguments => ValueTask.FromResult(arguments.Outcome.Result.Kind == RangeOutcomeKind.Failed),
            })
            .Build();
}
