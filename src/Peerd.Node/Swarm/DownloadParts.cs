namespace Peerd.Node.Swarm;

/// <summary>What the parts of one download share.</summary>
/// <param name="Services">What all downloads share.</param>
/// <param name="Gate">The lock of the download.</param>
/// <param name="Tasks">Its work.</param>
/// <param name="Trace">Its span.</param>
/// <param name="Origins">The ways to the origin that its clients know; under the lock.</param>
/// <param name="Outage">Why the origin does not serve it.</param>
/// <param name="Readers">What is wanted; under the lock.</param>
/// <param name="Frames">What arrives.</param>
/// <param name="Stopping">Cancelled when it stops.</param>
internal sealed record DownloadParts(
    DownloadServices Services,
    Lock Gate,
    OwnedTasks Tasks,
    DownloadTrace Trace,
    ClientOrigins Origins,
    OriginOutage Outage,
    DownloadReaders Readers,
    ArrivingFrames Frames,
    CancellationToken Stopping)
{
    /// <summary>Readers and hashing wait for each other with it.</summary>
    public Movement Movement { get; } = new();

    public TimeSpan Now => Services.Time.GetElapsedTime(0);
}
