using System.Collections.Concurrent;
using System.Threading.Channels;
using Microsoft.Extensions.Time.Testing;
using Peerd.Tests.Hosting;

namespace Peerd.Tests;

/// <summary>A clock that tells when somebody begins to wait on it, and who still does, so that it is not moved too early.</summary>
internal sealed class ArmedTime : FakeTimeProvider
{
    private readonly Channel<TimeSpan> _armed = Channel.CreateUnbounded<TimeSpan>();
    private readonly ConcurrentDictionary<LiveTimer, TimeSpan> _live = new();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new LiveTimer(this, base.CreateTimer(callback, state, dueTime, period));
        _live[timer] = dueTime;
        _armed.Writer.TryWrite(dueTime);
        return timer;
    }

    /// <summary>Somebody has begun to wait for such a time, and has not ended it.</summary>
    public bool IsArmed(Predicate<TimeSpan> due) => _live.Values.Any(armed => due(armed));

    /// <summary>Waits that have begun so far are of no interest.</summary>
    public void Forget()
    {
        while (_armed.Reader.TryRead(out _))
        {
        }
    }

    /// <summary>Lets time pass as soon as somebody waits for as long.</summary>
    public async Task PassAsync(TimeSpan due)
    {
        await ArmedAsync(due);
        Advance(due);
    }

    /// <summary>Somebody waits for as long; each wait counts once.</summary>
    public Task ArmedAsync(TimeSpan due) => ArmedAsync(armed => armed == due);

    /// <summary>How long somebody waits, if it is one of these times; each wait counts once.</summary>
    public async Task<TimeSpan> ArmedAsync(Predicate<TimeSpan> due)
    {
        using var patience = new CancellationTokenSource(Wait.Longest);
        while (true)
        {
            if (await _armed.Reader.ReadAsync(patience.Token) is var armed && due(armed))
            {
                return armed;
            }
        }
    }

    /// <summary>A timer that is known until it is disposed of.</summary>
    private sealed class LiveTimer(ArmedTime time, ITimer timer) : ITimer
    {
        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            time._live.TryUpdate(this, dueTime, time._live.GetValueOrDefault(this));
            return timer.Change(dueTime, period);
        }

        public void Dispose()
        {
            time._live.TryRemove(this, out _);
            timer.Dispose();
        }

        public ValueTask DisposeAsync()
        {
            time._live.TryRemove(this, out _);
            return timer.DisposeAsync();
        }
    }
}
