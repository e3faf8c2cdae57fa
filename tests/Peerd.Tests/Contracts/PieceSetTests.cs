using CsCheck;
using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Tests.Contracts;

public sealed class PieceSetTests
{
    // Capacities around the words of 64 bits, none included.
    private static readonly Gen<int> GenCapacity = Gen.OneOf(Gen.Int[0, 3], Gen.Int[60, 70], Gen.Int[120, 200]);

    // Those that change all at once are rare, or sets would seldom be in between.
    private static readonly Gen<Change> GenChange = Gen.Frequency(
        (6, Gen.Const(Change.Add)), (6, Gen.Const(Change.Remove)), (6, Gen.Const(Change.AddRun)), (1, Gen.Const(Change.Fill)), (1, Gen.Const(Change.Clear)));

    private enum Change
    {
        Add,
        Remove,
        AddRun,
        Fill,
        Clear,
    }

    [Fact]
    public void PieceSet_AnyChanges_IsLikeAHashSet() =>
        Gen.Select(GenCapacity, Gen.Select(GenChange, Gen.Int[-5, 210], Gen.Int[-1, 150]).Array[0, 30]).Sample((capacity, changes) =>
        {
            var set = new PieceSet(capacity);
            var expected = new HashSet<int>();
            AssertAgrees(set, expected);
            foreach (var (change, number, count) in changes)
            {
                Apply(change, number, count, set, expected);
                AssertAgrees(set, expected);
            }
        }, iter: 1000);

    [Fact]
    public void AddRun_HugeRuns_AreClipped()
    {
        var set = new PieceSet(70);

        set.AddRun(68, uint.MaxValue);
        set.AddRun(uint.MaxValue, uint.MaxValue);

        Assert.Equal([(68, 2)], set.Runs());
    }

    [Fact]
    public void AddRuns_OfToPieceRuns_GivesTheSameSet() =>
        Gen.Int[0, 129].Array[0, 60].Sample(numbers =>
        {
            var set = new PieceSet(130);
            foreach (var number in numbers)
            {
                set.Add(number);
            }

            var copy = new PieceSet(130);
            copy.AddRuns(set.ToPieceRuns());
            return Numbers(copy).SequenceEqual(numbers.Distinct().Order());
        });

    [Fact]
    public void AddRuns_BeyondTheCapacity_AreClipped()
    {
        var set = new PieceSet(10);

        set.AddRuns([new PieceRun { First = 8, Count = uint.MaxValue }, new PieceRun { First = uint.MaxValue, Count = 1 }]);

        Assert.Equal([(8, 2)], set.Runs());
    }

    [Fact]
    public void AddRuns_AnyOrderAndOverlapping_GivesWhatEachOfThemGives() =>
        Gen.Select(Gen.Int[0, 210], Gen.Int[0, 150]).Array[0, 30].Sample(runs =>
        {
            var expected = new PieceSet(200);
            foreach (var (first, count) in runs)
            {
                expected.AddRun(first, count);
            }

            var set = new PieceSet(200);
            set.AddRuns(runs.Select(run => new PieceRun { First = (uint)run.Item1, Count = (uint)run.Item2 }));
            return set.Count == expected.Count && set.Runs().SequenceEqual(expected.Runs());
        }, iter: 1000);

    [Fact]
    public void Clone_Changed_LeavesTheOriginal()
    {
        var set = new PieceSet(10);
        set.Add(3);
        var clone = set.Clone();

        clone.Add(4);
        clone.Remove(3);

        Assert.Equal([3], Numbers(set));
        Assert.Equal([4], Numbers(clone));
        Assert.Equal((1, 1), (set.Count, clone.Count));
    }

    [Fact]
    public void CountOfAndElementOf_AnySets_AreThoseOfASortedList() =>
        Gen.Select(GenCapacity, Gen.Int[0, 1 << 20], Gen.Bool, Gen.Bool).Sample((capacity, seed, hasWithin, hasExceptToo) =>
        {
            var random = new Random(seed);
            var set = SomeOf(capacity, random);
            var except = SomeOf(capacity, random);
            var within = hasWithin ? SomeOf(capacity, random) : null;
            var exceptToo = hasExceptToo ? SomeOf(capacity, random) : null;

            var expected = Enumerable.Range(0, capacity)
                .Where(number => set.Contains(number) && !except.Contains(number) && within?.Contains(number) != false && exceptToo?.Contains(number) != true)
                .ToList();
            Assert.Equal(expected.Count, set.CountOf(except, within, exceptToo));
            Assert.Equal(expected, Enumerable.Range(0, expected.Count).Select(index => set.ElementOf(index, except, within, exceptToo)));
            Assert.Equal(-1, set.ElementOf(expected.Count, except, within, exceptToo));
        }, iter: 1000);

    [Fact]
    public void PieceSet_NegativeCapacity_IsRefused() => Assert.Throws<ArgumentOutOfRangeException>(() => new PieceSet(-1));

    private static PieceSet SomeOf(int capacity, Random random)
    {
        var set = new PieceSet(capacity);
        var oneIn = random.Next(1, 5);
        for (var number = 0; number < capacity; number++)
        {
            if (random.Next(oneIn) == 0)
            {
                set.Add(number);
            }
        }

        return set;
    }

    private static void Apply(Change change, int number, int count, PieceSet set, HashSet<int> expected)
    {
        switch (change)
        {
            case Change.Add when number < 0 || number >= set.Capacity:
                Assert.Throws<ArgumentOutOfRangeException>(() => set.Add(number));
                break;
            case Change.Add:
                Assert.Equal(expected.Add(number), set.Add(number));
                break;
            case Change.Remove:
                Assert.Equal(expected.Remove(number), set.Remove(number));
                break;
            case Change.AddRun:
                set.AddRun(number, count);
                expected.UnionWith(Enumerable.Range(number, Math.Max(0, count)).Where(n => n >= 0 && n < set.Capacity));
                break;
            case Change.Fill:
                set.Fill();
                expected.UnionWith(Enumerable.Range(0, set.Capacity));
                break;
            default:
                set.Clear();
                expected.Clear();
                break;
        }
    }

    private static void AssertAgrees(PieceSet set, HashSet<int> expected)
    {
        var capacity = set.Capacity;
        Assert.Equal(expected.Count, set.Count);
        Assert.Equal(expected.Count == capacity, set.IsFull);
        Assert.Equal(expected.Order(), Numbers(set));

        // From the end, where what comes next is what was met last. So many comparisons would take most of the time as assertions.
        var (nextSet, nextClear) = (-1, -1);
        for (var number = capacity + 1; number >= -2; number--)
        {
            var isSet = expected.Contains(number);
            if (number >= 0 && number < capacity)
            {
                (nextSet, nextClear) = isSet ? (number, nextClear) : (nextSet, number);
            }

            if ((isSet, nextSet, nextClear) != (set.Contains(number), set.NextSet(number), set.NextClear(number)))
            {
                Assert.Equal((number, isSet, nextSet, nextClear), (number, set.Contains(number), set.NextSet(number), set.NextClear(number)));
            }
        }

        // Runs do not touch: each is as long as it can be.
        Assert.All(set.Runs(), run => Assert.False(set.Contains(run.First - 1) || set.Contains(run.First + run.Count)));
    }

    private static IEnumerable<int> Numbers(PieceSet set) => set.Runs().SelectMany(run => Enumerable.Range(run.First, run.Count));
}
