using System.Buffers;
using Peerd.Contracts;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Storage;

/// <summary>
/// One content of the cache. Frames are written in any order by any thread, each as soon as its checksum was checked,
/// and can be read at once. A piece is available when all its frames are. Thread-safe; use it only while a lease on it
/// is held.
/// </summary>
/// <remarks>
/// A frame is claimed under the lock, its bytes are written without it, and then it is published under the lock.
/// Reading takes no lock: states are published after the bytes, and a reader that was overtaken by a drop sees that
/// <c>_drops</c> has moved and reads again. Order of locks: cache, content, memory.
/// </remarks>
internal sealed class CachedContent
{
    // An object, not a Lock: writers wait on it for doomed frames.
    private readonly object _gate = new();
    private readonly CacheParts _parts;
    private readonly ContentDisk _disk;
    private readonly FrameStates _states;
    private readonly ulong[] _checksums;
    private readonly PieceSet _pieces;
    private readonly FrameWaiters _waiters = new();
    private readonly Dictionary<int, MemoryFrame> _inMemory = [];

    private ExternalBytes? _external;
    private string? _mediaType;
    private IReadOnlyList<int> _startupOrder = [];
    private IReadOnlyList<int> _ownStartupOrder = [];
    private volatile bool _isVerified;
    private bool _isRemoved;
    private volatile bool _keepsInMemory;
    private int _losses;
    private int _drops;
    private int _resets;

    /// <summary>A content of which nothing is here.</summary>
    public CachedContent(CacheParts parts, Digest digest, long size, string? mediaType)
        : this(parts, new IndexHeader(digest, size, mediaType, IsVerified: false), parts.Directory.NextNumber(), exist: false, new ulong[new ContentLayout(size).FrameCount])
    {
    }

    /// <summary>A content that was found on disk.</summary>
    public CachedContent(CacheParts parts, LoadedContent loaded)
        : this(parts, loaded.Header, loaded.Number, exist: true, loaded.Checksums)
    {
        foreach (var (first, count) in loaded.Pieces.Runs())
        {
            _pieces.AddRun(first, count);
            for (var frame = Layout.FirstFrameOf(first); frame < Math.Min(Layout.FrameCount, Layout.FirstFrameOf(first + count)); frame++)
            {
                _states[frame] = FrameState.Unchecked;
            }
        }

        _isVerified = loaded.Header.IsVerified && _pieces.IsFull;
        _disk.Found(loaded);
    }

    private CachedContent(CacheParts parts, IndexHeader header, long number, bool exist, ulong[] checksums)
    {
        _parts = parts;
        Digest = header.Digest;
        Layout = new ContentLayout(header.Size);
        _mediaType = ContentMediaType.Of(header.MediaType);
        _disk = new ContentDisk(parts, Digest, Layout, new ContentFiles(parts.Directory, Digest, Layout, number, exist), _gate, () => Header, () => ForgetFrames(keepMemory: true));
        _states = new FrameStates(Layout);
        _checksums = checksums;
        _pieces = new PieceSet(Layout.PieceCount);
    }

    public Digest Digest { get; }

    public ContentLayout Layout { get; }

    public long Size => Layout.Size;

    /// <summary>
    /// Media type as the origin told it, to this node or another (<see cref="ContentMediaType"/>); null when unknown. The first usable one
    /// that is told stays.
    /// </summary>
    public string? MediaType
    {
        get => Volatile.Read(ref _mediaType);
        set
        {
            if (MediaType is not null || ContentMediaType.Of(value) is not { } told)
            {
                return;
            }

            lock (_gate)
            {
                if (_mediaType is not null || _isRemoved)
                {
                    return;
                }

                Volatile.Write(ref _mediaType, told);
                _disk.WriteHeader();
            }
        }
    }

    /// <summary>
    /// Pieces in the order in which a container needed them first, as this node or another has seen it; empty when nobody
    /// has. Lost with a restart.
    /// </summary>
    public IReadOnlyList<int> StartupOrder => Volatile.Read(ref _startupOrder);

