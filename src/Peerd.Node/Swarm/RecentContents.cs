using System.Diagnostics.CodeAnalysis;
using Peerd.Contracts;

namespace Peerd.Node.Swarm;

/// <summary>What is remembered of contents for a while. Bounded; thread-safe.</summary>
/// <typeparam name="T">What is remembered of each.</typeparam>
internal sealed class RecentContents<T>(TimeProvider time)
{
    /// <summary>Contents that are remembered; more push out those of which something was remembered the longest ago.</summary>
    public const int Most = 1024;

    /// <summary>How long: origins and networks are mended.</summary>
    public static readonly TimeSpan Memory = TimeSpan.FromMinutes(10);

    private readonly Lock _lock = new();
    private readonly Dictionary<Digest, (T Value, long At)> _contents = [];
    private int _count;

    /// <summary>Contents that are remembered.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>What is remembered of a content.</summary>
    public bool TryFind(Digest content, [MaybeNullWhen(false)] out T value)
    {
        value = default;
        if (Count == 0)
        {
            // Nearly always, and each read asks.
            return false;
        }

        lock (_lock)
        {
            return TryFindLocked(content, out value);
        }
    }

    /// <summary>Remembers something, and returns it.</summary>
    /// <param name="content">The content.</param>
    /// <param name="next">What, given what was remembered before; that is <c>default</c> when nothing was.</param>
    public T Set(Digest content, Func<T?, T> next)
    {
        lock (_lock)
        {
            var value = next(TryFindLocked(content, out var before) ? before : default);
            if (_contents.Count >= Most && !_contents.ContainsKey(content))
            {
                _contents.Remove(_contents.MinBy(static pair => pair.Value.At).Key);
            }

            _contents[content] = (value, time.GetTimestamp());
            Volatile.Write(ref _count, _contents.Count);
            return value;
        }
    }

    public void Remove(Digest content)
    {
        lock (_lock)
        {
            RemoveLocked(content);
        }
    }

    private bool TryFindLocked(Digest content, [MaybeNullWhen(false)] out T value)
    {
        var isKnown = _contents.TryGetValue(content, out var found);
        value = found.Value;
        if (isKnown && time.GetElapsedTime(found.At) >= Memory)
        {
            RemoveLocked(content);
            isKnown = false;
        }

        return isKnown;
    }

    private void RemoveLocked(Digest content)
    {
        _contents.Remove(content);
        Volatile.Write(ref _count, _contents.Count);
    }
}
