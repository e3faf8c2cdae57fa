using System.Diagnostics;
using System.Net.Sockets;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// A TCP relay with a limited rate from the server to its clients, all connections together. It makes a pull last
/// long enough that "in the middle of it" is a moment a test can hit, and tells how many bytes have passed.
/// </summary>
/// <param name="server">Where connections lead.</param>
/// <param name="bytesPerSecond">Rate to the clients.</param>
internal sealed class SlowLink(Uri server, long bytesPerSecond) : TcpRelay(server)
{
    private const int ChunkSize = 16 * 1024;

    private readonly Lock _gate = new();
    private long _free;
    private long _delivered;

    /// <summary>Bytes that have passed to clients.</summary>
    public long Delivered => Interlocked.Read(ref _delivered);

    /// <inheritdoc />
    /// <remarks>What a server sends beyond what has passed is lost with the connection: as little as on a real link that is as slow.</remarks>
    protected override int? ReceiveBuffer => 4 * ChunkSize;

    /// <inheritdoc />
    protected override async Task CopyToClientAsync(NetworkStream from, NetworkStream to, CancellationToken broken)
    {
        var buffer = new byte[ChunkSize];
        int read;
        while ((read = await from.ReadAsync(buffer, broken)) > 0)
        {
            await Task.Delay(Reserve(read), broken);
            await to.WriteAsync(buffer.AsMemory(0, read), broken);
            Interlocked.Add(ref _delivered, read);
        }
    }

    // How long these bytes must wait for their turn on the link.
    private TimeSpan Reserve(int bytes)
    {
        lock (_gate)
        {
            var now = Stopwatch.GetTimestamp();
            _free = Math.Max(_free, now) + (bytes * Stopwatch.Frequency / bytesPerSecond);
            return Stopwatch.GetElapsedTime(now, _free);
        }
    }
}