    /// <summary>What of it was seen here and others are told; empty when nobody needs to hear of it.</summary>
    public IReadOnlyList<int> OwnStartupOrder => Volatile.Read(ref _ownStartupOrder);

    /// <summary>The order in which a container needs the pieces has become known, or more of it.</summary>
    public void Ordered(IReadOnlyList<int> pieces, bool isSeenHere)
    {
        if (pieces.Count > StartupOrder.Count)
        {
            Volatile.Write(ref _startupOrder, pieces);
        }

        if (isSeenHere)
        {
            Volatile.Write(ref _ownStartupOrder, pieces);
            _parts.Changes.Add(Digest);
        }
    }

    /// <summary>All pieces are here and the whole was found to match the digest (in this process or before a restart).</summary>
    public bool IsVerified => _isVerified;

    /// <summary>
    /// Frames that are written now go to memory, of which there is little (<see cref="PieceCache.MemoryBudget"/>):
    /// whoever fetches ahead should not get far ahead of the reader.
    /// </summary>
    public bool KeepsInMemory => _keepsInMemory || !_parts.Disk.IsWritable || _parts.Directory.IsReleased;

    /// <summary>How often in this process pieces were lost that had been available.</summary>
    public int Losses => Volatile.Read(ref _losses);

    /// <summary>There is something that may be worth keeping.</summary>
    public bool HoldsSomething => _states.Held > 0 || (Size == 0 && _isVerified);

    /// <summary>What it takes of the cache's capacity.</summary>
    public long DiskBytes => _disk.Bytes;

    /// <summary>What its checksums, states and set of pieces take of memory: by its size, however little of it is here.</summary>
    public long TableBytes => TableBytesOf(Layout);

    /// <summary>The same of any content with this layout.</summary>
    public static long TableBytesOf(ContentLayout layout) => ((long)(sizeof(ulong) + sizeof(byte)) * layout.FrameCount) + (layout.PieceCount / 8);

    /// <summary>Place in the cache's order of use; the cache's lock protects it.</summary>
    public CacheEntry Entry { get; } = new();

    // Of a content that is whole only with another's file, our own frames say nothing.
    private IndexHeader Header => new(Digest, Size, _mediaType, _external is null ? _isVerified : _disk.IsVerified);

    /// <summary>A copy of the set of available pieces.</summary>
    public PieceSet SnapshotPieces()
    {
        lock (_gate)
        {
            return _pieces.Clone();
        }
    }

    public bool HasPiece(int piece)
    {
        lock (_gate)
        {
            return _pieces.Contains(piece);
        }
    }

    /// <summary>Frames that are not in our files are read from another's file.</summary>
    public bool IsExternal => Volatile.Read(ref _external) is not null;

    /// <summary>What <see cref="PrepareAsync"/> has prepared may be gone again soon.</summary>
    public bool NeedsPreparation => Volatile.Read(ref _external) is { NeedsPreparation: true };

    /// <summary>A peer says that this node gave it wrong bytes: another's file is compared with the digest again.</summary>
    public void DoubtExternal() => Volatile.Read(ref _external)?.Doubt();

    public bool HasFrame(int frame) => _states.Has(frame);

    /// <summary>The first byte of the first frame that is not here, from a byte on where one begins; <paramref name="end"/> when none is missing before.</summary>
    public long FirstMissing(long start, long end)
    {
        while (start < end && HasFrame(Layout.FrameAt(start)))
        {
            start = Layout.Frame(Layout.FrameAt(start)).End;
        }

        return start;
    }

    /// <summary>Checksum of a frame that is here.</summary>
    /// <exception cref="FrameLostException">It is not here.</exception>
    public ulong ChecksumOf(int frame)
    {
        if (_states.Is(frame, FrameState.External))
        {
            return ChecksumOfExternal(frame);
        }

        lock (_gate)
        {
            return HasFrame(frame) ? _checksums[frame] : throw new FrameLostException(frame, "it is not in the cache");
        }
    }

