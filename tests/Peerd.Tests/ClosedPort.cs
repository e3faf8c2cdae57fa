using System.Net;
using System.Net.Sockets;

namespace Peerd.Tests;

/// <summary>A port at loopback where nobody listens, and where nobody else can begin to: connections are refused.</summary>
internal sealed class ClosedPort : IDisposable
{
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    public ClosedPort() => _socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));

    public IPEndPoint EndPoint => (IPEndPoint)_socket.LocalEndPoint!;

    public int Number => EndPoint.Port;

    public void Dispose() => _socket.Dispose();
}
