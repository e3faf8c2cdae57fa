using Peerd.Contracts;

namespace Peerd.Node.Swarm;

/// <summary>
/// Contents whose origin sends something else than their digest says, again and again. For a while they are neither brought here
/// nor shared: each client reads its own URL, or what the registry sends it, and nobody is handed bytes that were found wrong
/// twice. Thread-safe.
/// </summary>
internal sealed class Quarantine(TimeProvider time)
{
    /// <summary>Contents that are remembered; more push out those that were found wrong the longest ago.</summary>
    public const int Most = 1024;

    /// <summary>How long: an origin may be mended.</summary>
    public static readonly TimeSpan Memory = TimeSpan.FromMinutes(10);

    /// <summary>Once may be somebody's bad memory or line.</summary>
    private const int Enough = 2;

    private readonly Lock _lock = new();
    private readonly Dictionary<Digest, (int Mismatches, long At)> _contents = [];
    private int _count;

    /// <summary>Contents that are remembered.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>The content is not to be brought here. It may still be here, as something that was checked.</summary>
    public bool Contains(Digest content)
    {
        if (Count == 0)
        {
            // Nearly always, and each read asks.
            return false;
        }

        lock (_lock)
        {
            return _contents.TryGetValue(content, out var found) && found.Mismatches >= Enough && IsFresh(found.At);
        }
    }

    /// <summary>The origin alone sent all of a content, and it does not match. True when it is not to be brought here any more.</summary>
    /// <param name="content">The content.</param>
    /// <param name="isAgain">It is known that this is not the first time.</param>
    public bool Mismatched(Digest content, bool isAgain)
    {
        lock (_lock)
        {
            var before = _contents.TryGetValue(content, out var found) && IsFresh(found.At) ? found.Mismatches : 0;
            var mismatches = isAgain ? Enough : before + 1;
            if (_contents.Count >= Most && !_contents.ContainsKey(content))
            {
                _contents.Remove(_contents.MinBy(static pair => pair.Value.At).Key);
            }

            _contents[content] = (mismatches, time.GetTimestamp());
            Volatile.Write(ref _count, _contents.Count);
            return mismatches >= Enough;
        }
    }

    /// <summary>The origin sends the right bytes.</summary>
    public void Matched(Digest content)
    {
        lock (_lock)
        {
            _contents.Remove(content);
            Volatile.Write(ref _count, _contents.Count);
        }
    }

    private bool IsFresh(long at) => time.GetElapsedTime(at) < Memory;
}
