namespace Peerd.Node.Mesh.Tls;

/// <summary>
/// Sends requests to one member over connections that show the certificate of the moment. When that changes new
/// connections are made; what runs on the former ones goes on. Thread-safe.
/// </summary>
/// <param name="tls">Has the certificate.</param>
/// <param name="node">The member that is meant; null for any.</param>
/// <param name="create">Makes a handler as it is in clear text, which closes connections that have no streams.</param>
internal sealed class MeshTlsHandler(MeshTls tls, string? node, Func<SocketsHttpHandler> create) : HttpMessageHandler
{
    private readonly Lock _changing = new();
    private volatile Connections? _current;
    private bool _isDisposed;

    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
        Current().Invoker.SendAsync(request, cancellationToken);

    protected override HttpResponseMessage Send(HttpRequestMessage request, CancellationToken cancellationToken) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        lock (_changing)
        {
            _isDisposed = true;
            _current?.Invoker.Dispose();
        }
    }

    private Connections Current()
    {
        var identity = tls.Identity;
        if (_current is { } current && current.Identity == identity)
        {
            return current;
        }

        lock (_changing)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            if (_current?.Identity != identity)
            {
                var handler = create();
                handler.SslOptions = tls.ClientOptions(identity, node);

                // The former one is not disposed of: that would end the keep-alive pings by which its streams hear that the member is gone.
                // It goes with the last of its connections, and they go when they have had no streams for a while.
                _current = new Connections(identity, new HttpMessageInvoker(handler));
            }

            return _current!;
        }
    }

    private sealed record Connections(MeshIdentity Identity, HttpMessageInvoker Invoker);
}
