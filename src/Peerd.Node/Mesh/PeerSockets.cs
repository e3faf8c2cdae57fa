using System.Buffers.Binary;
using System.Net.Sockets;

namespace Peerd.Node.Mesh;

/// <summary>The connections to one peer, and how much has come over them: more than what has arrived as whole frames. Thread-safe.</summary>
internal sealed class PeerSockets
{
    // struct tcp_info of Linux (tcp(7)), the same on x64 and arm64.
    private const int IpProtoTcp = 6;
    private const int TcpInfo = 11;
    private const int ReceivedBytesAt = 128;

    private readonly Lock _lock = new();
    private List<Socket>? _open;
    private long _ofClosed;

    /// <summary>Bytes that the connections have received, what was lost on the way and sent again counted once.</summary>
    public long ReceivedBytes
    {
        get
        {
            lock (_lock)
            {
                return _ofClosed + (_open?.Sum(ReceivedBy) ?? 0);
            }
        }
    }

    /// <summary>Connects, as a handler of HTTP does by itself.</summary>
    public async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(context.DnsEndPoint, cancellationToken);
        }
        catch
        {
            socket.Dispose();
            throw;
        }

        lock (_lock)
        {
            (_open ??= []).Add(socket);
        }

        return new Connection(socket, this);
    }

    private void Closed(Socket socket)
    {
        lock (_lock)
        {
            if (_open!.Remove(socket))
            {
                _ofClosed += ReceivedBy(socket);
            }
        }
    }

    private static long ReceivedBy(Socket socket)
    {
        Span<byte> info = stackalloc byte[ReceivedBytesAt + sizeof(long)];
        try
        {
            return socket.GetRawSocketOption(IpProtoTcp, TcpInfo, info) == info.Length ? BinaryPrimitives.ReadInt64LittleEndian(info[ReceivedBytesAt..]) : 0;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return 0;
        }
    }

    private sealed class Connection(Socket socket, PeerSockets sockets) : NetworkStream(socket, ownsSocket: true)
    {
        protected override void Dispose(bool disposing)
        {
            sockets.Closed(Socket);
            base.Dispose(disposing);
        }
    }
}
