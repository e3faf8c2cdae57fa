using Polly;
using Polly.Retry;

namespace Peerd.Node.Origin;

/// <summary>What came of asking once.</summary>
/// <param name="Response">The answer.</param>
/// <param name="IsPassing">Asking again may help.</param>
/// <param name="Since">When it was asked first.</param>
/// <param name="Unasked">Why it was not asked after all; null when it was.</param>
internal sealed record OriginAttempt(OriginResponse Response, bool IsPassing, long Since, UnaskedReason? Unasked = null)
{
    private const int MaxRetriesAfterServerError = 2;

    /// <summary>No repetition begins later than this after the first attempt.</summary>
    private static readonly TimeSpan RetryBudget = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan MaxRetryDelay = TimeSpan.FromSeconds(2);

    /// <summary>Repeats what may work a moment later.</summary>
    public static ResiliencePipeline<OriginAttempt> Retries(OriginSettings settings, TimeProvider time)
    {
        if (settings.Retries == 0)
        {
            return ResiliencePipeline<OriginAttempt>.Empty;
        }

        return new ResiliencePipelineBuilder<OriginAttempt> { TimeProvider = time }
            .AddRetry(new RetryStrategyOptions<OriginAttempt>
            {
                BackoffType = DelayBackoffType.Exponential,
                Delay = settings.RetryDelay,
                MaxDelay = MaxRetryDelay,
                MaxRetryAttempts = settings.Retries,
                UseJitter = true,
                ShouldHandle = arguments => ValueTask.FromResult(
                    arguments.Outcome.Result is { IsPassing: true } attempt
                    && (attempt.Response.Status == default || arguments.AttemptNumber < MaxRetriesAfterServerError)
                    && time.GetElapsedTime(attempt.Since) < RetryBudget),
            })
            .Build();
    }
}
