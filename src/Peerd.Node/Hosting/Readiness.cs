using Microsoft.Extensions.Diagnostics.HealthChecks;
using Peerd.Node.Ring;

namespace Peerd.Node.Hosting;

/// <summary>
/// True when the node would serve: it has a ring and is not stopping. Of a cluster that has not been listed yet the ring is the last list
/// that was saved, or the node alone, which serves all the same. Behind the probes and gRPC health.
/// </summary>
internal sealed class Readiness(RingSource rings, StopSignals signals) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(IsReady ? HealthCheckResult.Healthy() : HealthCheckResult.Unhealthy());

    /// <summary><c>/healthz</c>: the process answers. <c>/readyz</c>: the node would serve.</summary>
    public Task AnswerAsync(HttpContext context)
    {
        var status = context.Request.Path.Value switch
        {
            "/healthz" => StatusCodes.Status200OK,
            "/readyz" => IsReady ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable,
            _ => StatusCodes.Status404NotFound,
        };
        context.Response.StatusCode = status;
        return context.Response.WriteAsync(status switch
        {
            StatusCodes.Status200OK => "ok\n",
            StatusCodes.Status503ServiceUnavailable => "not ready\n",
            _ => "not found; see /healthz, /readyz, /metrics/prometheus\n",
        });
    }

    private bool IsReady => rings.Current.Count > 0 && !signals.IsStopping;
}