    /// <summary>
    /// Stores one frame, which the caller has checked against <paramref name="checksum"/>. Idempotent: a frame that is
    /// here already is not written again. Never throws for a full or broken disk: the frame then stays in memory.
    /// The data is not used after the call returns. Without effect once the content was removed from the cache.
    /// </summary>
    public void WriteFrame(int frame, ReadOnlySpan<byte> data, ulong checksum) => WriteFrame(frame, data, checksum, resets: null);

    /// <summary>The same, unless everything was dropped since <see cref="Resets"/> had this value: then false, and nothing is stored.</summary>
    public bool TryWriteFrame(int frame, ReadOnlySpan<byte> data, ulong checksum, int resets) => WriteFrame(frame, data, checksum, resets);

    private bool WriteFrame(int frame, ReadOnlySpan<byte> data, ulong checksum, int? resets)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)frame, (uint)_states.Count, nameof(frame));
        var range = Layout.Frame(frame);
        if (data.Length != range.Length)
        {
            throw new ArgumentException($"frame {frame} has {range.Length} bytes, not {data.Length}", nameof(data));
        }

        lock (_gate)
        {
            while (_states[frame] == FrameState.Doomed)
            {
                Monitor.Wait(_gate);
            }

            if (resets is { } expected && _resets != expected)
            {
                return false;
            }

            if (_isRemoved || _states[frame] != FrameState.Absent)
            {
                return true;
            }

            _checksums[frame] = checksum;
            _states[frame] = FrameState.Writing;
        }

        var reserved = 0L;
        MemoryFrame? kept = null;
        try
        {
            reserved = _disk.Write(range, data);
            _keepsInMemory = reserved == 0;
            kept = reserved == 0 ? _parts.Memory.Add(this, frame, data) : null;
        }
        finally
        {
            Publish(frame, reserved, kept);
        }

        return true;
    }

    /// <summary>
    /// Completes when the frame is here: at once, or when it is written. Throws <see cref="OperationCanceledException"/>
    /// when cancelled, <see cref="FrameLostException"/> when the content was removed from the cache. Waiting does not
    /// make anybody fetch the frame.
    /// </summary>
    public ValueTask WaitForFrameAsync(int frame, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)frame, (uint)_states.Count, nameof(frame));
        return HasFrame(frame) ? ValueTask.CompletedTask : new ValueTask(WaitAsync(frame, cancellationToken));
    }

    /// <summary>
    /// Fills the buffer with the bytes at <paramref name="offset"/>; all frames that the range touches must be here.
    /// A frame that was loaded from disk after a restart is checked against its checksum on the first read; when it
    /// does not match, the piece is dropped.
    /// </summary>
    /// <exception cref="FrameLostException">A frame of the range is not (or no longer) here, or does not read.</exception>
    public void Read(long offset, Span<byte> buffer)
    {
        if (offset < 0 || offset > Size - buffer.Length)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), $"bytes {offset} to {offset + buffer.Length} are not within the {Size} bytes of the content");
        }

        while (buffer.Length > 0)
        {
            var frame = Layout.FrameAt(offset);
            var drops = Volatile.Read(ref _drops);
            var state = _states[frame];
            var read = state switch
            {
                FrameState.OnDisk => ReadFromDisk(frame, offset, buffer, drops),
                FrameState.Unchecked => CheckFrame(frame, drops),
                FrameState.InMemory => ReadFromMemory(frame, offset, buffer),
                FrameState.External => ReadExternal(frame, offset, buffer),
                _ => throw new FrameLostException(frame, "it is not in the cache"),
            };
            offset += read;
            buffer = buffer[read..];
            _parts.Reads.Add(read, isExternal: state == FrameState.External);
        }
    }

    /// <summary>Another program's store has the frame, not the cache.</summary>
    public bool IsFrameExternal(int frame) => _states[frame] == FrameState.External;

    /// <summary>
    /// Sees to it that <see cref="Read"/> can read these bytes, whose frames are here. At once, unless another program
    /// has to be asked for them; they may then be gone again when they are read, and are to be asked for again.
    /// </summary>
    public ValueTask PrepareAsync(long offset, long length, CancellationToken cancellationToken)
    {
        if (Volatile.Read(ref _external) is not { NeedsPreparation: true } external)
        {
            return ValueTask.CompletedTask;
        }

        for (var at = offset; at < offset + length; at = Layout.Frame(Layout.FrameAt(at)).End)
        {
            if (_states[Layout.FrameAt(at)] == FrameState.External)
            {
                return external.PrepareAsync(at, offset + length - at, cancellationToken);
            }
        }

        return ValueTask.CompletedTask;
    }

    /// <summary>Checks a frame that was loaded from disk after a restart and has not been read since; others are left alone.</summary>
    /// <exception cref="FrameLostException">The frame is not here, or it did not match and its piece was dropped.</exception>
    public void EnsureChecked(int frame)
    {
        if (_states[frame] == FrameState.Unchecked)
        {
            CheckFrame(frame, Volatile.Read(ref _drops));
        }
    }

    /// <summary>Records that the whole content matched its digest; kept over restarts. Without effect when a piece is missing (again).</summary>
    public void MarkVerified()
    {
        var reserved = _disk.ReserveForEmpty();
        lock (_gate)
        {
            if (!_isRemoved && !_isVerified && _pieces.IsFull)
            {
                _isVerified = true;
                reserved = _disk.MarkVerified(reserved);
            }
        }

        _parts.Space.Release(reserved);
        _parts.Changes.Add(Digest);
    }

    /// <summary>Drops a piece, for example because another reader found it corrupt.</summary>
    public void DropPiece(int piece)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)piece, (uint)Layout.PieceCount, nameof(piece));
        ExternalBytes? external = null;
        lock (_gate)
        {
            if (!_isRemoved)
            {
                external = IsFromExternal(piece) ? _external : null;
                external?.Distrust();
                DropLocked(piece);
                if (external is null)
                {
                    RefillFromExternal();
                }
            }
        }

        _parts.Changes.Add(Digest);
        if (external is not null)
        {
            Detach(external);
        }
    }

    /// <summary>How often everything was dropped because it may be wrong: what was read before such a moment may be, too, and what is written next may be other bytes.</summary>
    public int Resets => Volatile.Read(ref _resets);

    /// <summary>Drops everything: the whole did not match its digest. The content starts again empty.</summary>
    public void DropAll()
    {
        lock (_gate)
        {
            if (!_isRemoved)
            {
                Interlocked.Increment(ref _resets);
                ForgetFrames(keepMemory: false);
                _external?.Distrust();
                LeaveExternal();
                _disk.Clear();
            }
        }

        _parts.Changes.Add(Digest);
    }

    /// <summary>
    /// From now on, what is not in our files is read from this one, which has the whole content. Frames of ours that
    /// were not verified as a whole are given up. Nobody may have an unverified content open meanwhile.
    /// </summary>
    public void Attach(ExternalBytes file)
    {
        lock (_gate)
        {
            if (_isRemoved || _external is not null)
            {
                return;
            }

            if (!_isVerified)
            {
                DropOwnFrames();
            }

            Volatile.Write(ref _external, file);
            FillFromExternal();
        }

        _parts.Changes.Add(Digest);
    }

    /// <summary>The other's file is gone or wrong: what is not in our own files is lost.</summary>
    /// <returns>False when it was detached before.</returns>
    public bool Detach(ExternalBytes file)
    {
        lock (_gate)
        {
            if (_external != file)
            {
                return false;
            }

            for (var frame = 0; frame < _states.Count; frame++)
            {
                if (_states[frame] == FrameState.External)
                {
                    _states[frame] = FrameState.Absent;
                    _pieces.Remove(Layout.PieceAt(Layout.Frame(frame).Offset));
                    CountLoss();
                    _isVerified = false;
                }
            }

            if (Size == 0)
            {
                CountLoss();
            }

            _isVerified &= Size > 0 || _disk.IsVerified;
            Interlocked.Increment(ref _drops);
            LeaveExternal();
        }

        _parts.Changes.Add(Digest);
        _parts.OnShrunk(this);
        return true;
    }

    /// <summary>Gives the room of our own frames back; all is read from the other's file then. Without effect when there is none.</summary>
    public void ReleaseOwnFrames()
    {
        lock (_gate)
        {
            if (_external is not null && !_isRemoved)
            {
                DropOwnFrames();
                FillFromExternal();
            }
        }
    }

    /// <summary>Nobody reads any more: whether the other's file still exists is seen when it is opened again.</summary>
    public void CloseExternal()
    {
        lock (_gate)
        {
            _external?.Close();
        }
    }

    /// <summary>Forgets everything for good and deletes the files. The cache does not list the content any more.</summary>
    public void Delete()
    {
        lock (_gate)
        {
            if (_isRemoved)
            {
                return;
            }

            _isRemoved = true;
            ForgetFrames(keepMemory: false);
            LeaveExternal();
            _disk.Remove();
            _waiters.FailAll("the content was removed from the cache");
        }

        _parts.Changes.Add(Digest);
    }

    /// <summary>
    /// Notes the use of the content, now and then also on disk, so that a restart knows the order. Its frames are doubted as by
    /// <see cref="DoubtIfWritten"/>.
    /// </summary>
    public void Touch()
    {
        DoubtIfWritten();
        _disk.Touch();
    }

    /// <summary>Frames of a complete content are checked once more if somebody has written to its file since: it was none of us.</summary>
    public void DoubtIfWritten()
    {
        if (_isVerified && _disk.WrittenSince is { } written)
        {
            lock (_gate)
            {
                _disk.MarkSeen(written);
                _states.DoubtDisk();
            }
        }
    }

    /// <summary>Closes the files; nobody has the content open.</summary>
    public void Close()
    {
        _disk.SaveUse();
        lock (_gate)
        {
            _external?.Close();
            _disk.Close();
        }
    }

    /// <summary>The memory was needed for other frames. Called without locks held.</summary>
    public void OnEvictedFromMemory(MemoryFrame evicted)
    {
        lock (_gate)
        {
            if (!_inMemory.TryGetValue(evicted.Frame, out var current) || current != evicted)
            {
                return;
            }

            _inMemory.Remove(evicted.Frame);
            _states[evicted.Frame] = FrameState.Absent;
            LosePiece(Layout.PieceAt(Layout.Frame(evicted.Frame).Offset));
        }

        _parts.Changes.Add(Digest);
        _parts.OnShrunk(this);
    }

    private void Publish(int frame, long reserved, MemoryFrame? kept)
    {
        var piece = Layout.PieceAt(Layout.Frame(frame).Offset);
        bool isNews;
        lock (_gate)
        {
            if (_isRemoved || _states[frame] == FrameState.Doomed)
            {
                _states[frame] = FrameState.Absent;
                Monitor.PulseAll(_gate);
                _disk.Undo(Layout.Frame(frame), reserved);
                if (kept is not null)
                {
                    _parts.Memory.Remove(kept);
                }

                return;
            }

            if (reserved > 0)
            {
                _disk.Keep(Layout.Frame(frame), reserved);
                _states[frame] = FrameState.OnDisk;
            }
            else if (kept is not null && !_parts.Memory.IsGone(kept))
            {
                _inMemory.Add(frame, kept);
                _states[frame] = FrameState.InMemory;
            }
            else
            {
                _states[frame] = FrameState.Absent;
                return;
            }

            // The first frame is one, too: whoever holds anything must hear when it is found wrong.
            isNews = CompletePiece(piece) || _states.Held == 1;
            _waiters.Complete(frame);
        }

        if (isNews)
        {
            _parts.Changes.Add(Digest);
        }
    }

    private bool CompletePiece(int piece)
    {
        var first = Layout.FirstFrameOf(piece);
        var count = Layout.FramesIn(piece);
        var areOnDisk = true;
        for (var frame = first; frame < first + count; frame++)
        {
            if (!_states.Has(frame))
            {
                return false;
            }

            areOnDisk &= _states[frame] != FrameState.InMemory;
        }

        _pieces.Add(piece);
        if (areOnDisk)
        {
            _disk.WriteRecord(piece, _checksums.AsSpan(first, count), _isVerified);
        }

        return true;
    }

    private async Task WaitAsync(int frame, CancellationToken cancellationToken)
    {
        FrameWaiters.Waiter waiter;
        lock (_gate)
        {
            if (HasFrame(frame))
            {
                return;
            }

            if (_isRemoved)
            {
                throw new FrameLostException(frame, "the content was removed from the cache");
            }

            waiter = _waiters.Join(frame);
        }

        try
        {
            await waiter.Source.Task.WaitAsync(cancellationToken);
        }
        finally
        {
            lock (_gate)
            {
                _waiters.Leave(waiter);
            }
        }
    }

    // Reads as far as frames follow each other on disk. 0: a drop came in between, look again.
    private int ReadFromDisk(int frame, long offset, Span<byte> buffer, int drops)
    {
        var wanted = offset + buffer.Length;
        var end = _states.EndOfRun(frame, FrameState.OnDisk, wanted);
        buffer = buffer[..(int)(Math.Min(end, wanted) - offset)];
        var read = _disk.TryRead(offset, buffer, out var failure);
        if (HasDropped(drops))
        {
            return 0;
        }

        return read == buffer.Length ? read : throw Lost(Layout.FrameAt(offset + read), drops, failure);
    }

    // Always 0: afterwards the frame is either checked or dropped.
    private int CheckFrame(int frame, int drops)
    {
        var range = Layout.Frame(frame);
        var rented = ArrayPool<byte>.Shared.Rent((int)range.Length);
        try
        {
            var buffer = rented.AsSpan(0, (int)range.Length);
            var isRead = _disk.TryRead(range.Offset, buffer, out var failure) == buffer.Length;
            if (isRead && FrameChecksum.Compute(buffer) == Volatile.Read(ref _checksums[frame]))
            {
                lock (_gate)
                {
                    if (_drops == drops && _states[frame] == FrameState.Unchecked)
                    {
                        _states[frame] = FrameState.OnDisk;
                    }
                }

                return 0;
            }

            return HasDropped(drops) ? 0 : throw Lost(frame, drops, failure);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private int ReadFromMemory(int frame, long offset, Span<byte> buffer)
    {
        MemoryFrame? kept;
        lock (_gate)
        {
            if (!_inMemory.TryGetValue(frame, out kept))
            {
                return 0;
            }
        }

        var range = Layout.Frame(frame);
        buffer = buffer[..(int)Math.Min(buffer.Length, range.End - offset)];
        if (_parts.Memory.TryRead(kept, (int)(offset - range.Offset), buffer))
        {
            return buffer.Length;
        }

        OnEvictedFromMemory(kept);
        throw new FrameLostException(frame, "its memory was needed for other frames");
    }

    private int ReadExternal(int frame, long offset, Span<byte> buffer)
    {
        if (Volatile.Read(ref _external) is not { } file)
        {
            return 0;
        }

        // Its states are as constant as the file: it ends where a frame of ours begins.
        var wanted = offset + buffer.Length;
        var end = _states.EndOfRun(frame, FrameState.External, wanted);
        buffer = buffer[..(int)(Math.Min(end, wanted) - offset)];
        var read = file.TryRead(offset, buffer);
        if (read.Failure is null)
        {
            return buffer.Length;
        }

        if (read.IsLost && Detach(file))
        {
            Log.ExternalLost(_parts.Log, Digest.ToString(), read.Failure);
        }

        throw new FrameLostException(frame, read.Failure);
    }

    private ulong ChecksumOfExternal(int frame)
    {
        Volatile.Read(ref _external)?.MarkServed();
        var known = Volatile.Read(ref _checksums[frame]);
        if (known != 0)
        {
            return known;
        }

        var range = Layout.Frame(frame);
        var rented = ArrayPool<byte>.Shared.Rent((int)range.Length);
        try
        {
            var buffer = rented.AsSpan(0, (int)range.Length);
            Read(range.Offset, buffer);
            var checksum = FrameChecksum.Compute(buffer);
            lock (_gate)
            {
                if (_states[frame] == FrameState.External)
                {
                    _checksums[frame] = checksum;
                }
            }

            return checksum;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private void DropOwnFrames()
    {
        for (var frame = 0; frame < _states.Count; frame++)
        {
            if (_states[frame] is FrameState.OnDisk or FrameState.Unchecked or FrameState.InMemory)
            {
                ForgetFrame(frame);
                _checksums[frame] = 0;
                _pieces.Remove(Layout.PieceAt(Layout.Frame(frame).Offset));
            }
        }

        Interlocked.Increment(ref _drops);
        _disk.Delete();
    }

    private void FillFromExternal()
    {
        for (var frame = 0; frame < _states.Count; frame++)
        {
            if (_states[frame] == FrameState.Absent)
            {
                _checksums[frame] = 0;
                _states[frame] = FrameState.External;
                _waiters.Complete(frame);
            }
        }

        for (var piece = 0; piece < Layout.PieceCount; piece++)
        {
            _pieces.Add(piece);
        }

        _isVerified = true;
    }

    private bool IsFromExternal(int piece) => _external is not null && _states.IsAny(piece, FrameState.External);

    // Our own bytes were wrong or are gone; the other's are looked at before they are believed for long.
    private void RefillFromExternal()
    {
        if (_external is { IsDistrusted: false } external)
        {
            external.Doubt();
            FillFromExternal();
        }
    }

    private void LeaveExternal()
    {
        _external?.Retire();
        Volatile.Write(ref _external, null);
    }

    private bool HasDropped(int drops)
    {
        Interlocked.MemoryBarrier();
        return Volatile.Read(ref _drops) != drops;
    }

    // Drops the piece, unless it was dropped meanwhile.
    private FrameLostException Lost(int frame, int drops, Exception? failure)
    {
        var reason = failure is null ? "its bytes on disk are not what was written" : "the disk does not read";
        var piece = Layout.PieceAt(Layout.Frame(frame).Offset);
        lock (_gate)
        {
            if (_drops == drops && !_isRemoved)
            {
                DropLocked(piece);
                RefillFromExternal();
                if (failure is null)
                {
                    _parts.Failures?.Add(WrongBytes.Cache);
                }
            }
        }

        Log.PieceDropped(_parts.Log, piece, Digest.ToString(), failure?.Message ?? reason);
        _parts.Changes.Add(Digest);
        return new FrameLostException(frame, reason, failure);
    }

    private void DropLocked(int piece)
    {
        var first = Layout.FirstFrameOf(piece);
        for (var frame = first; frame < first + Layout.FramesIn(piece); frame++)
        {
            ForgetFrame(frame);
        }

        Interlocked.Increment(ref _drops);
        LosePiece(piece);
        _disk.ClearPiece(piece);
    }

    // Under the lock.
    private void CountLoss() => Volatile.Write(ref _losses, _losses + 1);

    private void LosePiece(int piece)
    {
        _pieces.Remove(piece);
        CountLoss();
        _isVerified = false;
        _disk.MarkUnverified();
    }

    private void ForgetFrames(bool keepMemory)
    {
        for (var frame = 0; frame < _states.Count; frame++)
        {
            if (!keepMemory || _states[frame] is FrameState.OnDisk or FrameState.Unchecked)
            {
                ForgetFrame(frame);
                _pieces.Remove(Layout.PieceAt(Layout.Frame(frame).Offset));
            }
        }

        CountLoss();
        _isVerified = false;
        Interlocked.Increment(ref _drops);
    }

    private void ForgetFrame(int frame)
    {
        switch (_states[frame])
        {
            case FrameState.Writing:
                _states[frame] = FrameState.Doomed;
                break;
            case FrameState.OnDisk or FrameState.Unchecked:
                _states[frame] = FrameState.Absent;
                _disk.Forget(Layout.Frame(frame));
                break;
            case FrameState.External:
                _states[frame] = FrameState.Absent;
                break;
            case FrameState.InMemory:
                _states[frame] = FrameState.Absent;
                if (_inMemory.Remove(frame, out var kept))
                {
                    _parts.Memory.Remove(kept);
                }

                break;
        }
    }
}
