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
    private readonly ConcurrentDictionary<(IPEndPoint From, IPEndPoint To), bool> _coming = new();

    /// <summary>Connects to a listener of this node. Dispose what is returned when it was asked.</summary>
    /// <exception cref="SocketException">It cannot be reached.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public Task<OwnConnection> ConnectAsync(IPEndPoint listener, CancellationToken cancellationToken) =>
        ConnectAsync(new Socket(listener.AddressFamily, SocketType.Stream, ProtocolType.Tcp), listener, cancellationToken);

    /// <summary>The same with a socket that is neither bound nor connected; it belongs to what is returned.</summary>
    public async Task<OwnConnection> ConnectAsync(Socket socket, IPEndPoint listener, CancellationToken cancellationToken)
    {
        OwnConnection? connection = null;
        try
        {
            socket.NoDelay = true;
            connection = Bind(socket, listener);
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
    /// <param name="to">Where it was accepted: two of the same origin are connections of two listeners.</param>
    public bool TryTake(EndPoint? from, EndPoint? to) => from is IPEndPoint there && to is IPEndPoint here && _coming.TryRemove((Plain(there), Plain(here)), out _);

    private OwnConnection Bind(Socket socket, IPEndPoint listener)
    {
        try
        {
            // Who calls an address of his own machine does so from there. The port must be known before the listener sees it.
            socket.Bind(new IPEndPoint(listener.Address, 0));
            return new OwnConnection(this, socket, listener);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            // Each port has a connection, to whomever: one to this listener finds a port all the same, and is one of many then.
            return new OwnConnection(this, socket, listener);
        }
    }

    private static IPEndPoint Plain(IPEndPoint endPoint) => new(CallerAddress.Plain(endPoint.Address), endPoint.Port);

    /// <summary>One of them.</summary>
    internal sealed class OwnConnection : IDisposable
    {
        private readonly OwnConnections _all;
        private readonly (IPEndPoint From, IPEndPoint To)? _way;

        /// <param name="all">All of them.</param>
        /// <param name="socket">Not connected; known by its address when it has one.</param>
        /// <param name="listener">Where it is going to.</param>
        public OwnConnection(OwnConnections all, Socket socket, IPEndPoint listener)
        {
            (_all, Socket) = (all, socket);
            if (socket.IsBound)
            {
                _way = (Plain((IPEndPoint)socket.LocalEndPoint!), Plain(listener));
                _all._coming[_way.Value] = true;
            }
        }

        public Socket Socket { get; }

        /// <summary>Ends it, also when the listener has never seen it: from there somebody else may come next.</summary>
        public void Dispose()
        {
            if (_way is { } way)
            {
                _all._coming.TryRemove(way, out _);
            }

            Socket.Dispose();
        }
    }
}
