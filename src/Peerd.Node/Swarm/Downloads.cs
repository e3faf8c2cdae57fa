using Peerd.Contracts;
using Peerd.Node.Directory;
using Peerd.Node.Limits;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Origin;
using Peerd.Node.Ring;
using Peerd.Node.Storage;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Swarm;

/// <summary>All downloads of this node, one for each content: whoever wants a content joins its download.</summary>
internal sealed class Downloads : IIncomingPieces, IDiscardHandler, IAsyncDisposable
{
    /// <summary>How long a download goes on without a reader: the next range of the same client usually follows.</summary>
    private static readonly TimeSpan Linger = TimeSpan.FromSeconds(2);

    private readonly Lock _lock = new();
    private readonly Dictionary<Digest, Entry> _entries = [];
    private readonly DownloadServices _services;
    private readonly HashSet<Task> _closing = [];

    public Downloads(
        PieceCache cache, IOrigin origin, RingSource rings, NodeIdentity self, PeerConnections peers, ILookupHandler lookups, MeshDrain drain, ContentMismatches mismatches, MeshMetrics metrics, LookupMetrics lookupMetrics, IntegrityFailures failures, Bandwidth bandwidth, TimeProvider time, ILoggerFactory loggers)
    {
        var logger = loggers.CreateLogger<Download>();
        _services = new DownloadServices(
            cache, origin, peers, mismatches, (digest, user) => new OwnerLink(digest, user, rings, self, peers, lookups, drain, lookupMetrics, time, logger), self.Name, self.Incarnation, new DownloaderPolicy { ComparesOnlyPeer = bandwidth.Download is null }, metrics, failures, new MemoryShare(cache.MemoryBudget), bandwidth.Origin, time, logger);
    }

    /// <summary>What is kept of the checksums that owners push.</summary>
    public ChecksumBudget Checksums => _services.Checksums;

    /// <summary>What is kept in proportion to the sizes that owners and origins tell.</summary>
    public SizeBudget ToldSizes => _services.ToldSizes;

    /// <summary>Contents that are not brought here for a while.</summary>
    public Quarantine Quarantine => _services.Quarantine;

    /// <summary>The content is not brought here, and what is here of it was not found right.</summary>
    public bool IsQuarantined(Digest content) => _services.IsQuarantined(content);

