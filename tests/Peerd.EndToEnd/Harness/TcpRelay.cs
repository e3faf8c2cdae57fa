using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Peerd.EndToEnd.Harness;

/// <summary>A TCP relay between clients and one server on loopback; what it does to what passes is for those who derive from it.</summary>
internal abstract class TcpRelay : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, FreePorts.Take());
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentBag<Task> _connections = [];
    private readonly IPEndPoint _server;
    private readonly Task _accepting;

    /// <param name="server">Where connections lead.</param>
    protected TcpRelay(Uri server)
    {
        _server = new IPEndPoint(IPAddress.Loopback, server.Port);
        _listener.Start();
        Endpoint = new Uri($"http://{_listener.LocalEndpoint}/");
        _accepting = AcceptAsync();
    }

    /// <summary>Where clients connect.</summary>
    public Uri Endpoint { get; }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        await _accepting;
        await Task.WhenAll(_connections);
        _stop.Dispose();
        Stopped();
    }

    /// <summary>Ends a connection that is made now, besides the end of the relay.</summary>
    protected virtual CancellationToken Broken => CancellationToken.None;

    /// <summary>Bytes that a server sends beyond what has passed; null for the usual ones.</summary>
    protected virtual int? ReceiveBuffer => null;

    /// <summary>Passes on what the server sends, until it ends.</summary>
    protected abstract Task CopyToClientAsync(NetworkStream from, NetworkStream to, CancellationToken broken);

    /// <summary>Passes on what the client sends, until it ends.</summary>
    protected virtual Task CopyToServerAsync(NetworkStream from, NetworkStream to, CancellationToken broken) => from.CopyToAsync(to, broken);

    /// <summary>No connection is left.</summary>
    protected virtual void Stopped()
    {
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                _connections.Add(RelayAsync(await _listener.AcceptTcpClientAsync(_stop.Token)));
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Stopped.
        }
    }

    private async Task RelayAsync(TcpClient client)
    {
        using var broken = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token, Broken);
        using var server = new TcpClient();
        server.ReceiveBufferSize = ReceiveBuffer ?? server.ReceiveBufferSize;
        using (client)
        {
            try
            {
                await server.ConnectAsync(_server, broken.Token);
                await using var up = server.GetStream();
                await using var down = client.GetStream();

                // Either side that ends, ends both.
                await await Task.WhenAny(CopyToServerAsync(down, up, broken.Token), CopyToClientAsync(up, down, broken.Token));
            }
            catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
            {
                // A broken connection is passed on by closing both.
            }
        }
    }
}
