using System.Diagnostics.Metrics;
using System.Threading.Channels;
using Peerd.Node.Facade;

namespace Peerd.Node.Hosting.Events;

/// <summary>
/// Writes events one after the other, however slow the API server is: what does not fit in the queue is dropped and counted.
/// While it cannot write, the newest event of each kind waits, and is written when that works again.
/// </summary>
internal sealed partial class EventSender
{
    public const string DroppedName = "peerd.events.dropped";

    /// <summary>Events that wait for the one before.</summary>
    public const int QueueSize = 16;

    /// <summary>Events of one kind are written no more often.</summary>
    public static readonly TimeSpan LeastInterval = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(1);

    private readonly EventApi _api;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Channel<(PodEvent Event, DateTimeOffset At)> _queue = Channel.CreateBounded<(PodEvent, DateTimeOffset)>(QueueSize);
    private readonly Dictionary<PodEventKind, DateTimeOffset> _written = [];
    private readonly List<(PodEvent Event, DateTimeOffset At)> _waiting = [];
    private long _dropped;
    private bool _isFailing;

    /// <param name="api">Where they are written. Not disposed of here.</param>
    /// <param name="meters">Where the dropped ones are counted.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Where failures are told.</param>
    public EventSender(EventApi api, IMeterFactory meters, TimeProvider time, ILogger logger)
    {
        _api = api;
        _time = time;
        _logger = logger;
        meters.Create(FacadeMetrics.MeterName).CreateObservableCounter(DroppedName, () => Dropped, "{event}", "Events of the pod that were not written because newer ones came too fast");
    }

    /// <summary>Events that did not fit in the queue, or that a newer one of their kind replaced before they were written.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>Hands an event over; never waits.</summary>
    public void Send(PodEvent what)
    {
        if (!_queue.Writer.TryWrite((what, _time.GetUtcNow())))
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
                await Task.Delay(pause, _time, cancellationToken);
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
        else if (!_isFailing && _waiting.Min(waiting => DueOf(waiting.Event.Kind)) - _time.GetUtcNow() is { Ticks: > 0 } early)
        {
            await Task.Delay(early, _time, cancellationToken);
        }

        while (_queue.Reader.TryRead(out var next))
        {
            Interlocked.Add(ref _dropped, _waiting.RemoveAll(waiting => waiting.Event.Kind == next.Event.Kind));
            _waiting.Add(next);
        }
    }

    private async Task<bool> TryWriteAllAsync(CancellationToken cancellationToken)
    {
        foreach (var (what, at) in _waiting.Where(waiting => DueOf(waiting.Event.Kind) <= _time.GetUtcNow()).ToList())
        {
            try
            {
                await _api.WriteAsync(what, at, cancellationToken);
                _written[what.Kind] = _time.GetUtcNow();
                _waiting.Remove((what, at));
                _isFailing = false;
            }
            catch (Exception e)
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (!_isFailing)
                {
                    Log.Unwritten(_logger, what.Reason, e.Message);
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
