namespace Peerd.Node.Swarm;

/// <summary>
/// Divides the memory for frames among the downloads of a node that keeps contents there: what they fetch ahead of readers who
/// pause would push each other out otherwise, and be fetched again and again. Thread-safe.
/// </summary>
/// <param name="budget">Bytes for all.</param>
internal sealed class MemoryShare(long budget)
{
    private int _downloads;

    /// <summary>Bytes that each may fetch ahead: together they take half, the rest is for what has been read a moment ago.</summary>
    public long Bytes => budget / 2 / Math.Max(2, Volatile.Read(ref _downloads));

    public void Enter() => Interlocked.Increment(ref _downloads);

    public void Leave() => Interlocked.Decrement(ref _downloads);
}
