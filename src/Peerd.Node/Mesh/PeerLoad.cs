namespace Peerd.Node.Mesh;

/// <summary>What comes from one peer at a moment. Thread-safe.</summary>
/// <param name="receivedBytes">Reads the bytes that have come so far, headers and parts of frames included.</param>
internal sealed class PeerLoad(Func<long> receivedBytes)
{
    private int _ranges;

    /// <summary>Bytes that have come so far, of whatever.</summary>
    public long ReceivedBytes => receivedBytes();

    /// <summary>Ranges that are being read.</summary>
    public int Ranges => Volatile.Read(ref _ranges);

    public void Began() => Interlocked.Increment(ref _ranges);

    public void Ended() => Interlocked.Decrement(ref _ranges);
}
