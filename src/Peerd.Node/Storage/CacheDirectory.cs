using System.Globalization;
using Peerd.Contracts;

namespace Peerd.Node.Storage;

/// <summary>A content as its index file tells it.</summary>
/// <param name="Header">What holds for the whole.</param>
/// <param name="Number">Number in the names of its files.</param>
/// <param name="Pieces">The pieces that are here.</param>
/// <param name="Checksums">Checksum per frame; only those of <paramref name="Pieces"/> mean anything.</param>
/// <param name="LastUsed">When it was used last.</param>
internal sealed record LoadedContent(IndexHeader Header, long Number, PieceSet Pieces, ulong[] Checksums, DateTimeOffset LastUsed)
{
    public ContentLayout Layout => new(Header.Size);

    /// <summary>What it takes of the cache's capacity.</summary>
    public long DiskBytes { get; } = SpaceOf(new ContentLayout(Header.Size), Pieces);

    private static long SpaceOf(ContentLayout layout, PieceSet pieces) =>
        IndexFormat.SpaceOf(layout) + pieces.Runs().Sum(run => layout.Piece(run.First + run.Count - 1).End - layout.Piece(run.First).Offset);
}

/// <summary>
/// The folder of the cache: <c>lock</c>, and <c>contents/&lt;algorithm&gt;/&lt;first two digits&gt;/&lt;digits&gt;.&lt;number&gt;.index</c>
/// and <c>.data</c>. The number makes names unique, so that a content can be fetched again while its former files are
/// still being deleted. One process at a time writes, see <see cref="CacheLocks"/>.
/// </summary>
internal sealed class CacheDirectory(string root, CacheLocks locks, ILogger log)
{
    private const string IndexSuffix = ".index";
    private const string DataSuffix = ".data";

    private readonly string _contents = Path.Combine(root, "contents");
    private long _lastNumber;
    private int _changes;
    private volatile bool _isReleased;

    public string Root => root;

    public long NextNumber() => Interlocked.Increment(ref _lastNumber);

    public string FolderOf(Digest digest) => Path.Combine(_contents, digest.Algorithm, digest.Hex[..2]);

    public string DataPathOf(Digest digest, long number) => PathOf(digest, number, DataSuffix);

    public string IndexPathOf(Digest digest, long number) => PathOf(digest, number, IndexSuffix);

    /// <summary>Another process writes here now: this one only reads.</summary>
    public bool IsReleased => _isReleased;

    /// <summary>Another process, which wrote here before, may still read: nothing may be overwritten with something else.</summary>
    public bool IsShared => locks.HasFormer();

    /// <summary>Creates the directory and locks it, unless that is done.</summary>
    /// <exception cref="CacheInUseException">Another process has it.</exception>
    public void MakeWritable()
    {
        if (!locks.TryOwn())
        {
            throw new CacheInUseException(root);
        }

        System.IO.Directory.CreateDirectory(_contents);
    }

    /// <summary>Before anything on the disk is changed; whether it may be is in what is returned. Thread-safe.</summary>
    public Change BeginChange() => new(this);

    /// <summary>Lets another process have the directory, once no change is under way.</summary>
    /// <exception cref="OperationCanceledException">The disk did not finish a change in time; the directory stays this process's.</exception>
    public async Task ReleaseAsync(CancellationToken cancellationToken)
    {
        _isReleased = true;
        try
        {
            Interlocked.MemoryBarrier();
            while (Volatile.Read(ref _changes) > 0)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System, cancellationToken);
            }

