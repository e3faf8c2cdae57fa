using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Peerd.Node.Limits;

/// <summary>
/// The connections that this node makes to its own listeners to see whether they answer. A listener knows them by where they come from,
/// and takes them beside those that it may have, so that it can be asked whoever uses it. Thread-safe.
/// </summary>
internal sealed class OwnConnections
{
    private readonly ConcurrentDictionary<IPEndPoint, bool> _coming = new();

    /// <summary>Connects to a listener of this node. Dispose what is returned when it was asked.</summary>
    /// <exception cref="SocketException">It cannot be reached.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public async Task<OwnConnection> ConnectAsync(IPEndPoint listener, CancellationToken cancellationToken)
    {
        var socket = new Socket(listener.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        OwnConnection? connection = null;
        try
        {
            // Who calls an address of his own machine does so from there. The port must be known before the listener sees it.
            socket.Bind(new IPEndPoint(listener.Address, 0));
            connection = new OwnConnection(this, socket);
            await socket.ConnectAsync(listener, cancellationToken);
            return connection;
        }
        catch
        {
            connection?.Dispose();
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Whether a connection that a listener has accepted is one of these; true once for each.</summary>
    /// <param name="from">Where it comes from.</param>
    public bool TryTake(EndPoint? from) => from is IPEndPoint ip && _coming.TryRemove(new IPEndPoint(CallerAddress.Plain(ip.Address), ip.Port), out _);

    /// <summary>One of them.</summary>
    internal sealed class OwnConnection : IDisposable
    {
        private readonly OwnConnections _all;
        private readonly IPEndPoint _from;

        public OwnConnection(OwnConnections all, Socket socket)
        {
            (_all, Socket, _from) = (all, socket, (IPEndPoint)socket.LocalEndPoint!);
            _all._coming[_from] = true;
        }

        public Socket Socket { get; }

        /// <summary>Ends it, also when the listener has never seen it: from there somebody else may come next.</summary>
        public void Dispose()
        {
            _all._coming.TryRemove(_from, out _);
            Socket.Dispose();
        }
    }
}
