using System.Threading.Channels;
using Microsoft.Extensions.Time.Testing;
using Peerd.Tests.Hosting;

namespace Peerd.Tests;

/// <summary>A clock that tells when somebody begins to wait on it, so that it is not moved too early.</summary>
internal sealed class ArmedTime : FakeTimeProvider
{
    private readonly Channel<TimeSpan> _armed = Channel.CreateUnbounded<TimeSpan>();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = base.CreateTimer(callback, state, dueTime, period);
        _armed.Writer.TryWrite(dueTime);
        return timer;
    }

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
}
