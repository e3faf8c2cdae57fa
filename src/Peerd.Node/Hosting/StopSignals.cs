namespace Peerd.Node.Hosting;

/// <summary>
/// When requests end at the stop of the node: streams of peers at once (they go on with other nodes), downloads of
/// local clients after a time to finish. Kestrel alone would wait for streams that never end.
/// </summary>
internal sealed class StopSignals : IDisposable
{
    private static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(5);

    private readonly IHostApplicationLifetime _lifetime;
    private readonly CancellationTokenSource _drained;
    private readonly CancellationTokenRegistration _registration;

    public StopSignals(IHostApplicationLifetime lifetime, TimeProvider time)
    {
        _lifetime = lifetime;
        _drained = new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);
        _registration = lifetime.ApplicationStopping.Register(() => _drained.CancelAfter(DrainTime));
    }

    public bool IsStopping => _lifetime.ApplicationStopping.IsCancellationRequested;

    public async Task LinkAsync(HttpContext context, RequestDelegate next)
    {
        var end = Listeners.Of(context) == ListenerKind.Mesh ? _lifetime.ApplicationStopping : _drained.Token;
        using var either = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, end);
        context.RequestAborted = either.Token;
        await next(context);
    }

    public void Dispose()
    {
        _registration.Dispose();
        _drained.Dispose();
    }
}
