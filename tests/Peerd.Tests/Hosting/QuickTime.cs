namespace Peerd.Tests.Hosting;

/// <summary>A clock of nodes on which time goes so many times as fast: for patience that is longer than a test should take.</summary>
/// <param name="times">How many times; less than 1 for patience that a slow machine must not exhaust.</param>
internal sealed class QuickTime(double times) : TimeProvider
{
    private readonly DateTimeOffset _start = System.GetUtcNow();
    private readonly long _started = System.GetTimestamp();

    public override long TimestampFrequency => System.TimestampFrequency;

    public override DateTimeOffset GetUtcNow() => _start + (System.GetElapsedTime(_started) * times);

    public override long GetTimestamp() => _started + (long)((System.GetTimestamp() - _started) * times);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        new Timer(System.CreateTimer(callback, state, Shorter(dueTime), Shorter(period)), this);

    // A timer that is to fire after a while must not fire at once.
    private TimeSpan Shorter(TimeSpan time) => time > TimeSpan.Zero ? TimeSpan.FromMilliseconds(Math.Ceiling(time.TotalMilliseconds / times)) : time;

    private sealed class Timer(ITimer inner, QuickTime time) : ITimer
    {
        public bool Change(TimeSpan dueTime, TimeSpan period) => inner.Change(time.Shorter(dueTime), time.Shorter(period));

        public void Dispose() => inner.Dispose();

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
