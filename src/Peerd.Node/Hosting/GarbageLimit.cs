namespace Peerd.Node.Hosting;

/// <summary>
/// Has the collector look at all that is kept when much of it may be garbage. By itself it leaves the older generations alone
/// until they have grown by more than a node needs at all: what moves bytes through pools allocates little, and some of it
/// lives just long enough to get there.
/// </summary>
internal sealed class GarbageLimit(TimeProvider time) : BackgroundService
{
    /// <summary>So many bytes may have come since all of it was looked at.</summary>
    internal const long MostSince = 48L << 20;

    /// <summary>How often that is compared.</summary>
    internal static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            if (GC.GetTotalMemory(forceFullCollection: false) - KeptAtLast() > MostSince)
            {
                // In the background: nobody who reads has to wait for it.
                GC.Collect(GC.MaxGeneration, GCCollectionMode.Default, blocking: false);
            }
        }
    }

    /// <summary>Bytes that the last collection of everything has left; 0 when there was none.</summary>
    private static long KeptAtLast()
    {
        var (background, blocking) = (GC.GetGCMemoryInfo(GCKind.Background), GC.GetGCMemoryInfo(GCKind.FullBlocking));
        var last = background.Index > blocking.Index ? background : blocking;
        return last.HeapSizeBytes - last.FragmentedBytes;
    }
}
