namespace Peerd.Node.Swarm;

/// <summary>
/// Why the origin does not serve one content, and since when, as far as is known here. Not thread-safe, except that the reason can be
/// looked at by any thread; the download's lock protects the rest.
/// </summary>
internal sealed class OriginOutage
{
    private SourceFailure? _failure;

    /// <summary>Null when the origin may serve it.</summary>
    public SourceFailure? Failure => Volatile.Read(ref _failure);

    /// <summary>When the origin failed last.</summary>
    public TimeSpan Since { get; private set; }

    /// <summary>The origin has failed.</summary>
    public void Began(SourceFailure failure, TimeSpan now)
    {
        Volatile.Write(ref _failure, failure);
        Since = now;
    }

    /// <summary>It cannot serve the content, for a reason that is not what it answered just now.</summary>
    public void Explain(SourceFailure failure) => Volatile.Write(ref _failure, failure);

    /// <summary>It may serve it again.</summary>
    public void End() => Volatile.Write(ref _failure, null);

    /// <summary>What is left of the pause that the origin asked for when it failed last; null when it did not, or when it is over.</summary>
    public TimeSpan? PauseLeft(TimeSpan now) => Failure?.RetryAfter - (now - Since) is { } left && left > TimeSpan.Zero ? left : null;

    /// <summary>A pause in milliseconds, as nodes tell each other; 0 when there is none.</summary>
    public static uint Milliseconds(TimeSpan? pause) => pause is { } time ? (uint)Math.Clamp(time.TotalMilliseconds, 1, int.MaxValue) : 0;
}
