using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// A TCP relay with a limited rate from the server to its clients, all connections together. It makes a pull last
/// long enough that "in the middle of it" is a moment a test can hit, and tells how many bytes have passed.
/// </summary>
internal sealed class SlowLink : IAsyncDisposable
{
    private const int ChunkSize = 16 * 1024;

    /// <summary>What a server sends beyond what has passed is lost with the connection: as little as on a real link that is as slow.</summary>
    private const int ReceiveBuffer = 4 * ChunkSize;

    private readonly TcpListener _listener = new(IPAddress.Loopback, FreePorts.Take());
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentBag<Task> _connections = [];
    private readonly Lock _gate = new();
    private readonly IPEndPoint _server;
    private readonly long _bytesPerSecond;
    private readonly Task _accepting;
    private long _free;
    private long _delivered;

    /// <param name="server">Where connections lead.</param>
    /// <param name="bytesPerSecond">Rate to the clients.</param>
    public SlowLink(Uri server, long bytesPerSecond)
    {
        _server = new IPEndPoint(IPAddress.Loopback, server.Port);
        _bytesPerSecond = bytesPerSecond;
        _listener.Start();
        Endpoint = new Uri($"http://{_listener.LocalEndpoint}/");
        _accepting = AcceptAsync();
    }

    /// <summary>Where clients connect.</summary>
    public Uri Endpoint { get; }

    /// <summary>Bytes that have passed to clients.</summary>
    public long Delivered => Interlocked.Read(ref _delivered);

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        await _accepting;
        await Task.WhenAll(_connections);
        _stop.Dispose();
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
        using var server = new TcpClient { ReceiveBufferSize = ReceiveBuffer };
        using (client)
        {
            try
            {
                await server.ConnectAsync(_server, _stop.Token);
                await using var up = server.GetStream();
                await using var down = client.GetStream();

                // Either side that ends, ends both.
                await await Task.WhenAny(down.CopyToAsync(up, _stop.Token), CopySlowlyAsync(up, down));
            }
            catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
            {
                // A broken connection is passed on by closing both.
            }
        }
    }

    private async Task CopySlowlyAsync(NetworkStream from, NetworkStream to)
    {
        var buffer = new byte[ChunkSize];
        int read;
        while ((read = await from.ReadAsync(buffer, _stop.Token)) > 0)
        {
            await Task.Delay(Reserve(read), _stop.Token);
            await to.WriteAsync(buffer.AsMemory(0, read), _stop.Token);
            Interlocked.Add(ref _delivered, read);
        }
    }

    // How long these bytes must wait for their turn on the link.
    private TimeSpan Reserve(int bytes)
    {
        lock (_gate)
        {
            var now = Stopwatch.GetTimestamp();
            _free = Math.Max(_free, now) + bytes * Stopwatch.Frequency / _bytesPerSecond;
            return Stopwatch.GetElapsedTime(now, _free);
        }
    }
}
