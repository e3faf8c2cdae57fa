using System.Diagnostics.CodeAnalysis;
using Peerd.Contracts;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Storage;

/// <summary>
/// Contents on this node's disk, whole or in part: bounded in bytes, least recently used contents go first, contents
/// in use never. Survives restarts and kill -9. Thread-safe.
/// </summary>
internal sealed class PieceCache : IDisposable
{
    /// <summary>Larger contents are refused.</summary>
    public const long MaxContentSize = 1L << 40;

    // So many contents without a lease keep their files open, for the next reader.
    private const int MaxIdleOpen = 64;

    // What tables of incomplete contents without a lease may take: this, and so much of the capacity that a seventh of each may be here.
    private const long LeastIdleTables = 64 << 20;
    private const int CapacityPerTableByte = 4096;

    private readonly Lock _lock = new();
    private readonly Dictionary<Digest, CachedContent> _contents = [];
    private readonly LinkedList<CachedContent> _unpinned = new();
    private readonly LinkedList<CachedContent> _idleOpen = new();
    private readonly CacheParts _parts;
    private readonly CacheLocks _locks;
    private long _idleTables;
    private long _evictions;
    private bool _isDisposed;

    private PieceCache(CacheOptions options, CacheLocks locks, TimeProvider time, ILogger log, IntegrityFailures? failures)
    {
        _locks = locks;
        _parts = new CacheParts(
            new CacheDirectory(options.Directory, locks, log),
            new CacheSpace(options.CapacityBytes, EvictOne),
            new DiskHealth(time, log),
            new FrameMemory(options.MemoryBytes),
            Changes,
            time,
            log,
            Reads,
            failures,
            OnShrunk);
    }

    /// <summary>Digests whose availability changed since they were last drained; read by one consumer.</summary>
    public ContentChanges Changes { get; } = new();

    /// <summary>What was read of contents, from here and from another's files.</summary>
    public ReadCounts Reads { get; } = new();

    /// <summary>How many contents are read from another's files, all of it or in part.</summary>
    public int ExternalContents
    {
        get
        {
            lock (_lock)
            {
                return _contents.Values.Count(content => content.IsExternal);
            }
        }
    }

    public long UsedBytes => _parts.Space.Used;

    public long CapacityBytes => _parts.Space.Capacity;

    /// <summary>How many bytes of frames may stay in memory, over all contents.</summary>
    public long MemoryBudget => _parts.Memory.Budget;

    /// <summary>How many bytes frames in memory take now.</summary>
    public long MemoryBytes => _parts.Memory.Used;

    /// <summary>
    /// Bytes of memory that the tables of incomplete contents take which nobody has open, roughly: in proportion to their sizes, which others
    /// may have made up.
    /// </summary>
    public long IdleTables
    {
        get
        {
            lock (_lock)
            {
                return _idleTables;
            }
        }
    }

    /// <summary>How much that may be: beyond it those go that have the least on disk for it.</summary>
    public long MostIdleTables => LeastIdleTables + (CapacityBytes / CapacityPerTableByte);

    /// <summary>False when the directory cannot be written to: frames then stay in bounded memory.</summary>
    public bool IsWritable => _parts.Disk.IsWritable && !IsReleased;

    /// <summary>The directory is another process's now: what is there is read, what is new stays in bounded memory.</summary>
    public bool IsReleased => _parts.Directory.IsReleased;

    /// <summary>How many contents were evicted so far.</summary>
    public long Evictions => Volatile.Read(ref _evictions);

    /// <summary>All contents that hold something now.</summary>
    public IReadOnlyCollection<Digest> Digests
    {
        get
        {
            lock (_lock)
            {
                return [.. _contents.Values.Where(content => content.HoldsSomething).Select(content => content.Digest)];
            }
        }
    }

