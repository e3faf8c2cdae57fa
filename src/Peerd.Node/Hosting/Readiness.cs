using Microsoft.Extensions.Diagnostics.HealthChecks;
using Peerd.Node.Ring;
using Peerd.Node.Storage;

namespace Peerd.Node.Hosting;

/// <summary>
/// Whether the node would serve: it has a ring, is not stopping, and its facade and its mesh answer when they are asked. Of a cluster that
/// has not been listed yet the ring is the last list that was saved, or the node alone, which serves all the same. While another process of
/// the node takes over, facade and mesh are not asked: that one may have the connection, and would answer for this one. Thread-safe.
/// </summary>
/// <remarks>Behind <c>/readyz</c> and <see cref="ProbeSocket"/>. Health of gRPC, which other nodes ask, is about the mesh alone, and who gets an answer sees that it answers.</remarks>
internal sealed partial class Readiness(RingSource rings, StopSignals signals, OwnListeners listeners, PieceCache cache, TimeProvider time, ILogger<Readiness> logger) : IHealthCheck
{
    /// <summary>So long what the listeners said is not asked for again: whoever reaches the port of the probes could ask all the time.</summary>
    public static readonly TimeSpan AnswerMemory = TimeSpan.FromSeconds(1);

    private readonly Lock _asking = new();
    private Task<string?>? _asked;
    private long _askedAt;
    private string? _told;

    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(ServesNobody is null ? HealthCheckResult.Healthy() : HealthCheckResult.Unhealthy());

    /// <summary><c>/healthz</c>: the process answers. <c>/readyz</c>: the node would serve; if not, why.</summary>
    public async Task AnswerAsync(HttpContext context)
    {
        var (status, text) = context.Request.Path.Value switch
        {
            "/healthz" => (StatusCodes.Status200OK, "ok"),
            "/readyz" => await FaultAsync(context.RequestAborted) is { } fault ? (StatusCodes.Status503ServiceUnavailable, $"not ready: {fault}") : (StatusCodes.Status200OK, "ok"),
            _ => (StatusCodes.Status404NotFound, "not found; see /healthz, /readyz, /metrics/prometheus"),
        };
        context.Response.StatusCode = status;
        await context.Response.WriteAsync($"{text}\n");
    }

    /// <summary>Null when the node would serve, else why it would not, for people. Takes no longer than <see cref="OwnListeners.AnswerTime"/>.</summary>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public async Task<string?> FaultAsync(CancellationToken cancellationToken) =>
        ServesNobody ?? (cache.IsReleased ? null : await AskAsync().WaitAsync(cancellationToken)) ?? ServesNobody;

    private string? ServesNobody =>
        signals.IsStopping ? "the node is stopping"
        : rings.Current.Count == 0 ? "the members of the mesh are not known yet, or there are none"
        : null;

    // All that ask at one time share it, and none of them ends it.
    private Task<string?> AskAsync()
    {
        lock (_asking)
        {
            if (_asked is null || (_asked.IsCompleted && time.GetElapsedTime(_askedAt) >= AnswerMemory))
            {
                _askedAt = time.GetTimestamp();
                _asked = AskListenersAsync();
            }

            return _asked;
        }
    }

    private async Task<string?> AskListenersAsync()
    {
        var fault = await listeners.FaultAsync();
        var before = Interlocked.Exchange(ref _told, fault);
        if (fault is not null && before is null)
        {
            Log.DoesNotAnswer(logger, fault);
        }
        else if (fault is null && before is not null)
        {
            Log.AnswersAgain(logger);
        }

        return fault;
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "Not ready, because a listener of this node does not answer the node itself: {Fault}")]
        public static partial void DoesNotAnswer(ILogger logger, string fault);

        [LoggerMessage(2, LogLevel.Information, "Ready again: the listeners of this node answer")]
        public static partial void AnswersAgain(ILogger logger);
    }
}
