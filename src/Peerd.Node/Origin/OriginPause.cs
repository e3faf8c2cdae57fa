using System.Net;

namespace Peerd.Node.Origin;

/// <summary>
/// A pause that a server asked for with 429 or 503 and Retry-After: until it is over nothing more is sent there, and who
/// asks is told the same at once. What is under way goes on. Thread-safe.
/// </summary>
/// <param name="whom">Of what requests, for people.</param>
/// <param name="time">Clock.</param>
/// <param name="logger">Gets one line for each pause.</param>
internal sealed partial class OriginPause(string whom, TimeProvider time, ILogger logger)
{
    private readonly Lock _lock = new();
    private volatile Pause? _latest;

    /// <summary>What to answer instead of sending; null when there is no pause.</summary>
    public OriginFailure? Refusal => _latest is { } pause && Left(pause) is { Ticks: > 0 } left
        ? new OriginFailure(
            $"no requests for {whom} for another {left.TotalSeconds:0.#} s: the server answered {(int)pause.Status} and asked for a pause",
            Status: pause.Status,
            RetryAfter: left,
            Unasked: UnaskedReason.Paused)
        : null;

    /// <summary>Begins a pause, or makes one longer, if this answer asks for it.</summary>
    public void Heed(HttpStatusCode status, TimeSpan? retryAfter)
    {
        if (status is not (HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable) || retryAfter is not { Ticks: > 0 } length)
        {
            return;
        }

        TimeSpan left;
        lock (_lock)
        {
            left = _latest is { } pause ? Left(pause) : TimeSpan.Zero;
            if (length <= left)
            {
                return;
            }

            _latest = new Pause(time.GetTimestamp(), length, status);
        }

        // Many requests were under way when it began, and each of them may get such an answer.
        if (left <= TimeSpan.Zero)
        {
            Log.Begun(logger, whom, length.TotalSeconds, (int)status);
        }
    }

    private TimeSpan Left(Pause pause) => pause.Length - time.GetElapsedTime(pause.Since);

    private sealed record Pause(long Since, TimeSpan Length, HttpStatusCode Status);

    private static partial class Log
    {
        [LoggerMessage(320, LogLevel.Warning, "No requests for {Whom} for {Seconds:0.#} s: the server answered {Status} and asked for a pause")]
        public static partial void Begun(ILogger logger, string whom, double seconds, int status);
    }
}