    /// <summary>
    /// Opens the cache with all that its directory has; creates the directory when it is missing. A directory that
    /// cannot be made or written to is no error: see <see cref="IsWritable"/>.
    /// </summary>
    /// <exception cref="CacheInUseException">Another process has the directory.</exception>
    public static PieceCache Open(CacheOptions options, TimeProvider time, ILogger<PieceCache> log, CacheLocks? locks = null, IntegrityFailures? failures = null)
    {
        var cache = new PieceCache(options, locks ?? new CacheLocks(options.Directory), time, log, failures);
        try
        {
            cache._parts.Directory.MakeWritable();
        }
        catch (Exception exception) when (exception is not CacheInUseException and (IOException or UnauthorizedAccessException))
        {
            cache._parts.Disk.Failed(exception);
        }

        cache.Load();
        Log.Opened(log, options.Directory, cache._contents.Count, cache.UsedBytes, cache.CapacityBytes);
        return cache;
    }

    /// <summary>
    /// The content if something is known of it here, pinned until the lease is disposed. Touches the content: it
    /// becomes the most recently used.
    /// </summary>
    public bool TryOpen(Digest digest, [NotNullWhen(true)] out ContentLease? lease) => TryOpen(digest, mayBeEmpty: false, out lease);

    /// <summary>The same, also when nothing of the content is here yet: others have it open and are about to write it.</summary>
    public bool TryJoin(Digest digest, [NotNullWhen(true)] out ContentLease? lease) => TryOpen(digest, mayBeEmpty: true, out lease);

    /// <summary>
    /// The content if something is known of it here, neither pinned nor touched: for its facts, not for its bytes.
    /// </summary>
    public bool TryPeek(Digest digest, [NotNullWhen(true)] out CachedContent? content)
    {
        lock (_lock)
        {
            return _contents.TryGetValue(digest, out content) && content.HoldsSomething;
        }
    }

    /// <summary>The content, created empty if unknown, pinned until the lease is disposed.</summary>
    /// <exception cref="InvalidDataException">
    /// The content is known here with another size (remove it first if the new one is right), or the size is impossible.
    /// </exception>
    public ContentLease Open(Digest digest, long size, string? mediaType)
    {
        if (digest.IsEmpty)
        {
            throw new ArgumentException("a content has a digest", nameof(digest));
        }

        if (size is < 0 or > MaxContentSize)
        {
            throw new InvalidDataException($"{digest} cannot have {size} bytes; a content has 0 to {MaxContentSize}");
        }

        ContentLease lease;
        lock (_lock)
        {
            if (!_contents.TryGetValue(digest, out var content))
            {
                content = new CachedContent(_parts, digest, size, mediaType);
                List(content);
            }
            else if (content.Size != size)
            {
                throw new InvalidDataException($"{digest} has {content.Size} bytes here, not {size}");
            }

            lease = Pin(content);
        }

        lease.Content.Touch();
        lease.Content.MediaType = mediaType;
        return lease;
    }

    /// <summary>Forgets the content and its bytes. Readers that have it open get <see cref="FrameLostException"/>.</summary>
    public void Remove(Digest digest)
    {
        CachedContent? content;
        lock (_lock)
        {
            if (!_contents.TryGetValue(digest, out content))
            {
                return;
            }

            Unlist(content);
        }

        Discard(content);
    }

    /// <summary>The content is also elsewhere on this node: when room is needed, it goes before others, until it is opened again without being elsewhere any more.</summary>
    public void MarkExpendable(Digest digest)
    {
        lock (_lock)
        {
            if (_contents.TryGetValue(digest, out var content))
            {
                content.Entry.IsExpendable = true;
                if (content.Entry.Unpinned is { List: not null } node)
                {
                    _unpinned.Remove(node);
                    _unpinned.AddFirst(node);
                }
            }
        }
    }

    /// <summary>Deletes the content as if room were needed; one that is read from another's file takes none. False while somebody has it open.</summary>
    public bool TryEvict(Digest digest)
    {
        CachedContent? content;
        lock (_lock)
        {
            if (!_contents.TryGetValue(digest, out content) || content.IsExternal)
            {
                return true;
            }

            if (content.Entry.Pins > 0)
            {
                return false;
            }

            Unlist(content);
        }

        Evicted(content, content.DiskBytes);
        return true;
    }

