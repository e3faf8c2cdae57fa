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
/// small part of the cache: whoever makes up contents does not turn it over. Those who announce take turns, who has
/// just announced in vain after all others. Copies go of what one announced that announced most of them; what several announced
/// counts as that of whose turn it was last, and when that one has it no more, as another one's. Thread-safe.
/// </summary>
internal sealed partial class SmallCopies : BackgroundService, IHolderObserver
{
    /// <summary>Largest content that is copied.</summary>
    public const long MaxSize = 1024 * 1024;

    /// <summary>Largest manifest that is copied.</summary>
    public const long MaxManifestSize = 4 * 1024 * 1024;

    /// <summary>How often a content is tried of what one member announced, each time when it announces it.</summary>
    public const int MaxTries = 2;

    /// <summary>How often it is tried in all, unless a member announces it that did not announce in vain just before.</summary>
    private const int MaxTriesOfAll = 8;

    /// <summary>Copies go when all together take more than this part of the cache.</summary>
    public const int ShareOfCache = 16;

    /// <summary>Each counts as such a part of that share at least.</summary>
    private const int MaxCopies = 16 * 1024;

    /// <summary>More than two: of two members that never send what they announced each would take one.</summary>
    private const int Workers = 4;

    /// <summary>Of one member. A node that starts announces all that it has, some hundreds of them manifests and configs.</summary>
    private const int MaxWaiting = 1024;
    private const int MaxRemembered = 4096;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    /// <summary>
    /// A turn that takes longer is as good as one in vain: others have waited for it. Longer than one needs that asks two silent
    /// holders first: they are not the announcer's fault.
    /// </summary>
    private static readonly TimeSpan LongTurn = TimeSpan.FromSeconds(12);

    private readonly HolderDirectory _directory;
    private readonly Downloads _downloads;
    private readonly PieceCache _cache;
    private readonly RingSource _rings;
    private readonly NodeIdentity _self;
    private readonly TimeProvider _time;
    private readonly ILogger<SmallCopies> _logger;
    private readonly Lock _lock = new();

    /// <summary>What waits, by who announced it.</summary>
    private readonly Dictionary<string, Queue<Digest>> _waiting = new(StringComparer.Ordinal);

    /// <summary>Members whose turn comes, each of them once, here or there, and not while something is copied that it announced.</summary>
    private readonly Queue<string> _turns = new();

    /// <summary>Those whose last turn was in vain or took long: theirs comes when nobody else waits.</summary>
    private readonly Queue<string> _lastTurns = new();

    /// <summary>As many as there are turns.</summary>
    private readonly Channel<bool> _turnsWaiting = Channel.CreateUnbounded<bool>();
    private readonly ConcurrentLru<string, bool> _inVain = new(MaxRemembered);

    /// <summary>The copies, by who announced them. Those that were made before this process began count as what clients have read.</summary>
    private readonly FairEntries<Digest, bool> _copies = new();
    private readonly ConcurrentLru<(Digest Content, string Announcer), int> _failures = new(MaxRemembered);
    private readonly ConcurrentLru<Digest, int> _failuresOfAll = new(MaxRemembered);

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
        // Names that are no members count as one.
        var announcer = _rings.Knows(node) ? node : string.Empty;
        if (node == _self.Name)
        {
            return;
        }

        if (_directory.FindComplete(content, node) is not var (size, mediaType))
        {
            // Of a large content, of which others tell piece by piece, there is none.
            if (_cache.TryPeek(content, out var copy) && copy.Size <= MaxManifestSize)
            {
                PassOn(content, node, announcer);
            }

            return;
        }

        if (!IsSmall(size, mediaType) || IsHere(content) || HasFailed(content, announcer) || !_rings.Current.IsResponsible(content, _self.Name, ProtocolConstants.Replicas))
        {
            return;
        }

