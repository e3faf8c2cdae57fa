using System.Buffers.Binary;
using Google.Protobuf;
using Microsoft.Extensions.Options;
using Peerd.Contracts.V1;
using Peerd.Node.Storage;

namespace Peerd.Node.Directory;

/// <summary>
/// Keeps the tags that this node has resolved in a small file of the cache directory, so that a node that is started while
/// a registry is down still knows them. Of no great worth: what cannot be read or written is left out.
/// </summary>
/// <remarks>The time of writing, as milliseconds since the Unix epoch in 8 bytes, little-endian; then TagPointers, each after its length.</remarks>
internal sealed partial class TagFile(TagDirectory tags, IOptions<CacheOptions> options, PieceCache cache, TimeProvider time, ILogger<TagFile> logger) : BackgroundService
{
    public const string Name = "tags";

    private const string Unfinished = ".new";

    private const int MaxLength = 16 * 1024 * 1024;

    /// <summary>So far a clock may be set back.</summary>
    private static readonly TimeSpan MostBack = TimeSpan.FromMinutes(1);

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    /// <summary>So long a save waits for another one.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly Lock _lock = new();
    private readonly string _path = Path.Combine(options.Value.Directory, Name);
    private long _saved;

    /// <summary>Has the disk keep what was written, for as long as that takes.</summary>
    internal Action<FileStream> Flush { get; init; } = static file => file.Flush(flushToDisk: true);

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        if (tags.IsOn)
        {
            Load();
        }

        return base.StartAsync(cancellationToken);
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        SaveChanges();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            SaveChanges();
        }
    }

    private void Load()
    {
        try
        {
            DeleteLeftovers();
            using var file = File.OpenRead(_path);
            if (file.Length > MaxLength)
            {
                return;
            }

            Span<byte> head = stackalloc byte[sizeof(long)];
            file.ReadExactly(head);
            var since = time.GetUtcNow().ToUnixTimeMilliseconds() - BinaryPrimitives.ReadInt64LittleEndian(head);
            if (since < -MostBack.TotalMilliseconds)
            {
                throw new InvalidDataException("it is of a later time than the clock shows, so its age is not known");
            }

            while (file.Position < file.Length)
            {
                var pointer = TagPointer.Parser.ParseDelimitedFrom(file);
                pointer.AgeMs += (ulong)Math.Max(0, since);
                tags.Restore(pointer);
            }
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            // The first start.
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidProtocolBufferException or InvalidDataException)
        {
            Log.Unusable(logger, _path, e.Message);
        }
    }

    /// <summary>Saves what has changed, unless the directory is another process's now.</summary>
    public void SaveChanges()
    {
        // Before the directory goes to another process what is under way is waited for, but for a disk that hangs.
        if (!_lock.TryEnter(Patience))
        {
            return;
        }

        try
        {
            var version = tags.Version;
            if (version != _saved && !cache.IsReleased && TrySave())
            {
                _saved = version;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Log.Unusable(logger, _path, e.Message);
        }
        finally
        {
            _lock.Exit();
        }
    }

    // Under another name first: a file that was cut off must not take the place of a whole one.
    private bool TrySave()
    {
        var unfinished = $"{_path}.{Path.GetRandomFileName()}{Unfinished}";
        try
        {
            using (var file = File.Create(unfinished))
            {
                Span<byte> head = stackalloc byte[sizeof(long)];
                BinaryPrimitives.WriteInt64LittleEndian(head, time.GetUtcNow().ToUnixTimeMilliseconds());
                file.Write(head);
                foreach (var key in tags.Own)
                {
                    tags.DescribeOwn(key)?.WriteDelimitedTo(file);
                }

                Flush(file);
            }

            // The disk may have taken long.
            if (cache.IsReleased)
            {
                return false;
            }

            File.Move(unfinished, _path, overwrite: true);
            return true;
        }
        finally
        {
            File.Delete(unfinished);
        }
    }

    // Of processes that were killed. Who is just writing such a file says that it could not, and does it again.
    private void DeleteLeftovers()
    {
        foreach (var left in System.IO.Directory.EnumerateFiles(options.Value.Directory, $"{Name}*{Unfinished}"))
        {
            File.Delete(left);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "Tags cannot be kept in {Path}: {Reason}")]
        public static partial void Unusable(ILogger logger, string path, string reason);
    }
}