    /// <summary>
    /// Another's file on this node has the whole content: it is served from there, takes no room here, and what the cache
    /// has of it goes before all others.
    /// </summary>
    /// <returns>False when it is being fetched at the moment or has another size here: try again later.</returns>
    public bool TryAttach(Digest digest, ExternalBytes file, string? mediaType)
    {
        CachedContent? content;
        lock (_lock)
        {
            if (!_contents.TryGetValue(digest, out content))
            {
                content = new CachedContent(_parts, digest, file.Size, mediaType);
                List(content);
                content.Attach(file);
                return true;
            }

            if (content.Size != file.Size || (content.Entry.Pins > 0 && !content.IsVerified))
            {
                return false;
            }

            content.Attach(file);
            _idleTables -= content.Entry.Tables;
            content.Entry.Tables = 0;
        }

        MarkExpendable(digest);
        content.MediaType = mediaType;
        return true;
    }

    /// <summary>The other's file is gone or wrong: what the cache itself has of the content serves on.</summary>
    public void Detach(Digest digest, ExternalBytes file)
    {
        CachedContent? content;
        lock (_lock)
        {
            _contents.TryGetValue(digest, out content);
        }

        content?.Detach(file);
    }

    /// <summary>Changes another file of the directory, which a release of it waits for. False: nothing is changed, it is another process's now.</summary>
    public bool TryChange(Action change)
    {
        using var counted = _parts.Directory.BeginChange();
        if (!counted.IsAllowed)
        {
            return false;
        }

        change();
        return true;
    }

    /// <summary>
    /// Lets another process have the directory. This one reads on what it knows to be there, until it is disposed, and
    /// keeps what is new in memory.
    /// </summary>
    /// <exception cref="OperationCanceledException">The disk did not finish a change in time; nothing has changed.</exception>
    public Task ReleaseAsync(CancellationToken cancellationToken) => _parts.Directory.ReleaseAsync(cancellationToken);

    /// <summary>Writes to the directory again after it was released. What the other process has added is found at the next start.</summary>
    /// <returns>False when another process has it.</returns>
    public bool TryTakeBack() => _parts.Directory.TryTakeBack();

    /// <summary>Closes all files and unlocks the directory. Contents that are still open stay readable.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _isDisposed = true;
            foreach (var content in _unpinned)
            {
                content.Close();
            }

