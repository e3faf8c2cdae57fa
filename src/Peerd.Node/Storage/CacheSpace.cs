namespace Peerd.Node.Storage;

/// <summary>Counts the bytes that the cache takes on disk and has others evicted when it needs room. Thread-safe.</summary>
/// <param name="capacity">Never more than this many bytes.</param>
/// <param name="evictOne">Deletes one content and releases its bytes; false when there is none that may go.</param>
internal sealed class CacheSpace(long capacity, Func<bool> evictOne)
{
    // Apart from the cache's own lock, so that only those who need room wait while files are deleted.
    private readonly Lock _eviction = new();
    private long _used;

    public long Capacity => capacity;

    public long Used => Volatile.Read(ref _used);

    /// <summary>Takes room, evicting when it must; false when there is none.</summary>
    public bool TryReserve(long bytes)
    {
        if (TryTake(bytes))
        {
            return true;
        }

        if (bytes > capacity)
        {
            return false;
        }

        lock (_eviction)
        {
            while (!TryTake(bytes))
            {
                if (!evictOne())
                {
                    return false;
                }
            }
        }

        return true;
    }

    /// <summary>Makes room for what the disk itself refused although it was within the capacity; false when nothing may go.</summary>
    public bool TryEvict()
    {
        lock (_eviction)
        {
            return evictOne();
        }
    }

    /// <summary>Brings the use back under the capacity, as far as it goes.</summary>
    public void Shrink()
    {
        lock (_eviction)
        {
            while (Used > capacity && evictOne())
            {
            }
        }
    }

    /// <summary>Counts bytes that are there already.</summary>
    public void Count(long bytes) => Interlocked.Add(ref _used, bytes);

    public void Release(long bytes) => Interlocked.Add(ref _used, -bytes);

    private bool TryTake(long bytes)
    {
        for (var used = Used; used + bytes <= capacity;)
        {
            var seen = Interlocked.CompareExchange(ref _used, used + bytes, used);
            if (seen == used)
            {
                return true;
            }

            used = seen;
        }

        return false;
    }
}
