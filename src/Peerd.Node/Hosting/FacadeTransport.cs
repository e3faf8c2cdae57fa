using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Options;

namespace Peerd.Node.Hosting;

/// <summary>
/// The sockets of the facade. Its answers are many and short, its clients on the same machine: what counts is how often a
/// read changes threads. Those of the mesh, where few connections carry much, keep Kestrel's ways.
/// </summary>
internal sealed class FacadeTransport : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    /// <summary>
    /// Nobody waits until an answer of less than this is sent: more than the 64 KiB of most reads and their heads. What the kernel
    /// does not take at once stays in blocks of this process, for each connection no more than this and one write.
    /// </summary>
    private const int SendBuffer = 256 * 1024;

    private readonly Listeners _listeners;
    private readonly SocketTransportFactory _sockets;

    /// <param name="listeners">Tell which of them is the facade's.</param>
    /// <param name="options">Makes the options that all sockets have, to be changed for these.</param>
    /// <param name="loggers">For the sockets.</param>
    public FacadeTransport(Listeners listeners, IOptionsFactory<SocketTransportOptions> options, ILoggerFactory loggers)
    {
        _listeners = listeners;
        var sockets = options.Create(Options.DefaultName);
        sockets.MaxWriteBufferSize = SendBuffer;

        // Unsafe for who blocks: nothing of the facade does, but for reads of files, which would block some thread anyway.
        sockets.UnsafePreferInlineScheduling = true;
        _sockets = new SocketTransportFactory(Options.Create(sockets), loggers);
    }

    // Not by what it says: all listeners of a node may be told to take any port of one address.
    public bool CanBind(EndPoint endpoint) => ReferenceEquals(endpoint, _listeners.Facade);

    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) => _sockets.BindAsync(endpoint, cancellationToken);
}
