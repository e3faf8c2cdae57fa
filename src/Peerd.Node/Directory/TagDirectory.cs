using System.Diagnostics.CodeAnalysis;
using BitFaster.Caching.Lru;
using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Membership;
using Peerd.Node.Ring;

namespace Peerd.Node.Directory;

/// <summary>
/// Where tags pointed when they were resolved last: by this node, and by others for whose tags it is responsible. In
/// memory, bounded, and nothing in it is older than is of use. Thread-safe.
/// </summary>
internal sealed class TagDirectory(IOptions<TagOptions> options, RingSource rings, NodeIdentity self, TimeProvider time)
{
    /// <summary>
    /// Tags of each sort. More push out those that were not used lately; of what others tell, those of the member that has told most of
    /// them, and names that are no members count as one.
    /// </summary>
    public const int MaxTags = 10_000;

    /// <summary>Tags in one message at most.</summary>
    public const int MaxInMessage = 256;

    /// <summary>Largest manifest that a tag may point to.</summary>
    private const long MaxSize = 4 * 1024 * 1024;

    private const int LongestMediaType = 255;

    /// <summary>So many are responsible for a tag in some ring that others may see: one that a member has just left, or not yet.</summary>
    private const int MaybeResponsible = ProtocolConstants.Replicas + 2;

    private readonly TimeSpan _maxStale = options.Value.MaxStaleValue;
    private readonly ConcurrentLru<TagKey, TagTarget> _own = new(MaxTags);
    private readonly Lock _lock = new();
    private readonly FairEntries<TagKey, TagTarget> _told = new();
    private long _version;

    /// <summary>False when nothing is ever served stale, and so nothing is kept.</summary>
    public bool IsOn => _maxStale > TimeSpan.Zero;

    /// <summary>Tags that this node resolved itself; a copy.</summary>
    public IEnumerable<TagKey> Own => _own.Keys;

    /// <summary>Grows with each change of <see cref="Own"/>.</summary>
    public long Version => Interlocked.Read(ref _version);

    /// <summary>The clock of <see cref="TagTarget.ResolvedAt"/>.</summary>
    public TimeSpan Now => time.GetElapsedTime(0);

    /// <summary>How long ago the registry said so.</summary>
    public TimeSpan AgeOf(TagTarget target) => Now - target.ResolvedAt;

    /// <summary>The registry said to this node where the tag points.</summary>
    public void Resolved(TagKey key, Digest digest, string? mediaType, long? size)
    {
        _own.AddOrUpdate(key, new TagTarget(digest, mediaType ?? string.Empty, size ?? 0, Now));
        Interlocked.Increment(ref _version);
    }

    /// <summary>What this node had resolved itself before it was started anew.</summary>
    public void Restore(TagPointer pointer)
    {
        if (TryRead(pointer, out var key, out var target))
        {
            _own.AddOrUpdate(key, target);
        }
    }

    /// <summary>
    /// The registry said that there is no such tag. Kept as long as a digest would be, so that what others still know does not
    /// bring it back; false when nothing was known of it anyway.
    /// </summary>
    public bool Gone(TagKey key)
    {
        if (!_own.TryGet(key, out _) && ToldOf(key) is null)
        {
            return false;
        }

        Resolved(key, default, mediaType: null, size: null);
        return true;
    }

    /// <summary>
    /// The last word on a tag, for a client of this node; null when there is none, or it is too old. What the registry told
    /// this node itself counts more than what others say, unless they say that the tag has gone since.
    /// </summary>
    public TagTarget? Find(TagKey key) => Usable(OwnOf(key)) is { } own && !(Usable(ToldOf(key)) is { IsGone: true } told && told.ResolvedAt > own.ResolvedAt)
        ? own
        : Usable(ToldOf(key));

    /// <summary>The newest word on a tag, for other nodes, as a message; null when nothing is known.</summary>
    public TagPointer? Describe(TagKey key)
    {
        var (own, told) = (Usable(OwnOf(key)), Usable(ToldOf(key)));
        return Describe(key, own is null || told?.ResolvedAt > own.ResolvedAt ? told : own);
    }

    /// <summary>What the registry told this node itself, as a message; null when that is too old.</summary>
    public TagPointer? DescribeOwn(TagKey key) => Describe(key, Usable(OwnOf(key)));

    /// <summary>Takes what another node tells; what is malformed, too old, no news, or for others to know is left out.</summary>
    public void Take(IEnumerable<TagPointer> pointers, string node)
    {
        var ring = rings.Current;
        var teller = rings.Knows(node) ? node : string.Empty;
        foreach (var pointer in pointers.Take(MaxInMessage))
        {
            if (TryRead(pointer, out var key, out var target) && (ring.Count == 0 || ring.IsResponsible(key.Place, self.Name, MaybeResponsible)))
            {
                Take(key, target, teller);
            }
        }
    }

    /// <summary>Reads a message of another node; false when anything in it is not as it must be.</summary>
    public bool TryRead(TagPointer pointer, out TagKey key, [NotNullWhen(true)] out TagTarget? target)
    {
        target = null;
        if (!TagKey.TryCreate(pointer.Registry, pointer.Repository, pointer.Tag, out key)
            || !(Digest.TryParse(pointer.Digest, out var digest) || pointer.Digest.Length == 0)
            || pointer.Size is < 0 or > MaxSize
            || pointer.MediaType.Length > LongestMediaType
            || pointer.MediaType.AsSpan().ContainsAnyExceptInRange('!', '~')
            || !IsOn
            || pointer.AgeMs > _maxStale.TotalMilliseconds)
        {
            return false;
        }

        target = new TagTarget(digest, pointer.MediaType, pointer.Size, Now - TimeSpan.FromMilliseconds(pointer.AgeMs));
        return true;
    }

    private void Take(TagKey key, TagTarget target, string teller)
    {
        lock (_lock)
        {
            if (_told.TryGet(key, out var known) && known.ResolvedAt >= target.ResolvedAt)
            {
                return;
            }

            _told.Set(key, target, teller);
            if (_told.Count > MaxTags)
            {
                _told.Remove(_told.First);
            }
        }
    }

    private TagTarget? OwnOf(TagKey key) => _own.TryGet(key, out var target) ? target : null;

    private TagTarget? ToldOf(TagKey key)
    {
        lock (_lock)
        {
            return _told.TryGet(key, out var target) ? target : null;
        }
    }

    private TagTarget? Usable(TagTarget? target) => target is not null && AgeOf(target) <= _maxStale ? target : null;

    private TagPointer? Describe(TagKey key, TagTarget? target) => target is null
        ? null
        : new TagPointer
        {
            Registry = key.Registry,
            Repository = key.Repository,
            Tag = key.Tag,
            Digest = target.IsGone ? string.Empty : target.Digest.ToString(),
            MediaType = target.MediaType,
            Size = target.Size,
            AgeMs = (ulong)AgeOf(target).TotalMilliseconds,
        };
}
