using System.Diagnostics;

namespace Peerd.Benchmarks.Owner;

/// <summary>Wakes all requesters of a herd from one loop, in steps of a millisecond: a task for each would cost more than what is measured. Thread-safe.</summary>
internal sealed class PlayedClock : IAsyncDisposable
{
    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(1);

    private readonly Lock _lock = new();
    private readonly PriorityQueue<Action<TimeSpan>, TimeSpan> _queue = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly Task _running;

    public PlayedClock() => _running = Task.Run(() => RunAsync(_stop.Token));

    public TimeSpan Now => Stopwatch.GetElapsedTime(_start);

    /// <summary>Calls back at this time, and tells which time that was meant to be.</summary>
    public void At(TimeSpan time, Action<TimeSpan> call)
    {
        lock (_lock)
        {
            _queue.Enqueue(call, time);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    private async Task RunAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(Step);
        while (await timer.WaitForNextTickAsync(cancellationToken))
        {
            while (TryTake(out var call, out var time))
            {
                call(time);
            }
        }
    }

    private bool TryTake(out Action<TimeSpan> call, out TimeSpan time)
    {
        lock (_lock)
        {
            return _queue.TryPeek(out call!, out time) && time <= Now && _queue.TryDequeue(out call!, out time);
        }
    }
}
