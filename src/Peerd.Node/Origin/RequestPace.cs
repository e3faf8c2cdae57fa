using System.Threading.RateLimiting;

namespace Peerd.Node.Origin;

/// <summary>
/// A bucket of tokens: so many requests at once, and then so many a second, first come first served. Thread-safe.
/// </summary>
/// <remarks>
/// A <see cref="ConcurrencyLimiter"/> whose permits come back with time instead of with the end of the work; it brings
/// the bounded queue and the cancellation. The framework's own token bucket reads the clock of the machine
/// (https://github.com/dotnet/runtime/issues/106447), and its timer runs for ever; this one rests while the bucket is full.
/// </remarks>
internal sealed class RequestPace : IDisposable
{
    // Several tokens come back at once rather than that a timer runs more often.
    private static readonly TimeSpan LeastWait = TimeSpan.FromMilliseconds(10);

    private readonly Lock _lock = new();
    private readonly ConcurrencyLimiter _tokens;
    private readonly Queue<RateLimitLease> _spent = [];
    private readonly TimeProvider _time;
    private readonly TimeSpan _interval;
    private readonly long _start;
    private readonly ITimer _refill;

    // Since when the oldest of the spent tokens comes back.
    private TimeSpan _since;

    /// <param name="perSecond">Tokens that come back in a second.</param>
    /// <param name="burst">Tokens of a full bucket.</param>
    /// <param name="maxWaiting">Requests that may wait for a token; more get none.</param>
    /// <param name="time">Clock.</param>
    public RequestPace(int perSecond, int burst, int maxWaiting, TimeProvider time)
    {
        _tokens = new ConcurrencyLimiter(new ConcurrencyLimiterOptions { PermitLimit = burst, QueueLimit = maxWaiting, QueueProcessingOrder = QueueProcessingOrder.OldestFirst });
        _time = time;
        _interval = TimeSpan.FromSeconds(1) / perSecond;
        _start = time.GetTimestamp();
        _refill = time.CreateTimer(static pace => ((RequestPace)pace!).Refill(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Waits for a token and spends it; false when too many wait already.</summary>
    public async ValueTask<bool> TakeAsync(CancellationToken cancellationToken)
    {
        var token = await _tokens.AcquireAsync(1, cancellationToken);
        if (!token.IsAcquired)
        {
            token.Dispose();
            return false;
        }

        lock (_lock)
        {
            _spent.Enqueue(token);
            if (_spent.Count == 1)
            {
                _since = Now;
                WaitForNext();
            }
        }

        return true;
    }

    /// <summary>Nothing is spent that has not come back.</summary>
    public bool IsFull
    {
        get
        {
            lock (_lock)
            {
                return _spent.Count == 0;
            }
        }
    }

    public void Dispose()
    {
        _refill.Dispose();
        _tokens.Dispose();
    }

    private TimeSpan Now => _time.GetElapsedTime(_start);

    private void Refill()
    {
        lock (_lock)
        {
            for (var now = Now; _spent.Count > 0 && now - _since >= _interval; _since += _interval)
            {
                // Who waits for it goes on elsewhere, not within this lock.
                _spent.Dequeue().Dispose();
            }

            if (_spent.Count > 0)
            {
                WaitForNext();
            }
        }
    }

    private void WaitForNext()
    {
        var wait = _since + _interval - Now;

        // Timers know whole milliseconds, and one that is early would find nothing.
        wait = TimeSpan.FromMilliseconds(Math.Ceiling(wait.TotalMilliseconds));
        _refill.Change(wait > LeastWait ? wait : LeastWait, Timeout.InfiniteTimeSpan);
    }
}
