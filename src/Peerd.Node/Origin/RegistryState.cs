using System.Threading.RateLimiting;

namespace Peerd.Node.Origin;

/// <summary>What goes on at one registry: slots for requests, and whether it could be reached. Thread-safe.</summary>
internal sealed class RegistryState(RegistryEndpoint endpoint, int maxRequests) : IDisposable
{
    private const int MaxWaiting = 1024;

    // Apart, because a blob keeps its slot until it is read: a tag must not wait for gigabytes.
    private readonly ConcurrencyLimiter _blobs = Slots(maxRequests);
    private readonly ConcurrencyLimiter _others = Slots(maxRequests);

    private int _isUnreachable;

    public RegistryEndpoint Endpoint { get; } = endpoint;

    /// <summary>Waits for a slot; not acquired when too many wait already.</summary>
    public ValueTask<RateLimitLease> EnterAsync(bool isBlob, CancellationToken cancellationToken) =>
        (isBlob ? _blobs : _others).AcquireAsync(1, cancellationToken);

    /// <summary>Notes whether it was reached; true when that is news.</summary>
    public bool Note(bool isReached)
    {
        var unreachable = isReached ? 0 : 1;
        return Volatile.Read(ref _isUnreachable) != unreachable && Interlocked.Exchange(ref _isUnreachable, unreachable) != unreachable;
    }

    public void Dispose()
    {
        _blobs.Dispose();
        _others.Dispose();
    }

    private static ConcurrencyLimiter Slots(int count) =>
        new(new ConcurrencyLimiterOptions { PermitLimit = count, QueueLimit = MaxWaiting, QueueProcessingOrder = QueueProcessingOrder.OldestFirst });
}
