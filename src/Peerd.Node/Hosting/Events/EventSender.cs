using System.Threading.Channels;

namespace Peerd.Node.Hosting.Events;

/// <summary>
/// Writes events one after the other, however slow the API server is: what does not fit in the queue is dropped and counted.
/// While it cannot write, the newest event of each kind waits, and is written when that works again.
/// </summary>
internal sealed partial class EventSender(EventApi api, TimeProvider time, ILogger logger)
{
    /// <summary>Events that wait for the one before.</summary>
    public const int QueueSize = 16;

    /// <summary>Events of one kind are written no more often.</summary>
    public static readonly TimeSpan LeastInterval = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(1);

    private readonly Channel<(PodEvent Event, DateTimeOffset At)> _queue = Channel.CreateBounded<(PodEvent, DateTimeOffset)>(QueueSize);
    private readonly Dictionary<PodEventKind, DateTimeOffset> _written = [];
    private readonly List<(PodEvent Event, DateTimeOffset At)> _waiting = [];
    private long _dropped;
    private bool _isFailing;

    /// <summary>Events that did not fit in the queue, or that a newer one of their kind replaced before they were written.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>Hands an event over; never waits.</summary>
    public void Send(PodEvent what)
    {
        if (!_queue.Writer.TryWrite((what, time.GetUtcNow())))
        {
            Interlocked.Increment(ref _dropped);
        }
    }

    /// <summary>Writes until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var pause = FirstPause;
        while (!cancellationToken.IsCancellationRequested)
        {
            await TakeAsync(cancellationToken);
            if (await TryWriteAllAsync(cancellationToken))
            {
                pause = FirstPause;
            }
            else
            {
                await Task.Delay(pause, time, cancellationToken);
                pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
            }
        }
    }

    /// <summary>Waits until there is something to write, or until what was written too short a time ago may be written again.</summary>
    private async Task TakeAsync(CancellationToken cancellationToken)
    {
        if (_waiting.Count == 0)
        {
            await _queue.Reader.WaitToReadAsync(cancellationToken);
        }
        else if (!_isFailing && _waiting.Min(waiting => DueOf(waiting.Event.Kind)) - time.GetUtcNow() is { Ticks: > 0 } early)
        {
            await Task.Delay(early, time, cancellationToken);
        }

        while (_queue.Reader.TryRead(out var next))
        {
            Interlocked.Add(ref _dropped, _waiting.RemoveAll(waiting => waiting.Event.Kind == next.Event.Kind));
            _waiting.Add(next);
        }
    }

    private async Task<bool> TryWriteAllAsync(CancellationToken cancellationToken)
    {
        foreach (var (what, at) in _waiting.Where(waiting => DueOf(waiting.Event.Kind) <= time.GetUtcNow()).ToList())
        {
            try
            {
                await api.WriteAsync(what, at, cancellationToken);
                _written[what.Kind] = time.GetUtcNow();
                _waiting.Remove((what, at));
                _isFailing = false;
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                if (!_isFailing)
                {
                    Log.Unwritten(logger, what.Reason, e.Message);
                }

                _isFailing = true;
                return false;
            }
        }

        return true;
    }

    private DateTimeOffset DueOf(PodEventKind kind) => _written.TryGetValue(kind, out var before) ? before + LeastInterval : DateTimeOffset.MinValue;

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "The event {Reason} of this pod cannot be written, and nothing else depends on it; attempts follow, at most a minute apart: {Cause}")]
        public static partial void Unwritten(ILogger logger, string reason, string cause);
    }
}
