using System.Threading.RateLimiting;

namespace Peerd.Node.Origin;

/// <summary>Requests of one sort to one registry, or one host of blobs: how many at a time, and how many a second. Thread-safe.</summary>
/// <param name="settings">The limits.</param>
/// <param name="time">Clock.</param>
/// <param name="times">How many times as much as they say may be asked.</param>
internal sealed class OriginLane(OriginSettings settings, TimeProvider time, int times = 1) : IDisposable
{
    /// <summary>A burst is what the bucket gains in this many seconds.</summary>
    public const int BurstSeconds = 5;

    /// <summary>Requests that may wait; more are told so at once.</summary>
    public const int MaxWaiting = 1024;

    private readonly ConcurrencyLimiter _slots =
        new(new ConcurrencyLimiterOptions { PermitLimit = times * settings.MaxConcurrentRequests, QueueLimit = MaxWaiting, QueueProcessingOrder = QueueProcessingOrder.OldestFirst });

    private readonly RequestPace _pace = new(times * settings.RequestsPerSecond, times * settings.RequestsPerSecond * BurstSeconds, MaxWaiting, time);

    /// <summary>Waits for a slot; not acquired when too many wait already.</summary>
    public ValueTask<RateLimitLease> EnterAsync(CancellationToken cancellationToken) => _slots.AcquireAsync(1, cancellationToken);

    /// <summary>With a slot: waits until a request may be sent; false when too many wait already.</summary>
    public ValueTask<bool> PaceAsync(CancellationToken cancellationToken) => _pace.TakeAsync(cancellationToken);

    /// <summary>Nothing was sent lately that the pace remembers.</summary>
    public bool IsRested => _pace.IsFull;

    public void Dispose()
    {
        _slots.Dispose();
        _pace.Dispose();
    }
}