            locks.Release();
        }
        catch (OperationCanceledException)
        {
            _isReleased = false;
            throw;
        }
    }

    /// <summary>Takes the directory again that was released.</summary>
    /// <returns>False when another process has it.</returns>
    public bool TryTakeBack()
    {
        if (!locks.TryOwn())
        {
            return false;
        }

        _isReleased = false;
        return true;
    }

    /// <summary>
    /// The contents that the index files tell of, the one that was used longest ago first; reads no data. Deletes own files that are of no
    /// use and those for which there is no room, leaves foreign ones alone.
    /// </summary>
    /// <param name="mostBytes">What the contents may take on disk; of more, those that were used last are kept.</param>
    /// <param name="mostMemory">The same of memory.</param>
    /// <param name="evicted">Told of each for which there is no room.</param>
    public IEnumerable<LoadedContent> Load(long mostBytes, long mostMemory, Action<LoadedContent> evicted)
    {
        var found = new FoundContents(mostBytes, mostMemory);
        var foreign = new ForeignEntries();
        var deleted = 0;
        foreach (var folder in Entries(_contents, foreign).SelectMany(algorithm => Entries(algorithm, foreign)))
        {
            foreach (var path in Entries(folder, foreign, files: true))
            {
                if (!TryParsePath(path, out var digest, out var number, out var isIndex))
                {
                    foreign.Add(path);
                    continue;
                }

                _lastNumber = Math.Max(_lastNumber, number);
                if (!isIndex || !TryLoad(digest, number, out var content))
                {
                    continue;
                }

                if (content is null)
                {
                    deleted += Delete(digest, number);
                    continue;
                }

                // A crash came between the creation of the new files and the deletion of the old ones.
                deleted += found.Add(content) is { } worse ? Delete(digest, worse.Number) : 0;
                while (found.TakeExcess() is { } excess)
                {
                    Delete(excess.Header.Digest, excess.Number);
                    evicted(excess);
                }
            }

            // An index comes with its data or not at all; data may be left alone by a crash.
            foreach (var path in Entries(folder, new ForeignEntries(), files: true))
            {
                if (TryParsePath(path, out var digest, out var number, out var isIndex) && !isIndex && !File.Exists(IndexPathOf(digest, number)))
                {
                    deleted += Delete(digest, number);
                }
            }

            if (Path.GetFileName(folder) is { Length: 2 } start && IsScope(Path.GetDirectoryName(folder)!, start))
            {
                DeleteIfEmpty(folder);
            }
        }

        foreach (var scope in Entries(_contents, new ForeignEntries()).Where(algorithm => IsScope(algorithm)))
        {
            DeleteIfEmpty(scope);
        }

        if (foreign.Example is { } example)
        {
            Log.ForeignEntries(log, foreign.Count, example);
        }

        if (deleted > 0)
        {
            Log.DeletedUseless(log, deleted);
        }

        return found.ByLastUse;
    }

    // There may be any number of scopes, and what is not named as one is not ours.
    private static bool IsScope(string folder, string start = "") =>
        Path.GetFileName(folder) is var name
        && name.Contains('+', StringComparison.Ordinal)
        && Digest.TryParseScoped($"{name}:{start.PadRight(name.StartsWith("sha512", StringComparison.Ordinal) ? 128 : 64, '0')}", out _);

    // A folder that has something is left, and one that comes back is made anew.
    private static void DeleteIfEmpty(string folder)
    {
        try
        {
            System.IO.Directory.Delete(folder);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
        }
    }

    private string PathOf(Digest digest, long number, string suffix) =>
        Path.Combine(FolderOf(digest), $"{digest.Hex}.{number.ToString(CultureInfo.InvariantCulture)}{suffix}");

    // The folders (or files) of a folder, one by one: there may be any number. What is of the other kind there is foreign.
    private IEnumerable<string> Entries(string folder, ForeignEntries foreign, bool files = false)
    {
        IEnumerator<FileSystemInfo>? entries = null;
        try
        {
            while (TryNext(folder, ref entries) is { } entry)
            {
                if (entry.LinkTarget is null && entry is FileInfo == files)
                {
                    yield return entry.FullName;
                }
                else
                {
                    foreign.Add(entry.FullName);
                }
            }
        }
        finally
        {
            entries?.Dispose();
        }
    }

    private FileSystemInfo? TryNext(string folder, ref IEnumerator<FileSystemInfo>? entries)
    {
        try
        {
            entries ??= new DirectoryInfo(folder).EnumerateFileSystemInfos().GetEnumerator();
            return entries.MoveNext() ? entries.Current : null;
        }
        catch (DirectoryNotFoundException)
        {
            // A new cache.
            return null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Log.EntryUnusable(log, folder, exception.Message);
            return null;
        }
    }

    // Only the very names that this class makes are its own.
    private bool TryParsePath(string path, out Digest digest, out long number, out bool isIndex)
    {
        digest = default;
        number = 0;
        var parts = Path.GetFileName(path).Split('.');
        isIndex = path.EndsWith(IndexSuffix, StringComparison.Ordinal);
        var algorithm = Path.GetFileName(Path.GetDirectoryName(Path.GetDirectoryName(path)));
        return parts.Length == 3
            && Digest.TryParseScoped($"{algorithm}:{parts[0]}", out digest)
            && long.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out number)
            && number < long.MaxValue
            && path == PathOf(digest, number, isIndex ? IndexSuffix : DataSuffix);
    }

    // Null when the files are of no use; false when they do not read, which may pass.
    private bool TryLoad(Digest digest, long number, out LoadedContent? content)
    {
        content = null;
        var path = IndexPathOf(digest, number);
        try
        {
            using var index = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            var start = new byte[IndexFormat.HeaderSize];
            if (ReadUpTo(index, start, 0) < start.Length
                || !IndexFormat.TryReadHeader(start, out var header)
                || header.Digest != digest)
            {
                return true;
            }

            var layout = new ContentLayout(header.Size);
            var recordSize = IndexFormat.RecordSize(layout);
            var records = new byte[Math.Min(RandomAccess.GetLength(index) - start.Length, (long)layout.PieceCount * recordSize)];
            var recordCount = ReadUpTo(index, records, start.Length) / recordSize;
            var data = new FileInfo(DataPathOf(digest, number));
            var dataLength = data.Exists ? data.Length : 0;
            var salt = IndexFormat.SaltOf(digest);
            var pieces = new PieceSet(layout.PieceCount);
            var checksums = new ulong[layout.FrameCount];
            for (var piece = 0; piece < recordCount; piece++)
            {
                var record = records.AsSpan(piece * recordSize, recordSize);
                var frames = checksums.AsSpan(layout.FirstFrameOf(piece), layout.FramesIn(piece));
                if (layout.Piece(piece).End <= dataLength && IndexFormat.TryReadRecord(record, salt, piece, frames))
                {
                    pieces.Add(piece);
                }
            }

            if (pieces.Count > 0 || (header.Size == 0 && header.IsVerified))
            {
                content = new LoadedContent(header, number, pieces, checksums, new DateTimeOffset(File.GetLastWriteTimeUtc(index)));
            }

            return true;
        }
        catch (FileNotFoundException)
        {
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Log.EntryUnusable(log, path, exception.Message);
            return false;
        }
    }

    private int Delete(Digest digest, long number)
    {
        try
        {
            File.Delete(IndexPathOf(digest, number));
            File.Delete(DataPathOf(digest, number));
            return 1;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Log.EntryUnusable(log, DataPathOf(digest, number), exception.Message);
            return 0;
        }
    }

    private static int ReadUpTo(Microsoft.Win32.SafeHandles.SafeFileHandle file, Span<byte> buffer, long offset)
    {
        var total = 0;
        while (total < buffer.Length && RandomAccess.Read(file, buffer[total..], offset + total) is > 0 and var read)
        {
            total += read;
        }

        return total;
    }

    /// <summary>What is in the directory and is not the cache's.</summary>
    private sealed class ForeignEntries
    {
        public int Count { get; private set; }

        public string? Example { get; private set; }

        public void Add(string path)
        {
            Count++;
            Example ??= path;
        }
    }

    /// <summary>A change of the disk that is under way until this is disposed: a release of the directory waits for it.</summary>
    internal readonly ref struct Change
    {
        private readonly CacheDirectory _directory;

        public Change(CacheDirectory directory)
        {
            _directory = directory;

            // Counted first: a release looks the other way round.
            Interlocked.Increment(ref directory._changes);
            IsAllowed = !directory._isReleased;
        }

        /// <summary>False: nothing may be changed, the disk is another process's.</summary>
        public bool IsAllowed { get; }

        public void Dispose() => Interlocked.Decrement(ref _directory._changes);
    }
}
