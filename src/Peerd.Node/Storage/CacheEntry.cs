namespace Peerd.Node.Storage;

/// <summary>What the cache notes of a content; its lock protects all of it.</summary>
internal sealed class CacheEntry
{
    /// <summary>How many leases there are.</summary>
    public int Pins { get; set; }

    /// <summary>False when it was evicted or removed.</summary>
    public bool IsListed { get; set; }

    /// <summary>It goes before others that were used less recently.</summary>
    public bool IsExpendable { get; set; }

    /// <summary>Place in the order of use while it has no lease.</summary>
    public LinkedListNode<CachedContent>? Unpinned { get; set; }

    /// <summary>What it counts for of the memory of incomplete contents while it has no lease.</summary>
    public long Tables { get; set; }

    /// <summary>Place among those whose files are open although they have no lease.</summary>
    public LinkedListNode<CachedContent>? Open { get; set; }
}
