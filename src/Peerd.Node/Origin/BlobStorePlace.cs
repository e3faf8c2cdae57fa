using System.Threading.RateLimiting;

namespace Peerd.Node.Origin;

/// <summary>
/// The slot that one read has at the host that it is at: one at a time, so that nobody who waits for a host keeps a slot of
/// another. Not thread-safe.
/// </summary>
internal sealed class BlobStorePlace : IDisposable
{
    private BlobStore? _store;
    private UInt128 _who;
    private RateLimitLease? _slot;

    /// <summary>The host that it was at last asked whom it reads for to pause, which is not over.</summary>
    public bool IsPaused => _store?.Pauses.RefusalOf(_who) is not null;

    /// <summary>Leaves the host that it was at, and waits until a request may be sent to another; null then, else why not.</summary>
    /// <param name="store">The host, entered already.</param>
    /// <param name="who">Whose pauses count, see <see cref="BlobPauses.WhoBrings"/>.</param>
    /// <param name="isUrgent">A container waits for it.</param>
    /// <param name="isSize">Only the size is asked for.</param>
    /// <param name="cancellationToken">Nobody waits any more.</param>
    public async ValueTask<OriginFailure?> MoveAsync(BlobStore store, UInt128 who, bool isUrgent, bool isSize, CancellationToken cancellationToken)
    {
        Dispose();
        (_store, _who) = (store, who);
        if (store.Pauses.RefusalOf(who) is { } refusal)
        {
            // There need not be a slot to say no.
            return refusal;
        }

        var lane = store.LaneOf(isUrgent, isSize);
        _slot = await lane.EnterAsync(cancellationToken);

        // The pause may have begun meanwhile.
        return !_slot.IsAcquired ? store.QueueFull
            : store.Pauses.RefusalOf(who) is { } begun ? begun
            : !await lane.PaceAsync(cancellationToken) ? store.QueueFull
            : store.Pauses.RefusalOf(who);
    }

    public void Dispose()
    {
        _slot?.Dispose();
        _slot = null;
        _store?.Leave();
        _store = null;
    }
}
