namespace Peerd.Node.Ring;

/// <summary>
/// The ring of the moment, rebuilt whenever the membership source tells a new list. One writer, any number of readers.
/// </summary>
internal sealed class RingSource
{
    /// <summary>The newest ring; <see cref="HashRing.Empty"/> before the first list.</summary>
    public HashRing Current => throw new NotImplementedException();

    /// <summary>The newest ring, then each one that replaces it, until cancelled; slow readers miss rings in between, never the last.</summary>
    public IAsyncEnumerable<HashRing> WatchAsync(CancellationToken cancellationToken) => throw new NotImplementedException();
}
