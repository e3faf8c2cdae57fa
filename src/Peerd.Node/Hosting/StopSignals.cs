using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Options;
using Peerd.Node.Mesh;

namespace Peerd.Node.Hosting;

/// <summary>
/// When requests end at the stop of the node: streams of peers at once (they go on with other nodes), downloads of
/// local clients after a time to finish. Kestrel alone would wait for streams that never end.
/// </summary>
internal sealed class StopSignals : IDisposable
{
    private readonly MeshDrain _mesh;
    private readonly TimeSpan _drainTime;
    private readonly CancellationTokenSource _drained;

    public StopSignals(MeshDrain mesh, IOptions<HandoverOptions> options, TimeProvider time)
    {
        _mesh = mesh;
        _drainTime = options.Value.DrainTimeValue;
        _drained = new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);
    }

    public bool IsStopping => _mesh.Stopping.IsCancellationRequested;

    /// <summary>
    /// Nobody is waited for any more who would serve in this node's place: peers are sent away, and the time runs that requests of
    /// local clients have to end.
    /// </summary>
    public void Drain()
    {
        _drained.CancelAfter(_drainTime);
        _mesh.Stop();
    }

    public async Task LinkAsync(HttpContext context, RequestDelegate next)
    {
        var end = Listeners.Of(context) == ListenerKind.Mesh ? _mesh.Current.Left : _drained.Token;
        using var either = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, end);
        context.RequestAborted = either.Token;
        await next(context);
    }

    /// <summary>
    /// Ends a connection of a peer. Kestrel alone would close an HTTP/2 connection whose streams it has ended only after
    /// the next word of the peer, who has no reason to say one.
    /// </summary>
    public async Task LinkAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        using var end = _mesh.Current.Left.Register(() => connection.Abort(new ConnectionAbortedException("the node is stopping")));
        await next(connection);
    }

    public void Dispose() => _drained.Dispose();
}
