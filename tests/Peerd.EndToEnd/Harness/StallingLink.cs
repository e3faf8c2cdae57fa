using System.Net.Sockets;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// A TCP relay that falls silent in the middle of what a server sends: after so many bytes nothing passes any more, in neither direction,
/// and all connections stay open, new ones too. What it passes it does not look at, be it encrypted or not.
/// </summary>
/// <param name="server">Where connections lead.</param>
internal sealed class StallingLink(Uri server) : TcpRelay(server)
{
    private const int ChunkSize = 16 * 1024;

    private readonly Lock _gate = new();
    private CancellationTokenSource _silence = new();
    private long _left = long.MaxValue;

    /// <summary>It is silent.</summary>
    public bool IsSilent
    {
        get
        {
            lock (_gate)
            {
                return _left == 0;
            }
        }
    }

    /// <inheritdoc />
    protected override CancellationToken Broken
    {
        get
        {
            lock (_gate)
            {
                return _silence.Token;
            }
        }
    }

    /// <summary>Falls silent when so many more bytes have passed to clients.</summary>
    public void FallSilentAfter(long bytes)
    {
        lock (_gate)
        {
            _left = bytes;
        }
    }

    /// <summary>Breaks all connections; new ones pass everything.</summary>
    public async Task HealAsync()
    {
        CancellationTokenSource silence;
        lock (_gate)
        {
            _left = long.MaxValue;
            (silence, _silence) = (_silence, new CancellationTokenSource());
        }

        await silence.CancelAsync();
        silence.Dispose();
    }

    /// <inheritdoc />
    protected override Task CopyToClientAsync(NetworkStream from, NetworkStream to, CancellationToken broken) => CopyAsync(from, to, isToClient: true, broken);

    /// <inheritdoc />
    protected override Task CopyToServerAsync(NetworkStream from, NetworkStream to, CancellationToken broken) => CopyAsync(from, to, isToClient: false, broken);

    /// <inheritdoc />
    protected override void Stopped() => _silence.Dispose();

    // When the link is silent, not even the end of a side gets through.
    private async Task CopyAsync(NetworkStream from, NetworkStream to, bool isToClient, CancellationToken broken)
    {
        var buffer = new byte[ChunkSize];
        int read;
        do
        {
            read = await from.ReadAsync(buffer, broken);
            var (passing, isOver) = Take(read, isToClient);
            await to.WriteAsync(buffer.AsMemory(0, passing), broken);
            if (isOver)
            {
                await Task.Delay(Timeout.Infinite, broken);
            }
        }
        while (read > 0);
    }

    private (int Passing, bool IsOver) Take(int bytes, bool isToClient)
    {
        lock (_gate)
        {
            var passing = isToClient || _left == 0 ? (int)Math.Min(bytes, _left) : bytes;
            _left -= isToClient && _left < long.MaxValue ? passing : 0;
            return (passing, _left == 0);
        }
    }
}
