using System.Collections.Concurrent;
using Peerd.Contracts;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Ring;
using Peerd.Node.Storage;

namespace Peerd.Node.Directory;

/// <summary>
/// Tells the owner and the replica of each content what this node holds of it: everything when a stream opens or the
/// ring changes, then what changes. Owns one <see cref="AnnounceTarget"/> for each member that it has something to tell.
/// </summary>
internal sealed class Announcer(
    PieceCache cache,
    RingSource rings,
    NodeIdentity self,
    PeerConnections peers,
    HolderDirectory directory,
    ContentMismatches mismatches,
    TagDirectory tags,
    IDiscardHandler discards,
    TimeProvider time,
    MeshDrain drain,
    ILoggerFactory loggers) : BackgroundService
{
    /// <summary>Changes of this long go into one batch.</summary>
    public static readonly TimeSpan Coalesce = TimeSpan.FromMilliseconds(10);

    /// <summary>A content is not dropped again sooner on the word of others. Shorter than theirs, which news of it may take longer or less long to follow.</summary>
    public static readonly TimeSpan DiscardPause = HolderDirectory.DiscardPause / 2;

    /// <summary>So long after a ring change former owners still count on what is here: as long as those linger who ask them, and a little more.</summary>
    public static readonly TimeSpan WithdrawPause = TimeSpan.FromMilliseconds(150);

    // Lazy: two loops may want the same target at once, and each target opens a stream.
    private readonly ConcurrentDictionary<string, Lazy<AnnounceTarget>> _targets = new(StringComparer.Ordinal);
    private readonly DiscardPauses _pauses = new(time, DiscardPause);
    private volatile HashRing _ring = HashRing.Empty;

    /// <summary>Withdraws everything at once by ending all streams: for a node that leaves.</summary>
    public Task LeaveAsync() => Task.WhenAll(_targets.Values.Select(target => target.Value.DisposeAsync().AsTask()));

    /// <summary>This node has resolved a tag: tells those responsible for it.</summary>
    public void Resolved(TagKey key)
    {
        foreach (var (name, _) in ByTarget([key.Place]))
        {
            // This node knows, and one that stops tells nothing any more.
            if (name != self.Name && !drain.Stopping.IsCancellationRequested)
            {
                TargetOf(name).Resolved([key]);
            }
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // Peers must not be sent to a node that is stopping: it leaves before its listeners close.
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken, drain.Stopping);
        try
        {
            await Task.WhenAll(FollowRingAsync(stop.Token), WithdrawAsync(stop.Token), FollowCacheAsync(stop.Token), FollowMismatchesAsync(stop.Token));
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
        }
        finally
        {
            await LeaveAsync();
        }
    }

    private async Task FollowRingAsync(CancellationToken cancellationToken)
    {
        await foreach (var ring in rings.WatchAsync(cancellationToken))
        {
            var before = _ring;
            _ring = ring;

            // First the new owners learn what is held.
            Distribute(cache.Digests);
            DistributeTags(before);
        }
    }

    /// <summary>Those that deal until all have gone to the new owners must not take what is withdrawn for lost.</summary>
    private async Task WithdrawAsync(CancellationToken cancellationToken)
    {
        await foreach (var ring in rings.WatchAsync(cancellationToken))
        {
            await Task.Delay(WithdrawPause, time, cancellationToken);
            var gone = new List<Task>();
            foreach (var (name, target) in _targets)
            {
                if (ring.IndexOf(name) < 0 && rings.Current.IndexOf(name) < 0 && _targets.TryRemove(name, out _))
                {
                    gone.Add(target.Value.DisposeAsync().AsTask());
                }
                else
                {
                    // What moved away from it is withdrawn with its next batch.
                    target.Value.Changed(target.Value.Said);
                }
            }

            await Task.WhenAll(gone);
            if (gone.Count > 0)
            {
                // One may be back, and have been told something by a stream that was about to end.
                Distribute(cache.Digests);
            }
        }
    }

    private async Task FollowCacheAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            await cache.Changes.WaitAsync(cancellationToken);
            await Task.Delay(Coalesce, time, cancellationToken);
            Distribute(cache.Changes.Drain());
        }
    }

    private async Task FollowMismatchesAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            await mismatches.Found.WaitAsync(cancellationToken);
            foreach (var digest in mismatches.Found.Drain())
            {
                foreach (var (name, _) in ByTarget([digest]))
                {
                    TargetOf(name).Mismatched(digest);
                }
            }
        }
    }

    private void Distribute(IReadOnlyCollection<Digest> changed)
    {
        foreach (var (name, digests) in ByTarget(changed))
        {
            TargetOf(name).Changed(digests);
        }
    }

    /// <summary>Tags of this node go to members that have become responsible for them.</summary>
    private void DistributeTags(HashRing before)
    {
        foreach (var key in tags.Own)
        {
            foreach (var (name, _) in ByTarget([key.Place]))
            {
                if (name != self.Name && !before.IsResponsible(key.Place, name, ProtocolConstants.Replicas))
                {
                    TargetOf(name).Resolved([key]);
                }
            }
        }
    }

    /// <summary>All that this node has resolved and this member is responsible for.</summary>
    private IEnumerable<TagKey> TagsOf(string target) =>
        tags.Own.Where(key => target != self.Name && _ring.IsResponsible(key.Place, target, ProtocolConstants.Replicas));

    private AnnounceTarget TargetOf(string name) =>
        _targets.GetOrAdd(name, static (key, announcer) => new Lazy<AnnounceTarget>(() => announcer.CreateTarget(key)), this).Value;

    /// <summary>Who is responsible for which of the contents.</summary>
    private Dictionary<string, List<Digest>> ByTarget(IReadOnlyCollection<Digest> changed)
    {
        var ring = _ring;
        Span<int> responsible = stackalloc int[ProtocolConstants.Replicas];
        var byTarget = new Dictionary<string, List<Digest>>(StringComparer.Ordinal);
        foreach (var digest in changed)
        {
            var count = ring.FindResponsible(digest, responsible);
            foreach (var index in responsible[..count])
            {
                var name = ring[index].Name;
                if (!byTarget.TryGetValue(name, out var digests))
                {
                    byTarget.Add(name, digests = []);
                }

                digests.Add(digest);
            }
        }

        return byTarget;
    }

    private AnnounceTarget CreateTarget(string name) => new(name, self, peers, directory, Held, TagsOf, tags.DescribeOwn, Discard, time, loggers.CreateLogger<AnnounceTarget>());

    /// <summary>Owner and replica both say so, and any member may be one of the two.</summary>
    private void Discard(Digest digest)
    {
        if (_pauses.TryBegin(digest))
        {
            discards.Discard(digest);
        }
    }

    /// <summary>What this node holds of a content, if this member is responsible for it.</summary>
    private HeldContent? Held(string target, Digest digest)
    {
        if (!_ring.IsResponsible(digest, target, ProtocolConstants.Replicas) || !cache.TryPeek(digest, out var content))
        {
            return null;
        }

        // Counted first: a piece that is lost between the two is told of once more, instead of never.
        var losses = content.Losses;
        return new HeldContent(content.Size, content.MediaType, content.IsVerified, content.SnapshotPieces(), losses) { StartupOrder = content.OwnStartupOrder };
    }
}