        lock (_lock)
        {
            if (!_waiting.TryGetValue(announcer, out var line))
            {
                _waiting.Add(announcer, line = new Queue<Digest>());
                AddTurn(announcer);
            }

            // When there is no place, the next one to announce it counts.
            if (line.Count < MaxWaiting)
            {
                line.Enqueue(content);
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

    private bool HasFailed(Digest content, string announcer) =>
        (_failures.TryGet((content, announcer), out var failures) && failures >= MaxTries)
        || (_failuresOfAll.TryGet(content, out var all) && all >= MaxTriesOfAll && _inVain.TryGet(announcer, out _));

    private async Task WorkAsync(CancellationToken stop)
    {
        await foreach (var _ in _turnsWaiting.Reader.ReadAllAsync(stop))
        {
            var (announcer, content) = Next();
            var started = _time.GetTimestamp();

            // A thousand nodes announce it, and one fetch is enough.
            if (!IsHere(content) && !HasFailed(content, announcer))
            {
                if (await CopyAsync(content, announcer, stop) && _time.GetElapsedTime(started) < LongTurn)
                {
                    _inVain.TryRemove(announcer);
                }
                else
                {
                    _inVain.AddOrUpdate(announcer, true);
                }
            }

            EndTurn(announcer);
        }
    }

    /// <summary>A copy counts no more as that of a node that does not announce it any more, if another member does.</summary>
    private void PassOn(Digest copy, string node, string announcer)
    {
        lock (_lock)
        {
            if (_copies.OwnerOf(copy) is { } owner && (owner == node || owner == announcer)
                && _directory.FirstComplete(copy, other => other != node && other != _self.Name && _rings.Knows(other)) is { } next)
            {
                _copies.Give(copy, next);
            }
        }
    }

    private (string Announcer, Digest Content) Next()
    {
        lock (_lock)
        {
            var announcer = _turns.Count > 0 ? _turns.Dequeue() : _lastTurns.Dequeue();
            return (announcer, _waiting[announcer].Dequeue());
        }
    }

    private void EndTurn(string announcer)
    {
        lock (_lock)
        {
            if (_waiting[announcer].Count > 0)
            {
                AddTurn(announcer);
            }
            else
            {
                _waiting.Remove(announcer);
            }
        }
    }

    // Within the lock.
    private void AddTurn(string announcer)
    {
        (_inVain.TryGet(announcer, out _) ? _lastTurns : _turns).Enqueue(announcer);
        _turnsWaiting.Writer.TryWrite(true);
    }

    /// <summary>False when it was tried in vain.</summary>
    private async Task<bool> CopyAsync(Digest content, string announcer, CancellationToken stop)
    {
        try
        {
            if (await FetchAsync(content, announcer, stop))
            {
                return true;
            }

            Failed(content, announcer, "no other node gave it");
        }
        catch (Exception e)
        {
            stop.ThrowIfCancellationRequested();

            // One content must not end the copying of the others.
            Failed(content, announcer, e.Message);
        }

        return false;
    }

    private async Task<bool> FetchAsync(Digest content, string announcer, CancellationToken stop)
    {
        using var late = new CancellationTokenSource(Deadline, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, late.Token);
        using var use = _downloads.Join(content, OriginReference.None, isWhole: true);
        if (await use.Download.OpenedAsync.WaitAsync(either.Token) is not null)
        {
            return false;
        }

        // It counts from now on, for a part of it takes room, too.
        MakeRoomFor(content, announcer, use.Download.Content.Size);
        return await use.Download.FinishedAsync.WaitAsync(either.Token);
    }

    private void MakeRoomFor(Digest copy, string announcer, long size)
    {
        var most = _cache.CapacityBytes / ShareOfCache;
        lock (_lock)
        {
            _copies.Set(copy, true, announcer, Math.Max(size, most / MaxCopies));
            for (var left = _copies.Count; left > 0 && _copies.Weight > most; left--)
            {
                var first = _copies.First;
                if (_cache.TryEvict(first))
                {
                    _copies.Remove(first);
                }
                else
                {
                    // Its turn comes again: who keeps it open does not keep it for ever.
                    _copies.TryGet(first, out _);
                }
            }
        }
    }

    private void Failed(Digest content, string announcer, string reason)
    {
        _failures.TryGet((content, announcer), out var before);
        _failures.AddOrUpdate((content, announcer), before + 1);
        _failuresOfAll.TryGet(content, out var ofAll);
        _failuresOfAll.AddOrUpdate(content, ofAll + 1);
        lock (_lock)
        {
            // What the size told is not what it takes.
            if (!_cache.TryPeek(content, out var part))
            {
                _copies.Remove(content);
            }
            else if (!part.IsVerified && _copies.TryGet(content, out _))
            {
                _copies.Set(content, true, announcer, Math.Max(part.DiskBytes, _cache.CapacityBytes / ShareOfCache / MaxCopies));
            }
        }

        Log.Failed(_logger, content, reason);
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Debug, "No copy of {Digest} is kept: {Reason}")]
        public static partial void Failed(ILogger logger, Digest digest, string reason);
    }
}
