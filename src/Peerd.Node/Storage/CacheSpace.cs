namespace Peerd.Node.Storage;

/// <summary>Counts the bytes that the cache takes on disk and has others evicted when it needs room. Thread-safe.</summary>
/// <param name="capacity">Never more than this many bytes.</param>
/// <param name="evictOne">Deletes one content, releases its bytes and tells how many they were; 0 when there is none that may go.</param>
internal sealed class CacheSpace(long capacity, Func<long> evictOne)
{
    // A full disk is given this much air, or less when the cache is small: with every few bytes that go, the next
    // write would only fail again.
    private const long LargestReserve = 16L << 20;
    private const int ReserveShare = 8;

    // Apart from the cache's own lock, so that only those who need room wait while files are deleted.
    private readonly Lock _eviction = new();
    private long _used;
    private int _rounds;

    public long Capacity => capacity;

    public long Used => Volatile.Read(ref _used);

    /// <summary>How often room was made on a full disk.</summary>
    public int Rounds => Volatile.Read(ref _rounds);

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
                if (evictOne() == 0)
                {
                    return false;
                }
            }
        }

        return true;
    }

    /// <summary>
    /// Makes room for what the disk itself refused although it was within the capacity, and for some more; false when
    /// nothing may go.
    /// </summary>
    /// <param name="bytes">What was refused.</param>
    /// <param name="rounds"><see cref="Rounds"/> before it was tried: of many whom the disk refuses at one time, the first makes room for all.</param>
    public bool TryMakeRoom(long bytes, int rounds)
    {
        lock (_eviction)
        {
            if (_rounds != rounds)
            {
                return true;
            }

            var wanted = Math.Max(bytes, Math.Min(LargestReserve, Used / ReserveShare));
            var freed = 0L;
            while (freed < wanted && evictOne() is > 0 and var evicted)
            {
                freed += evicted;
            }

            if (freed == 0)
            {
                return false;
            }

            Volatile.Write(ref _rounds, rounds + 1);
            return true;
        }
    }

    /// <summary>Brings the use back under the capacity, as far as it goes.</summary>
    public void Shrink()
    {
        lock (_eviction)
        {
            while (Used > capacity && evictOne() > 0)
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
