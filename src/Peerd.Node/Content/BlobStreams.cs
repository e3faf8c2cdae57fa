using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Node.Origin;
using Peerd.Node.Storage;
using Peerd.Node.Swarm;

namespace Peerd.Node.Content;

/// <summary>
/// All contents that containers are reading bit by bit on this node. Each stays open between the reads, so that what one
/// read has taught is of use for the next. Thread-safe.
/// </summary>
internal sealed partial class BlobStreams(PieceCache cache, Downloads downloads, IOptions<BlobOptions> options, TimeProvider time, ILogger<BlobStreams> logger) : BackgroundService
{
    /// <summary>A content that nobody has read for this long is closed.</summary>
    private static readonly TimeSpan Idle = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly Dictionary<Digest, BlobStream> _streams = [];
    private readonly long _readAhead = options.Value.ReadAheadValue;
    private readonly bool _followsOrder = options.Value.LearnedOrderValue;

    /// <summary>The content for one read if it is open already, or a part of it here; null also when it is in quarantine. Give it back with <see cref="Close"/>.</summary>
    public BlobStream? TryOpen(Digest digest)
    {
        if (downloads.IsQuarantined(digest))
        {
            return null;
        }

        lock (_lock)
        {
            if (_streams.TryGetValue(digest, out var stream) && !stream.IsStale)
            {
                stream.Users++;
                return stream;
            }
        }

        return cache.TryOpen(digest, out var lease) ? Add(digest, lease, use: null) : null;
    }

    /// <summary>
    /// Opens a content for one read of which nothing is here; null when its size cannot be found out, or when it is in quarantine. Give it back with <see cref="Close"/>.
    /// </summary>
    /// <param name="digest">The content.</param>
    /// <param name="origin">Where the client would read it.</param>
    /// <param name="cancellationToken">Stops the wait for the size.</param>
    public async ValueTask<BlobStream?> OpenAsync(Digest digest, OriginReference origin, CancellationToken cancellationToken)
    {
        if (downloads.IsQuarantined(digest))
        {
            return null;
        }

        var use = downloads.Join(digest, origin, isWhole: false);
        try
        {
            if (await use.Download.OpenedAsync.WaitAsync(cancellationToken) is not null)
            {
                use.Dispose();
                return null;
            }

            return Add(digest, cache.Open(digest, use.Download.Content.Size, mediaType: null), use);
        }
        catch (InvalidDataException)
        {
            // It was forgotten meanwhile, and is of another size now.
            use.Dispose();
            return null;
        }
        catch
        {
            use.Dispose();
            throw;
        }
    }

    /// <summary>The read is over.</summary>
    public void Close(BlobStream stream)
    {
        lock (_lock)
        {
            stream.Users--;
            stream.LastUsed = time.GetTimestamp();
            if (stream.IsStale && stream.Users == 0)
            {
                Remove(stream);
            }
        }
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        lock (_lock)
        {
            foreach (var stream in _streams.Values.Where(stream => stream.Users == 0).ToList())
            {
                Remove(stream);
            }
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(SweepInterval, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            Sweep();
        }
    }

    private void Sweep()
    {
        List<BlobStream> streams;
        lock (_lock)
        {
            streams = [.. _streams.Values];
            foreach (var stream in streams)
            {
                try
                {
                    stream.ExchangeOrder();
                    stream.Rest();
                    if (stream.Users == 0 && time.GetElapsedTime(stream.LastUsed) > Idle)
                    {
                        Remove(stream);
                    }
                }
                catch (Exception e)
                {
                    // One content must not end the others' streams, and the node with them.
                    Log.SweepFailed(logger, e, stream.Digest);
                }
            }
        }

        foreach (var stream in streams)
        {
            try
            {
                // Not under the lock: a disk that hangs would keep all reads waiting.
                stream.DoubtIfWritten();
            }
            catch (Exception e)
            {
                Log.SweepFailed(logger, e, stream.Digest);
            }
        }
    }

    private BlobStream Add(Digest digest, ContentLease lease, DownloadUse? use)
    {
        lock (_lock)
        {
            if (_streams.TryGetValue(digest, out var stream) && !stream.IsStale)
            {
                // Another read was quicker.
                lease.Dispose();
                use?.Dispose();
            }
            else
            {
                _streams[digest] = stream = new BlobStream(digest, lease, use, downloads, _readAhead, _followsOrder, time);
            }

            stream.Users++;
            return stream;
        }
    }

    private void Remove(BlobStream stream)
    {
        if (_streams.TryGetValue(stream.Digest, out var current) && ReferenceEquals(current, stream))
        {
            _streams.Remove(stream.Digest);
        }

        stream.Dispose();
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Error, "Looking after the stream of {Digest} met an unexpected error")]
        public static partial void SweepFailed(ILogger logger, Exception exception, Digest digest);
    }
}
