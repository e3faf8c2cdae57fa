namespace Peerd.Node.Hosting;

/// <summary>
/// Has the collector look at all that is kept when much of it may be garbage. By itself it leaves the older generations alone
/// until they have grown by more than a node needs at all: what moves bytes through pools allocates little, and some of it
/// lives just long enough to get there.
/// </summary>
/// <remarks>
/// All stands still meanwhile, for a hundredth of a second or a few, about once a minute under load. In the background nothing is
/// moved together: the garbage would go, and the memory stay.
/// </remarks>
internal sealed class GarbageLimit(TimeProvider time) : BackgroundService
{
    /// <summary>So many bytes may have come since all of it was looked at.</summary>
    internal const long MostSince = 64L << 20;

    /// <summary>How often that is compared.</summary>
    internal static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            if (Occupied() - GC.GetGCMemoryInfo(GCKind.FullBlocking).HeapSizeBytes > MostSince)
            {
                GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true, compacting: true);
            }
        }
    }

    /// <summary>Bytes of objects, of use or not, and of holes between them.</summary>
    private static long Occupied() => GC.GetTotalMemory(forceFullCollection: false) + GC.GetGCMemoryInfo(GCKind.Any).FragmentedBytes;
}
