namespace Peerd.Node.Origin;

/// <summary>
/// What goes on at one host that blobs are read from by URLs of clients: reads under way, and the pauses that it asked for.
/// It is treated as a registry is. Thread-safe.
/// </summary>
internal sealed class BlobStore(string host, OriginSettings settings, TimeProvider time, ILogger logger) : IDisposable
{
    /// <summary>
    /// How many times as much is read for containers that wait as for the mesh: each of these reads its client would have sent itself, most of
    /// them with 64 KiB and dozens at a time. What would slow them down more than no node at all protects nobody.
    /// </summary>
    public const int TimesForClients = 16;

    // Apart: what a container waits for must not queue behind what is fetched for later, nor a size behind gigabytes.
    private readonly OriginLane _urgent = new(settings, time, TimesForClients);
    private readonly OriginLane _others = new(settings, time);
    private readonly OriginLane _sizes = new(settings, time);
    private int _reads;

    /// <summary>Nobody reads there, and nothing is to be remembered of it: a new one would do the same.</summary>
    public bool IsIdle => Volatile.Read(ref _reads) == 0 && !Pauses.Any && _urgent.IsRested && _others.IsRested && _sizes.IsRested;

    /// <summary>Somebody is about to read there, until <see cref="Leave"/>.</summary>
    public void Enter() => Interlocked.Increment(ref _reads);

    public void Leave() => Interlocked.Decrement(ref _reads);

    /// <summary>For all that is read there with the same credential, as the limits of a host are for an account or an address.</summary>
    public BlobPauses Pauses { get; } = new(host, time, logger);

    /// <summary>The answer when a lane takes no more.</summary>
    public OriginFailure QueueFull { get; } = new($"too many reads wait for {host}", Unasked: UnaskedReason.QueueFull);

    /// <param name="isUrgent">A container waits for it.</param>
    /// <param name="isSize">Only the size is asked for.</param>
    public OriginLane LaneOf(bool isUrgent, bool isSize) => isSize ? _sizes : isUrgent ? _urgent : _others;

    public void Dispose()
    {
        _urgent.Dispose();
        _others.Dispose();
        _sizes.Dispose();
    }
}
