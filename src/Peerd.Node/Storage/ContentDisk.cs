using Microsoft.Win32.SafeHandles;
using Peerd.Contracts;

namespace Peerd.Node.Storage;

/// <summary>
/// What one content has on disk: its files, and the room that they take. A disk that is full or broken, or another process's by now, is
/// an answer here and no exception. Thread-safe where it says so; the content's lock protects the rest.
/// </summary>
internal sealed class ContentDisk
{
    // On a full disk others may take the room that was made, but hardly twice.
    private const int WriteAttempts = 3;

    private static readonly TimeSpan TouchPeriod = TimeSpan.FromMinutes(1);

    private readonly object _gate;
    private readonly CacheParts _parts;
    private readonly Digest _digest;
    private readonly ContentLayout _layout;
    private readonly ContentFiles _files;
    private readonly Func<IndexHeader> _header;
    private readonly Action _lost;
    private long _lastWrite;
    private bool _isRemoved;
    private bool _isIndexCounted;
    private bool _saidFull;
    private long _bytes;
    private long _lastUsed;
    private long _touched;

    /// <param name="parts">What all contents share.</param>
    /// <param name="digest">The content.</param>
    /// <param name="layout">Its layout.</param>
    /// <param name="files">Its files.</param>
    /// <param name="gate">The content's lock.</param>
    /// <param name="header">What its index says of it now; called under the lock.</param>
    /// <param name="lost">Called under the lock when somebody has deleted the files: what was there is not here any more.</param>
    public ContentDisk(CacheParts parts, Digest digest, ContentLayout layout, ContentFiles files, object gate, Func<IndexHeader> header, Action lost) =>
        (_parts, _digest, _layout, _files, _gate, _header, _lost) = (parts, digest, layout, files, gate, header, lost);

    /// <summary>The index says that the whole matched the digest.</summary>
    public bool IsVerified { get; private set; }

    /// <summary>What it takes of the cache's capacity. Thread-safe.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>It was found on disk with these pieces; before anybody else uses it.</summary>
    public void Found(LoadedContent loaded)
    {
        IsVerified = loaded.Header.IsVerified;
        _isIndexCounted = true;
        _bytes = loaded.DiskBytes;
        _lastUsed = _touched = loaded.LastUsed.UtcTicks;
        if (!loaded.Pieces.IsFull && _parts.Disk.IsWritable)
        {
            Try(() => _files.PunchAllBut(loaded.Pieces));
        }
    }

    /// <summary>Writes bytes of a frame. Returns how much of the capacity was taken, or 0 when the disk does not take the frame. Thread-safe.</summary>
    public long Write(ByteRange range, ReadOnlySpan<byte> data)
    {
        using var change = _parts.Directory.BeginChange();
        return change.IsAllowed ? WriteToOwn(range, data) : 0;
    }

    /// <summary>A frame was written and is kept: of what was taken, its bytes count, and the index if it was not counted.</summary>
    public void Keep(ByteRange range, long reserved)
    {
        _parts.Space.Release(CountIndex(reserved - range.Length));
        _bytes += range.Length;
    }

    /// <summary>A frame was written and is not kept.</summary>
    public void Undo(ByteRange range, long reserved)
    {
        _parts.Space.Release(reserved);
        if (reserved > 0)
        {
            Try(() => _files.Punch(range));
        }
    }

    /// <summary>A frame that was kept is not here any more.</summary>
    public void Forget(ByteRange range)
    {
        _bytes -= range.Length;
        _parts.Space.Release(range.Length);
    }

