using Peerd.Contracts;

namespace Peerd.Node.Storage;

/// <summary>
/// The contents that were found at the start, as long as they are looked for: of more than there is room for, those that were used last. So
/// a directory may have any number of them. Not thread-safe.
/// </summary>
/// <param name="mostBytes">What they may take on disk.</param>
/// <param name="mostMemory">What they may take of memory, roughly.</param>
internal sealed class FoundContents(long mostBytes, long mostMemory)
{
    /// <summary>Of memory, for each beside its tables.</summary>
    internal const int MemoryOfEach = 1024;

    private readonly Dictionary<Digest, LoadedContent> _contents = [];
    private readonly SortedSet<LoadedContent> _byLastUse = new(Comparer<LoadedContent>.Create(Compare));
    private long _bytes;
    private long _memory;

    /// <summary>The one that was used longest ago first.</summary>
    public IEnumerable<LoadedContent> ByLastUse => _byLastUse;

    /// <summary>Takes one more. Of two that are the same content, as a crash leaves them, it keeps the one with more pieces and returns the other.</summary>
    public LoadedContent? Add(LoadedContent content)
    {
        if (!_contents.TryGetValue(content.Header.Digest, out var other))
        {
            Keep(content);
            return null;
        }

        if (content.Number == other.Number)
        {
            // A file system may list a file twice when another is deleted meanwhile.
            return null;
        }

        if (content.Pieces.Count <= other.Pieces.Count)
        {
            return content;
        }

        Drop(other);
        Keep(content);
        return other;
    }

    /// <summary>Gives up one for which there is no room; null when there is room for all.</summary>
    public LoadedContent? TakeExcess()
    {
        if ((_bytes <= mostBytes && _memory <= mostMemory) || _byLastUse.Min is not { } oldest)
        {
            return null;
        }

        Drop(oldest);
        return oldest;
    }

    private static int Compare(LoadedContent? left, LoadedContent? right) =>
        (left!.LastUsed, left.Number).CompareTo((right!.LastUsed, right.Number)) is not 0 and var order ? order
        : string.CompareOrdinal(left.Header.Digest.ToString(), right.Header.Digest.ToString());

    private static long MemoryOf(LoadedContent content) => MemoryOfEach + CachedContent.TableBytesOf(content.Layout);

    private void Keep(LoadedContent content)
    {
        _contents.Add(content.Header.Digest, content);
        _byLastUse.Add(content);
        _bytes += content.DiskBytes;
        _memory += MemoryOf(content);
    }

    private void Drop(LoadedContent content)
    {
        _contents.Remove(content.Header.Digest);
        _byLastUse.Remove(content);
        _bytes -= content.DiskBytes;
        _memory -= MemoryOf(content);
    }
}
