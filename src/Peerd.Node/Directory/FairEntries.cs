using System.Diagnostics.CodeAnalysis;

namespace Peerd.Node.Directory;

/// <summary>
/// Entries that several members have told, and whose they are. When there are too many, the one to go is the oldest of who has most, so
/// that nobody pushes out what others told. Not thread-safe.
/// </summary>
internal sealed class FairEntries<TKey, TValue>
    where TKey : notnull
{
    private readonly Dictionary<TKey, LinkedListNode<Entry>> _entries = [];
    private readonly Dictionary<string, Owner> _owners = new(StringComparer.Ordinal);
    private readonly SortedSet<Owner> _byWeight = new(Comparer<Owner>.Create(static (one, other) => (one.Weight, one.Number).CompareTo((other.Weight, other.Number))));
    private int _lastNumber;

    /// <summary>How many there are.</summary>
    public int Count => _entries.Count;

    /// <summary>What all of them weigh.</summary>
    public long Weight { get; private set; }

    /// <summary>Finds an entry, which is the youngest of its owner's then.</summary>
    public bool TryGet(TKey key, [MaybeNullWhen(false)] out TValue value)
    {
        value = default;
        if (!_entries.TryGetValue(key, out var node))
        {
            return false;
        }

        value = node.Value.Value;
        var entries = node.Value.Owner.Entries;
        entries.Remove(node);
        entries.AddLast(node);
        return true;
    }

    /// <summary>Adds an entry, or puts it in the place of the one with this key, whosesoever that is.</summary>
    public void Set(TKey key, TValue value, string owner, long weight = 1)
    {
        Remove(key);
        if (!_owners.TryGetValue(owner, out var whose))
        {
            _owners.Add(owner, whose = new Owner(owner, _lastNumber++));
        }

        _entries.Add(key, whose.Entries.AddLast(new Entry(key, value, whose, weight)));
        Weigh(whose, weight);
    }

    /// <summary>Whose an entry is; null when there is none.</summary>
    public string? OwnerOf(TKey key) => _entries.TryGetValue(key, out var node) ? node.Value.Owner.Name : null;

    /// <summary>Gives an entry to another owner, of whose it is the youngest then.</summary>
    /// <exception cref="KeyNotFoundException">There is none.</exception>
    public void Give(TKey key, string owner)
    {
        var entry = _entries[key].Value;
        Set(key, entry.Value, owner, entry.Weight);
    }

    /// <summary>Forgets an entry if there is one.</summary>
    public void Remove(TKey key)
    {
        if (_entries.Remove(key, out var node))
        {
            var owner = node.Value.Owner;
            owner.Entries.Remove(node);
            Weigh(owner, -node.Value.Weight);
            if (owner.Entries.Count == 0)
            {
                _byWeight.Remove(owner);
                _owners.Remove(owner.Name);
            }
        }
    }

    /// <summary>The entry that is to go first.</summary>
    /// <exception cref="InvalidOperationException">There is none.</exception>
    public TKey First => _byWeight.Max is { Entries.First: { } first } ? first.Value.Key : throw new InvalidOperationException("there are no entries");

    private void Weigh(Owner owner, long change)
    {
        _byWeight.Remove(owner);
        owner.Weight += change;
        Weight += change;
        _byWeight.Add(owner);
    }

    private sealed record Entry(TKey Key, TValue Value, Owner Owner, long Weight);

    private sealed class Owner(string name, int number)
    {
        public string Name => name;

        /// <summary>Tells those of the same weight apart.</summary>
        public int Number => number;

        public long Weight { get; set; }

        public LinkedList<Entry> Entries { get; } = new();
    }
}
