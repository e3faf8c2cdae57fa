namespace Peerd.Simulation.Results;

/// <summary>What is counted while a simulation runs.</summary>
/// <param name="stopwatch">Measures the processor time of coordinators; null when that is of no interest.</param>
internal sealed class Counts(TimeProvider? stopwatch)
{
    private long _coordinatorTime;

    public int OriginRequests { get; set; }

    public int LastResorts { get; set; }

    public int Refused { get; set; }

    public long Repeated { get; set; }

    /// <summary>Messages to and from owners.</summary>
    public long OwnerMessages { get; set; }

    /// <summary>Messages, announcements and pushes of coordinators.</summary>
    public long CoordinatorMessages { get; set; }

    public TimeSpan CoordinatorTime => stopwatch is null ? TimeSpan.Zero : TimeSpan.FromSeconds(_coordinatorTime / (double)stopwatch.TimestampFrequency);

    public long Begin() => stopwatch?.GetTimestamp() ?? 0;

    public void End(long begun) => _coordinatorTime += (stopwatch?.GetTimestamp() ?? 0) - begun;
}
