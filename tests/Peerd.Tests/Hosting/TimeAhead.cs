namespace Peerd.Tests.Hosting;

/// <summary>The system's clock, put forward; waits take no longer and no shorter.</summary>
internal sealed class TimeAhead : TimeProvider
{
    public TimeSpan Ahead { get; set; }

    /// <summary>Only what the clock shows: nobody has waited for that long.</summary>
    public TimeSpan ClockAhead { get; set; }

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Ahead + ClockAhead;

    public override long GetTimestamp() => base.GetTimestamp() + (long)(Ahead.TotalSeconds * TimestampFrequency);
}
