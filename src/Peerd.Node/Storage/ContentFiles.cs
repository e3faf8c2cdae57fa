using Microsoft.Win32.SafeHandles;
using Peerd.Contracts;

namespace Peerd.Node.Storage;

/// <summary>
/// The two files of one content: <c>.data</c>, sparse, each byte at its own offset, and <c>.index</c>
/// (<see cref="IndexFormat"/>). Not thread-safe, except that <see cref="Reader"/> and <see cref="Writer"/> can be
/// looked at, and their handles used, by any thread.
/// </summary>
internal sealed class ContentFiles(CacheDirectory directory, Digest digest, ContentLayout layout, long number, bool exist)
{
    private readonly string _folder = directory.FolderOf(digest);
    private readonly string _dataPath = directory.DataPathOf(digest, number);
    private readonly string _indexPath = directory.IndexPathOf(digest, number);
    private readonly ulong _salt = IndexFormat.SaltOf(digest);

    private volatile SafeFileHandle? _reader;
    private volatile SafeFileHandle? _writer;
    private SafeFileHandle? _index;
    private bool _hasData = exist;

    /// <summary>There is an index, and thus something that survives a restart.</summary>
    public bool Exist { get; private set; } = exist;

    /// <summary>The data file, open for reading; null when it is not open.</summary>
    public SafeFileHandle? Reader => _reader;

    /// <summary>The data file, open for writing; null when it is not open.</summary>
    public SafeFileHandle? Writer => _writer;

    /// <summary>When somebody has written to the data last; some other time when there is none, or when it cannot be told.</summary>
    public DateTime LastWrite
    {
        get
        {
            try
            {
                return File.GetLastWriteTimeUtc(_dataPath);
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                return default;
            }
        }
    }

    public SafeFileHandle OpenReader() => _reader ??= Open(_dataPath, FileMode.Open, FileAccess.Read);

    /// <summary>Opens both files for writing, creates them when there are none yet.</summary>
    /// <exception cref="FileNotFoundException">They existed, but somebody has deleted them.</exception>
    public SafeFileHandle OpenWriter(IndexHeader header)
    {
        if (_writer is { } open)
        {
            return open;
        }

        OpenIndex(header);
        var writer = Open(_dataPath, _hasData ? FileMode.Open : FileMode.Create, FileAccess.ReadWrite);
        _hasData = true;
        _reader ??= writer;
        return _writer = writer;
    }

    /// <summary>Writes the header; creates the index when there is none yet.</summary>
    public void WriteHeader(IndexHeader header)
    {
        if (OpenIndex(header))
        {
            return;
        }

        Span<byte> bytes = stackalloc byte[IndexFormat.HeaderSize];
        IndexFormat.WriteHeader(bytes, header);
        RandomAccess.Write(_index!, bytes, 0);
    }

    public void WriteRecord(IndexHeader header, int piece, ReadOnlySpan<ulong> checksums)
    {
        OpenIndex(header);
        Span<byte> record = stackalloc byte[IndexFormat.RecordSize(layout)];
        IndexFormat.WriteRecord(record, _salt, piece, checksums);
        RandomAccess.Write(_index!, record, IndexFormat.RecordOffset(layout, piece));
    }

    /// <summary>Forgets the record of a piece and gives back the room of its bytes.</summary>
    public void ClearPiece(IndexHeader header, int piece)
    {
        OpenIndex(header);
        Span<byte> record = stackalloc byte[IndexFormat.RecordSize(layout)];
        record.Clear();
        RandomAccess.Write(_index!, record, IndexFormat.RecordOffset(layout, piece));
        Punch(layout.Piece(piece));
    }

    /// <summary>Gives back the room of bytes that no record speaks of; not while a former process of the node may read them.</summary>
    public void Punch(ByteRange range)
    {
        if (_writer is { } writer && !directory.IsShared)
        {
            SparseFile.Punch(writer, range.Offset, range.Length);
        }
    }

    /// <summary>Gives back the room of all pieces but these: frames of unfinished pieces that a crash left.</summary>
    public void PunchAllBut(PieceSet pieces)
    {
        if (directory.IsShared)
        {
            return;
        }

        using var data = Open(_dataPath, FileMode.Open, FileAccess.ReadWrite);
        var length = RandomAccess.GetLength(data);
        for (var piece = pieces.NextClear(0); piece >= 0;)
        {
            var next = pieces.NextSet(piece);
            var start = layout.Piece(piece).Offset;
            SparseFile.Punch(data, start, (next < 0 ? length : layout.Piece(next).Offset) - start);
            piece = next < 0 ? -1 : pieces.NextClear(next);
        }
    }

    /// <summary>Forgets all pieces, first in the index.</summary>
    /// <exception cref="IOException">Also when a former process of the node may read them: the files can only be deleted.</exception>
    public void Truncate(IndexHeader header)
    {
        if (directory.IsShared)
        {
            throw new IOException("the former process of this node still reads them");
        }

        OpenIndex(header);
        RandomAccess.SetLength(_index!, IndexFormat.HeaderSize);
        WriteHeader(header);
        if (_hasData)
        {
            RandomAccess.SetLength(OpenWriter(header), 0);
        }
    }

    /// <summary>
    /// Deletes both files, the index first: data without an index is deleted at the next start. Whoever has the data
    /// open reads nothing any more.
    /// </summary>
    public void Delete()
    {
        Exist = false;
        _hasData = false;
        File.Delete(_indexPath);
        File.Delete(_dataPath);
        if (_writer is { } writer && !directory.IsShared)
        {
            RandomAccess.SetLength(writer, 0);
        }
    }

    /// <summary>The files are gone, or must not be used any more: the next write begins with new ones.</summary>
    public void Abandon()
    {
        Close();
        Exist = false;
        _hasData = false;
    }

    /// <summary>Keeps the order of last use over restarts.</summary>
    public void Touch(DateTimeOffset now) => File.SetLastWriteTimeUtc(_indexPath, now.UtcDateTime);

    public void Close()
    {
        _index?.Dispose();
        _index = null;
        var (reader, writer) = (_reader, _writer);
        _reader = null;
        _writer = null;
        reader?.Dispose();
        writer?.Dispose();
    }

    // True when the header was written by this call.
    private bool OpenIndex(IndexHeader header)
    {
        if (_index is not null)
        {
            return false;
        }

        if (Exist)
        {
            _index = Open(_indexPath, FileMode.Open, FileAccess.ReadWrite);
            return false;
        }

        directory.MakeWritable();
        System.IO.Directory.CreateDirectory(_folder);
        var index = Open(_indexPath, FileMode.Create, FileAccess.ReadWrite);
        try
        {
            Span<byte> bytes = stackalloc byte[IndexFormat.HeaderSize];
            IndexFormat.WriteHeader(bytes, header);
            RandomAccess.Write(index, bytes, 0);
        }
        catch
        {
            index.Dispose();
            throw;
        }

        _index = index;
        Exist = true;
        return true;
    }

    // Without a lock of their own: the directory is locked as a whole.
    private static SafeFileHandle Open(string path, FileMode mode, FileAccess access) =>
        File.OpenHandle(path, mode, access, FileShare.ReadWrite | FileShare.Delete);
}
