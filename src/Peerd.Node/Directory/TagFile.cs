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

    private const int MaxLength = 16 * 1024 * 1024;

    /// <summary>So far a clock may be set back.</summary>
    private static readonly TimeSpan MostBack = TimeSpan.FromMinutes(1);

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    /// <summary>So long the last save is waited for.</summary>
    private static readonly TimeSpan LastTimeout = TimeSpan.FromSeconds(2);

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
        await SaveNowAsync();
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

    /// <summary>Saves what has changed, for another process is about to read the file. A save that hangs is not waited for.</summary>
    public async Task SaveNowAsync()
    {
        var saving = Task.Run(SaveChanges).WaitAsync(LastTimeout, time);
        await saving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Saves what has changed, unless the directory is another process's now. For as long as the disk takes.</summary>
    internal void SaveChanges()
    {
        lock (_lock)
        {
            var version = tags.Version;
            try
            {
                if (version != _saved && cache.TryChange(Save))
                {
                    _saved = version;
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                Log.Unusable(logger, _path, e.Message);
            }
        }
    }

    // Under another name first: a file that was cut off must not take the place of a whole one.
    private void Save()
    {
        var unfinished = _path + ".new";
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

        File.Move(unfinished, _path, overwrite: true);
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "Tags cannot be kept in {Path}: {Reason}")]
        public static partial void Unusable(ILogger logger, string path, string reason);
    }
}