    /// <summary>How many are under way.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _entries.Count;
            }
        }
    }

    /// <summary>Pieces that were asked for and are not here, of all downloads.</summary>
    public int PiecesInFlight
    {
        get
        {
            Download[] downloads;
            lock (_lock)
            {
                downloads = [.. _entries.Values.Select(entry => entry.Download)];
            }

            return downloads.Sum(download => download.PiecesInFlight);
        }
    }

    /// <summary>Joins the download of a content, started if there is none. Dispose the use when done.</summary>
    /// <param name="digest">The content.</param>
    /// <param name="origin">Where the client would read it.</param>
    /// <param name="isWhole">The client wants all of it; else its readers tell what, once the size is known.</param>
    public DownloadUse Join(Digest digest, OriginReference origin, bool isWhole)
    {
        lock (_lock)
        {
            if (_entries.TryGetValue(digest, out var entry) && entry.Download.TryAddClient(origin, isWhole))
            {
                entry.Users++;
                return new DownloadUse(this, entry, origin, isWhole);
            }

            entry = new Entry(new Download(_services, digest, origin, isWhole)) { Users = 1 };
            _entries[digest] = entry;
            try
            {
                entry.Download.Start();
            }
            catch
            {
                // Nobody would ever leave it, and whoever came later would wait for it.
                _entries.Remove(digest);
                Own(() => entry.Download.DisposeAsync().AsTask());
                throw;
            }

            return new DownloadUse(this, entry, origin, isWhole);
        }
    }

    /// <summary>Drops what is here of a content, unless it is whole and checked, and begins again where somebody needs it. What another program keeps is checked again.</summary>
    public void Discard(Digest content)
    {
        if (_services.Cache.TryPeek(content, out var doubted))
        {
            doubted.DoubtExternal();
        }

        lock (_lock)
        {
            if (_entries.TryGetValue(content, out var entry) && entry.Download.TryStartAfresh())
            {
                return;
            }
        }

        if (_services.Cache.TryPeek(content, out var cached) && !cached.IsVerified)
        {
            cached.DropAll();
        }
    }

    public bool IsDownloading(Digest content)
    {
        lock (_lock)
        {
            return _entries.TryGetValue(content, out var entry) && !entry.Download.IsOver;
        }
    }

    public Task OpenedAsync(Digest content)
    {
        lock (_lock)
        {
            return _entries.TryGetValue(content, out var entry) ? entry.Download.OpenedAsync : Task.CompletedTask;
        }
    }

    public PieceArrival ArrivalOf(Digest content, int piece, string? reader)
    {
        lock (_lock)
        {
            return _entries.TryGetValue(content, out var entry) ? entry.Download.ArrivalOf(piece, reader) : PieceArrival.None;
        }
    }

    public void AddIncoming(Digest content, PieceSet pieces)
    {
        lock (_lock)
        {
            if (_entries.TryGetValue(content, out var entry))
            {
                entry.Download.AddIncoming(pieces);
            }
        }
    }

    public IReadOnlyList<string> HoldersOf(Digest content, int piece)
    {
        lock (_lock)
        {
            return _entries.TryGetValue(content, out var entry) ? entry.Download.HoldersOf(piece) : [];
        }
    }

    public async ValueTask DisposeAsync()
    {
        Task[] closing;
        lock (_lock)
        {
            foreach (var entry in _entries.Values)
            {
                Own(() => entry.Download.DisposeAsync().AsTask());
            }

            _entries.Clear();
            closing = [.. _closing];
        }

        await Task.WhenAll(closing).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>A client is done. Others may go on with a download whose place another one has taken.</summary>
    internal void Leave(Entry entry, OriginReference origin, bool isWhole)
    {
        entry.Download.RemoveClient(origin, isWhole);
        lock (_lock)
        {
            if (--entry.Users == 0)
            {
                Own(() => CloseAsync(entry));
            }
        }
    }

    private async Task CloseAsync(Entry entry)
    {
        if (!entry.Download.IsOver)
        {
            await Task.WhenAny(entry.Download.FinishedAsync, Task.Delay(Linger, _services.Time));
        }

        lock (_lock)
        {
            if (entry.Users > 0)
            {
                return;
            }

            if (_entries.TryGetValue(entry.Download.Digest, out var current) && ReferenceEquals(current, entry))
            {
                _entries.Remove(entry.Download.Digest);
            }
        }

        await entry.Download.DisposeAsync();
    }

    private void Own(Func<Task> close)
    {
        _closing.RemoveWhere(static closed => closed.IsCompleted);
        _closing.Add(Detached.Run(close));
    }

    /// <summary>A download and how many use it.</summary>
    internal sealed class Entry(Download download)
    {
        public Download Download { get; } = download;

        public int Users { get; set; }
    }
}

/// <summary>One use of a download. Dispose exactly once.</summary>
internal sealed class DownloadUse(Downloads downloads, Downloads.Entry entry, OriginReference origin, bool isWhole) : IDisposable
{
    private int _disposed;

    public Download Download => entry.Download;

    /// <summary>Where the client would read it.</summary>
    public OriginReference Origin => origin;

    /// <summary>Registers a reader of this client; only after <see cref="Download.OpenedAsync"/>. Dispose it to say that it needs nothing more.</summary>
    public DownloadReader AddReader(ByteRange range, int aheadPieces) => Download.AddReader(origin, range, aheadPieces);

    /// <summary>What came of this client's own way to the origin; null when it was not tried, or works.</summary>
    public SourceFailure? Failure => Download.FailureOf(origin);

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            downloads.Leave(entry, origin, isWhole);
        }
    }
}