    /// <summary>Reads bytes; returns how many, and what kept it from reading all. Thread-safe.</summary>
    public int TryRead(long offset, Span<byte> buffer, out Exception? failure)
    {
        failure = null;
        var total = 0;
        try
        {
            var data = _files.Reader ?? OpenReader();
            while (total < buffer.Length && RandomAccess.Read(data, buffer[total..], offset + total) is > 0 and var read)
            {
                total += read;
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            failure = exception;
        }

        return total;
    }

    /// <summary>A piece is here. After the data of the piece: whatever a kill leaves, a record without its data it is not.</summary>
    /// <param name="piece">Number of the piece.</param>
    /// <param name="checksums">Of its frames.</param>
    /// <param name="isVerified">The whole content is here and right.</param>
    public void WriteRecord(int piece, ReadOnlySpan<ulong> checksums, bool isVerified)
    {
        using var change = _parts.Directory.BeginChange();
        if (!change.IsAllowed)
        {
            return;
        }

        try
        {
            if (IsVerified && !isVerified)
            {
                _files.WriteHeader(_header());
                IsVerified = false;
            }

            _files.WriteRecord(_header(), piece, checksums);
        }
        catch (IOException exception) when (DiskHealth.IsFull(exception))
        {
            // Room cannot be made here, under the lock. The next frame that is written makes it; the disk is not broken.
            Log.IndexNotWritten(_parts.Log, _digest.ToString(), exception.Message);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            _parts.Disk.Failed(exception);
        }
    }

    /// <summary>The record of a piece, and its bytes, are not to be there any more.</summary>
    public void ClearPiece(int piece)
    {
        if (_files.Exist && !Try(() => _files.ClearPiece(_header(), piece)))
        {
            Log.IndexNotWritten(_parts.Log, _digest.ToString(), $"piece {piece} will be back after a restart");
        }
    }

    /// <summary>What the index says of the content has changed.</summary>
    public void WriteHeader()
    {
        if (_files.Exist)
        {
            Try(() => _files.WriteHeader(_header()));
        }
    }

    /// <summary>Takes room for the index of an empty content; others have theirs from the first frame on. To be handed to <see cref="MarkVerified"/>. Thread-safe.</summary>
    public long ReserveForEmpty() =>
        _layout.Size == 0 && _parts.Disk.IsWritable && _parts.Space.TryReserve(IndexFormat.SpaceOf(_layout)) ? IndexFormat.SpaceOf(_layout) : 0;

    /// <summary>The whole matches the digest. Returns what of the reserved room is to be released.</summary>
    public long MarkVerified(long reserved)
    {
        Volatile.Write(ref _lastWrite, _files.LastWrite.Ticks);
        if ((_files.Exist || reserved > 0) && Try(() => _files.WriteHeader(_header())))
        {
            IsVerified = true;
            reserved = CountIndex(reserved);
        }

        return reserved;
    }

    /// <summary>The whole is not here any more.</summary>
    public void MarkUnverified()
    {
        if (IsVerified && Try(() => _files.WriteHeader(_header())))
        {
            IsVerified = false;
        }
    }

    /// <summary>When somebody has written to the bytes since this was seen last, or <see cref="MarkVerified"/> called: the new time. Thread-safe.</summary>
    public long? WrittenSince => _files.LastWrite.Ticks is var written && written != Volatile.Read(ref _lastWrite) ? written : null;

    /// <summary>What was written at that time has been seen.</summary>
    public void MarkSeen(long written) => Volatile.Write(ref _lastWrite, written);

    /// <summary>Drops all pieces; the files stay if they can.</summary>
    public void Clear()
    {
        if (_files.Exist && !Try(() => _files.Truncate(_header())))
        {
            Try(_files.Delete);
            _files.Abandon();
        }

        IsVerified = false;
    }

    /// <summary>Deletes the files; new ones may follow.</summary>
    public void Delete()
    {
        if (_files.Exist)
        {
            Try(_files.Delete);
            _files.Abandon();
        }

        ReleaseIndex();
        IsVerified = false;
    }

    /// <summary>Deletes the files for good.</summary>
    public void Remove()
    {
        _isRemoved = true;
        if (_files.Exist)
        {
            Try(_files.Delete);
        }

        ReleaseIndex();
    }

    /// <summary>Notes that the content is used, now and then also on disk, so that a restart knows the order. Thread-safe.</summary>
    public void Touch()
    {
        var now = _parts.Time.GetUtcNow();
        Volatile.Write(ref _lastUsed, now.UtcTicks);
        if (now.UtcTicks - Volatile.Read(ref _touched) > TouchPeriod.Ticks)
        {
            SaveLastUsed();
        }
    }

    /// <summary>Notes the last use if that is not noted. Thread-safe.</summary>
    public void SaveUse()
    {
        if (Volatile.Read(ref _lastUsed) > Volatile.Read(ref _touched))
        {
            SaveLastUsed();
        }
    }

    /// <summary>Closes the files.</summary>
    public void Close() => _files.Close();

    private long WriteToOwn(ByteRange range, ReadOnlySpan<byte> data)
    {
        for (var attempt = 1; attempt <= WriteAttempts && _parts.Disk.MayWrite(); attempt++)
        {
            var rounds = _parts.Space.Rounds;

            // What two first writers both take for the index, one of them gives back when it publishes.
            var needed = range.Length + (Volatile.Read(ref _isIndexCounted) ? 0 : IndexFormat.SpaceOf(_layout));
            if (!_parts.Space.TryReserve(needed))
            {
                SayFull();
                return 0;
            }

            try
            {
                RandomAccess.Write(_files.Writer ?? OpenWriter(), data, range.Offset);
                _parts.Disk.Succeeded();
                return needed;
            }
            catch (ObjectDisposedException)
            {
                // Everything was dropped meanwhile, this frame with it.
                _parts.Space.Release(needed);
                return 0;
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                _parts.Space.Release(needed);
                if (exception is FileNotFoundException or DirectoryNotFoundException && AbandonFiles())
                {
                    continue;
                }

                if (!DiskHealth.IsFull(exception) || attempt == WriteAttempts || !_parts.Space.TryMakeRoom(needed, rounds))
                {
                    _parts.Disk.Failed(exception);
                    return 0;
                }
            }
        }

        return 0;
    }

    private SafeFileHandle OpenWriter()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_isRemoved, this);
            return _files.OpenWriter(_header());
        }
    }

    private SafeFileHandle OpenReader()
    {
        lock (_gate)
        {
            return _files.Reader ?? _files.OpenReader();
        }
    }

    private void SayFull()
    {
        if (!_saidFull)
        {
            _saidFull = true;
            Log.FullOfPinned(_parts.Log, _digest.ToString());
        }
    }

    // Somebody has deleted the files: what was on disk is lost, but new files can be made.
    private bool AbandonFiles()
    {
        lock (_gate)
        {
            if (!_files.Exist)
            {
                return false;
            }

            // Another writer was first and has made new files.
            if (_files.Writer is not null)
            {
                return true;
            }

            _lost();
            ReleaseIndex();
            _files.Abandon();
            IsVerified = false;
        }

        _parts.Changes.Add(_digest);
        return true;
    }

    // Returns what of the reserved room is not needed because the index is counted already.
    private long CountIndex(long reserved)
    {
        if (_isIndexCounted || reserved == 0)
        {
            return reserved;
        }

        Volatile.Write(ref _isIndexCounted, true);
        _bytes += reserved;
        return 0;
    }

    private void ReleaseIndex()
    {
        if (_isIndexCounted)
        {
            Volatile.Write(ref _isIndexCounted, false);
            _bytes -= IndexFormat.SpaceOf(_layout);
            _parts.Space.Release(IndexFormat.SpaceOf(_layout));
        }
    }

    private void SaveLastUsed()
    {
        lock (_gate)
        {
            using var change = _parts.Directory.BeginChange();
            if (!_files.Exist || !change.IsAllowed)
            {
                return;
            }

            Volatile.Write(ref _touched, Volatile.Read(ref _lastUsed));
            try
            {
                _files.Touch(new DateTimeOffset(Volatile.Read(ref _lastUsed), TimeSpan.Zero));
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                // The order after a restart is a little older then.
            }
        }
    }

    // False also when the disk is another process's now, which decides for itself what stays there.
    private bool Try(Action change)
    {
        using var counted = _parts.Directory.BeginChange();
        if (!counted.IsAllowed)
        {
            return false;
        }

        try
        {
            change();
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Log.IndexNotWritten(_parts.Log, _digest.ToString(), exception.Message);
            return false;
        }
    }
}
