using System.Numerics;
using Peerd.Contracts.V1;

namespace Peerd.Contracts;

/// <summary>A set of piece (or frame, or segment) numbers from 0 up to a fixed count: one bit each. Not thread-safe.</summary>
public sealed class PieceSet
{
    private readonly ulong[] _words;

    /// <summary>An empty set for the numbers 0 … <paramref name="capacity"/> - 1.</summary>
    public PieceSet(int capacity)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(capacity);
        Capacity = capacity;
        _words = new ulong[(capacity + 63) / 64];
    }

    private PieceSet(PieceSet other)
    {
        Capacity = other.Capacity;
        Count = other.Count;
        _words = (ulong[])other._words.Clone();
    }

    /// <summary>How many numbers there can be.</summary>
    public int Capacity { get; }

    /// <summary>How many numbers are in the set.</summary>
    public int Count { get; private set; }

    /// <summary>True when every number is in the set.</summary>
    public bool IsFull => Count == Capacity;

    /// <summary>True when the number is in the set; false for numbers that cannot be.</summary>
    public bool Contains(int number) => (uint)number < (uint)Capacity && (_words[number >> 6] & (1UL << (number & 63))) != 0;

    /// <summary>Adds a number; false when it was there.</summary>
    public bool Add(int number)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)number, (uint)Capacity, nameof(number));
        ref var word = ref _words[number >> 6];
        var bit = 1UL << (number & 63);
        if ((word & bit) != 0)
        {
            return false;
        }

        word |= bit;
        Count++;
        return true;
    }

    /// <summary>Removes a number; false when it was not there.</summary>
    public bool Remove(int number)
    {
        if (!Contains(number))
        {
            return false;
        }

        _words[number >> 6] &= ~(1UL << (number & 63));
        Count--;
        return true;
    }

    /// <summary>Adds the numbers of a run, clipped to what can be in the set.</summary>
    public void AddRun(long first, long count)
    {
        var number = (int)Math.Clamp(first, 0, Capacity);
        var end = (int)Math.Clamp(first + count, 0, Capacity);
        while (number < end)
        {
            // A word at a time: runs come from other nodes and can be as long as they like.
            var bits = Math.Min(64 - (number & 63), end - number);
            var mask = (bits == 64 ? ulong.MaxValue : (1UL << bits) - 1) << (number & 63);
            ref var word = ref _words[number >> 6];
            Count += BitOperations.PopCount(mask & ~word);
            word |= mask;
            number += bits;
        }
    }

    /// <summary>Adds all numbers.</summary>
    public void Fill() => AddRun(0, Capacity);

    /// <summary>Removes all numbers.</summary>
    public void Clear()
    {
        Array.Clear(_words);
        Count = 0;
    }

    /// <summary>The smallest number in the set that is at least <paramref name="from"/>, or -1.</summary>
    public int NextSet(int from) => Next(from, invert: false);

    /// <summary>The smallest number not in the set that is at least <paramref name="from"/>, or -1.</summary>
    public int NextClear(int from) => Next(from, invert: true);

    /// <summary>
    /// How many numbers are in this set, in <paramref name="within"/> (null for no limit) and in none of the others. All have
    /// the same capacity.
    /// </summary>
    public int CountOf(PieceSet except, PieceSet? within, PieceSet? exceptToo = null)
    {
        var count = 0;
        for (var i = 0; i < _words.Length; i++)
        {
            count += BitOperations.PopCount(Word(i, except, within, exceptToo));
        }

        return count;
    }

    /// <summary>The <paramref name="index"/>-th (from 0) of the numbers that <see cref="CountOf"/> counts; -1 when there are not so many.</summary>
    public int ElementOf(int index, PieceSet except, PieceSet? within, PieceSet? exceptToo = null)
    {
        for (var i = 0; i < _words.Length; i++)
        {
            var word = Word(i, except, within, exceptToo);
            var count = BitOperations.PopCount(word);
            if (index >= count)
            {
                index -= count;
                continue;
            }

            for (; index > 0; index--)
            {
                word &= word - 1;
            }

            return (i << 6) + BitOperations.TrailingZeroCount(word);
        }

        return -1;
    }

    /// <summary>The runs of consecutive numbers in the set, in order.</summary>
    public IEnumerable<(int First, int Count)> Runs()
    {
        for (var first = NextSet(0); first >= 0;)
        {
            var end = NextClear(first);
            end = end < 0 ? Capacity : end;
            yield return (first, end - first);
            first = end >= Capacity ? -1 : NextSet(end);
        }
    }

    /// <summary>The runs as messages of the protocol.</summary>
    public IEnumerable<PieceRun> ToPieceRuns() => Runs().Select(run => new PieceRun { First = (uint)run.First, Count = (uint)run.Count });

    /// <summary>
    /// Adds runs of the protocol, clipped to what can be in the set. A message may have many that overlap: they are gone over in order of
    /// their first numbers, so that no number is more than twice.
    /// </summary>
    public void AddRuns(IEnumerable<PieceRun> runs)
    {
        var added = 0L;
        var last = 0U;
        List<PieceRun>? others = null;
        foreach (var run in runs)
        {
            if (run.First < last)
            {
                (others ??= []).Add(run);
                continue;
            }

            last = run.First;
            added = AddRunFrom(added, run);
        }

        if (others is not null)
        {
            added = 0;
            others.Sort((a, b) => a.First.CompareTo(b.First));
            others.ForEach(run => added = AddRunFrom(added, run));
        }
    }

    /// <summary>A copy that changes independently.</summary>
    public PieceSet Clone() => new(this);

    /// <summary>Adds what of a run is not before a number. Where what is added ends then.</summary>
    private long AddRunFrom(long number, PieceRun run)
    {
        var first = Math.Max(number, run.First);
        var end = (long)run.First + run.Count;
        if (end <= first)
        {
            return number;
        }

        AddRun(first, end - first);
        return end;
    }

    private ulong Word(int index, PieceSet except, PieceSet? within, PieceSet? exceptToo) =>
        _words[index] & ~except._words[index] & (within?._words[index] ?? ulong.MaxValue) & ~(exceptToo?._words[index] ?? 0);

    private int Next(int from, bool invert)
    {
        for (var number = Math.Max(0, from); number < Capacity;)
        {
            var word = invert ? ~_words[number >> 6] : _words[number >> 6];
            word >>= number & 63;
            if (word != 0)
            {
                number += BitOperations.TrailingZeroCount(word);
                return number < Capacity ? number : -1;
            }

            number = (number | 63) + 1;
        }

        return -1;
    }
}
