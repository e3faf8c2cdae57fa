using System.Threading.Channels;
using BitFaster.Caching.Lru;
using Peerd.Contracts;
using Peerd.Node.Directory;
using Peerd.Node.Membership;
using Peerd.Node.Origin;
using Peerd.Node.Ring;
using Peerd.Node.Storage;

namespace Peerd.Node.Swarm;

/// <summary>
/// Keeps a copy of each small content that this node is responsible for: manifests and configs are a few bytes on which
/// a whole pull depends, and must not go with the one node that had them. Copies come from other nodes only, and take a
/// small part of the cache: whoever makes up contents does not turn it over. Thread-safe.
/// </summary>
internal sealed partial class SmallCopies : BackgroundService, IHolderObserver
{
    /// <summary>Largest content that is copied.</summary>
    public const long MaxSize = 1024 * 1024;

    /// <summary>Largest manifest that is copied.</summary>
    public const long MaxManifestSize = 4 * 1024 * 1024;

    /// <summary>How often a content is tried, each time when another holder announces it.</summary>
    public const int MaxTries = 2;

    /// <summary>The oldest copies go when all together take more than this part of the cache.</summary>
    public const int ShareOfCache = 16;

    /// <summary>Or when they are more.</summary>
    private const int MaxCopies = 16 * 1024;

    private const int Workers = 2;
    private const int MaxQueued = 1024;
    private const int MaxRemembered = 4096;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly HolderDirectory _directory;
    private readonly Downloads _downloads;
    private readonly PieceCache _cache;
    private readonly RingSource _rings;
    private readonly NodeIdentity _self;
    private readonly TimeProvider _time;
    private readonly ILogger<SmallCopies> _logger;
    private readonly Lock _lock = new();
    private readonly HashSet<Digest> _pending = [];
    private readonly Dictionary<Digest, long> _copies = [];

    /// <summary>The copies from the oldest on. Those that were made before this process began count as what clients have read.</summary>
    private readonly Queue<Digest> _oldest = new();
    private readonly ConcurrentLru<Digest, int> _failures = new(MaxRemembered);
    private readonly Channel<Digest> _queue = Channel.CreateBounded<Digest>(MaxQueued);
    private long _copiedBytes;

    public SmallCopies(HolderDirectory directory, Downloads downloads, PieceCache cache, RingSource rings, NodeIdentity self, TimeProvider time, ILogger<SmallCopies> logger)
    {
        _directory = directory;
        _downloads = downloads;
        _cache = cache;
        _rings = rings;
        _self = self;
        _time = time;
        _logger = logger;
        directory.Observe(this);
    }

    void IHolderObserver.HolderChanged(Digest content, string node)
    {
        if (node == _self.Name || _directory.FindComplete(content, node) is not var (size, mediaType) || !IsSmall(size, mediaType)
            || IsHere(content) || HasFailed(content) || !_rings.Current.IsResponsible(content, _self.Name, ProtocolConstants.Replicas))
        {
            return;
        }

        lock (_lock)
        {
            // A thousand nodes announce it, and one fetch is enough. When there is no place, the next one to announce it counts.
            if (_pending.Add(content) && !_queue.Writer.TryWrite(content))
            {
                _pending.Remove(content);
            }
        }
    }

    void IHolderObserver.Mismatched(Digest content)
    {
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Task.WhenAll(Enumerable.Range(0, Workers).Select(_ => WorkAsync(stoppingToken)));

    private static bool IsSmall(long size, string mediaType) =>
        size <= MaxSize || (size <= MaxManifestSize && (mediaType.Contains(".manifest.", StringComparison.Ordinal) || mediaType.Contains(".index.", StringComparison.Ordinal)));

    private bool IsHere(Digest content) => _cache.TryPeek(content, out var cached) && cached.IsVerified;

    private bool HasFailed(Digest content) => _failures.TryGet(content, out var failures) && failures >= MaxTries;

    private async Task WorkAsync(CancellationToken stop)
    {
        await foreach (var content in _queue.Reader.ReadAllAsync(stop))
        {
            try
            {
                if (!IsHere(content) && !await FetchAsync(content, stop))
                {
                    Failed(content, "no other node gave it");
                }
            }
            catch (Exception e) when (!stop.IsCancellationRequested)
            {
                // One content must not end the copying of the others.
                Failed(content, e.Message);
            }
            finally
            {
                lock (_lock)
                {
                    _pending.Remove(content);
                }
            }
        }
    }

    private async Task<bool> FetchAsync(Digest content, CancellationToken stop)
    {
        using var late = new CancellationTokenSource(Deadline, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, late.Token);
        using var use = _downloads.Join(content, OriginReference.None, isWhole: true);
        if (await use.Download.OpenedAsync.WaitAsync(either.Token) is not null || !await use.Download.FinishedAsync.WaitAsync(either.Token))
        {
            return false;
        }

        MakeRoomFor(content, use.Download.Content.Size);
        return true;
    }

    private void MakeRoomFor(Digest copy, long size)
    {
        lock (_lock)
        {
            if (_copies.TryAdd(copy, size))
            {
                _oldest.Enqueue(copy);
                _copiedBytes += size;
            }

            for (var left = _oldest.Count; left > 0 && (_copiedBytes > _cache.CapacityBytes / ShareOfCache || _copies.Count > MaxCopies); left--)
            {
                var oldest = _oldest.Dequeue();
                if (_cache.TryEvict(oldest))
                {
                    _copies.Remove(oldest, out var bytes);
                    _copiedBytes -= bytes;
                }
                else
                {
                    // Its turn comes again: who keeps it open does not keep it for ever.
                    _oldest.Enqueue(oldest);
                }
            }
        }
    }

    private void Failed(Digest content, string reason)
    {
        _failures.TryGet(content, out var before);
        _failures.AddOrUpdate(content, before + 1);
        Log.Failed(_logger, content, reason);
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Debug, "No copy of {Digest} is kept: {Reason}")]
        public static partial void Failed(ILogger logger, Digest digest, string reason);
    }
}
