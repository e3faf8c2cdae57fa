namespace Peerd.Node.Hosting;

/// <summary>
/// Has the collector look at all that is kept when much of it may be garbage. By itself it leaves the older generations alone
/// until they have grown by more than a node needs at all: what moves bytes through pools allocates little, and some of it
/// lives just long enough to get there. A node that has become idle, and that allocates and computes next to nothing, has it look, too, and gives the
/// memory back that it needed before, such as for its start. Soon after that all is looked at for the first time: the runtime would do so
/// once much has come, when readers wait for what the node sends, and it would take longer.
/// </summary>
/// <remarks>
/// All stands still meanwhile, for a hundredth of a second or a few, and longer the more is kept, which is why more may come then. In
/// the background nothing is moved together: the garbage would go, and the memory stay.
/// </remarks>
internal class GarbageLimit(TimeProvider time) : BackgroundService
{
    /// <summary>So many bytes may have come since all of it was looked at.</summary>
    internal const long MostSince = 64L << 20;

    /// <summary>So many bytes a node may allocate between two comparisons that is idle: for probes, scrapes, and what other nodes say.</summary>
    internal const long MostIdle = 4L << 20;

    /// <summary>So much processor time it may need between two comparisons: what serves bytes allocates little, and needs more.</summary>
    internal static readonly TimeSpan MostComputing = TimeSpan.FromMilliseconds(200);

    /// <summary>So many bytes an idle node must have allocated since all was looked at for it to be looked at again.</summary>
    internal const long LeastIdle = 16L << 20;

    /// <summary>So many comparisons one after the other must find a node idle.</summary>
    internal const int IdleTimes = 3;

    /// <summary>When all is looked at for the first time: the node is ready by then, and has mostly not much to do yet.</summary>
    internal static readonly TimeSpan AfterStart = TimeSpan.FromSeconds(1);

    /// <summary>How often that is compared.</summary>
    internal static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    private long _allocated;
    private long _allocatedBefore;
    private TimeSpan _computedBefore;
    private int _idle;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        await Task.Delay(AfterStart, time, stoppingToken);
        Collect();
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            var (allocated, computed) = (Allocated, Computed);
            _idle = allocated - _allocatedBefore <= MostIdle && computed - _computedBefore <= MostComputing ? _idle + 1 : 0;
            (_allocatedBefore, _computedBefore) = (allocated, computed);
            if (IsDue(Heap, LookedAt))
            {
                Collect();
                _allocated = allocated;
            }
            else if (_idle >= IdleTimes && allocated - _allocated >= LeastIdle)
            {
                GiveBack();
                _allocated = allocated;
            }
        }
    }

    /// <summary>Bytes that the last collection of any kind has left, holes between objects included.</summary>
    protected virtual long Heap => GC.GetGCMemoryInfo(GCKind.Any).HeapSizeBytes;

    /// <summary>Bytes that were left when all was looked at.</summary>
    protected virtual long LookedAt => GC.GetGCMemoryInfo(GCKind.FullBlocking).HeapSizeBytes;

    /// <summary>Bytes that were allocated since the start of the process.</summary>
    protected virtual long Allocated => GC.GetTotalAllocatedBytes();

    /// <summary>Processor time that the process has needed.</summary>
    protected virtual TimeSpan Computed => Environment.CpuUsage.TotalTime;

    protected virtual void Collect() => GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true, compacting: true);

    /// <summary>Collects, and keeps no memory for what may come: only an idle node can do without.</summary>
    protected virtual void GiveBack() => GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);

    /// <summary>Whether all of it should be looked at.</summary>
    /// <param name="heap">As <see cref="Heap"/>.</param>
    /// <param name="lookedAt">As <see cref="LookedAt"/>.</param>
    internal static bool IsDue(long heap, long lookedAt) => heap - lookedAt > Math.Max(MostSince, lookedAt / 4);
}