            _idleOpen.Clear();
        }

        _locks.Dispose();
    }

    private bool TryOpen(Digest digest, bool mayBeEmpty, [NotNullWhen(true)] out ContentLease? lease)
    {
        lock (_lock)
        {
            if (!_contents.TryGetValue(digest, out var content) || !(mayBeEmpty || content.HoldsSomething))
            {
                lease = null;
                return false;
            }

            lease = Pin(content);
        }

        lease.Content.Touch();
        return true;
    }

    private void Load()
    {
        // Twice what tables may take, so that of some more those with the least on disk go, and only of many more the oldest.
        foreach (var loaded in _parts.Directory.Load(CapacityBytes, 2 * MostIdleTables, CountEvicted))
        {
            var content = new CachedContent(_parts, loaded);
            _parts.Space.Count(content.DiskBytes);
            List(content);
            content.Entry.Unpinned = new LinkedListNode<CachedContent>(content);
            _unpinned.AddLast(content.Entry.Unpinned);
            CountTables(content);
            Changes.Add(content.Digest);
        }

        ShrinkTables();

        _parts.Space.Shrink();

        void CountEvicted(LoadedContent content)
        {
            Log.Evicted(_parts.Log, content.Header.Digest.ToString(), content.DiskBytes);
            _evictions++;
        }
    }

    private void List(CachedContent content)
    {
        content.Entry.IsListed = true;
        _contents.Add(content.Digest, content);
    }

    private void Unlist(CachedContent content)
    {
        content.Entry.IsListed = false;
        _contents.Remove(content.Digest);
        RemoveUnpinned(content);
        RemoveFrom(_idleOpen, content.Entry.Open);
    }

    private ContentLease Pin(CachedContent content)
    {
        content.Entry.Pins++;
        content.Entry.IsExpendable &= content.IsExternal;
        RemoveUnpinned(content);
        RemoveFrom(_idleOpen, content.Entry.Open);
        return new ContentLease(content, Release);
    }

    private void Release(CachedContent content)
    {
        if (IsKept(content))
        {
            ShrinkTables();
        }
        else
        {
            Discard(content);
        }
    }

    // One lease less. False: the content is not listed any more, and nobody has it open.
    private bool IsKept(CachedContent content)
    {
        lock (_lock)
        {
            var entry = content.Entry;
            if (--entry.Pins > 0)
            {
                return true;
            }

            content.CloseExternal();

            if (entry.IsListed && content.HoldsSomething)
            {
                Unpin(content);
                return true;
            }

            if (entry.IsListed)
            {
                Unlist(content);
            }
        }

        return false;
    }

    // A size costs nothing to tell, and what is kept by it stays as long as a single piece does: whatever has the least for it goes.
    private void ShrinkTables()
    {
        while (true)
        {
            CachedContent? victim;
            lock (_lock)
            {
                victim = _idleTables <= MostIdleTables ? null : _unpinned.Where(content => content.Entry.Tables > 0).MaxBy(content => content.Entry.Tables / (content.DiskBytes + 1.0));
                if (victim is null)
                {
                    return;
                }

                Unlist(victim);
            }

            Evicted(victim, victim.DiskBytes);
        }
    }

    // Of a content that is whole they are in proportion to what is on disk.
    private void CountTables(CachedContent content)
    {
        content.Entry.Tables = content.IsVerified || content.IsExternal ? 0 : content.TableBytes;
        _idleTables += content.Entry.Tables;
    }

    private void RemoveUnpinned(CachedContent content)
    {
        RemoveFrom(_unpinned, content.Entry.Unpinned);
        _idleTables -= content.Entry.Tables;
        content.Entry.Tables = 0;
    }

    private void Unpin(CachedContent content)
    {
        var entry = content.Entry;
        entry.Unpinned ??= new LinkedListNode<CachedContent>(content);
        if (entry.IsExpendable)
        {
            _unpinned.AddFirst(entry.Unpinned);
        }
        else
        {
            _unpinned.AddLast(entry.Unpinned);
        }

        CountTables(content);
        if (_isDisposed)
        {
            content.Close();
            return;
        }

        entry.Open ??= new LinkedListNode<CachedContent>(content);
        _idleOpen.AddLast(entry.Open);
        if (_idleOpen.Count > MaxIdleOpen)
        {
            // Under the lock, so that nobody opens the content meanwhile; closing a file that has a name is quick.
            var oldest = _idleOpen.First!.Value;
            _idleOpen.RemoveFirst();
            oldest.Close();
        }
    }

    // How many bytes it had; 0 when none may go.
    private long EvictOne()
    {
        CachedContent? victim;
        bool isElsewhere;
        lock (_lock)
        {
            victim = _unpinned.FirstOrDefault(content => content.DiskBytes > 0);
            if (victim is null)
            {
                return 0;
            }

            isElsewhere = victim.IsExternal;
            if (!isElsewhere)
            {
                Unlist(victim);
            }
        }

        var bytes = victim.DiskBytes;
        if (isElsewhere)
        {
            // Readers go on with the other's file.
            victim.ReleaseOwnFrames();
            Interlocked.Increment(ref _evictions);

            // Nothing, when the other's file has gone just now: it is a victim like others then.
            var released = bytes - victim.DiskBytes;
            return released > 0 ? released : EvictOne();
        }

        Evicted(victim, bytes);
        return bytes;
    }

    private void Evicted(CachedContent victim, long bytes)
    {
        Log.Evicted(_parts.Log, victim.Digest.ToString(), bytes);
        Interlocked.Increment(ref _evictions);
        Discard(victim);
    }

    private void OnShrunk(CachedContent content)
    {
        lock (_lock)
        {
            if (content.Entry.Pins > 0 || !content.Entry.IsListed)
            {
                return;
            }

            if (content.HoldsSomething)
            {
                // It may have opened its index to note the loss.
                RemoveFrom(_idleOpen, content.Entry.Open);
                content.Close();
                return;
            }

            Unlist(content);
        }

        Discard(content);
    }

    // The content is not listed any more: deletes its files, and closes them when nobody has them open.
    private void Discard(CachedContent content)
    {
        content.Delete();
        bool isUnused;
        lock (_lock)
        {
            isUnused = content.Entry.Pins == 0;
        }

        if (isUnused)
        {
            content.Close();
        }
    }

    private static void RemoveFrom(LinkedList<CachedContent> list, LinkedListNode<CachedContent>? node)
    {
        if (node?.List == list)
        {
            list.Remove(node);
        }
    }
}
