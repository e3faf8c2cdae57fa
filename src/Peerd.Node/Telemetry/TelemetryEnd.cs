using OpenTelemetry.Metrics;
using OpenTelemetry.Trace;

namespace Peerd.Node.Telemetry;

/// <summary>Sends what is left when the node stops, last of all, and does not wait long for a collector that is silent.</summary>
internal sealed class TelemetryEnd(TracerProvider traces, MeterProvider metrics) : IHostedService
{
    /// <summary>Longest time that this holds up the stop.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        // Both at once. What is disposed afterwards was shut down already, and waits for nothing.
        var milliseconds = (int)Patience.TotalMilliseconds;
        Task sending = Task.WhenAll(
            Task.Run(() => traces.Shutdown(milliseconds), CancellationToken.None),
            Task.Run(() => metrics.Shutdown(milliseconds), CancellationToken.None));
        await sending.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }
}
