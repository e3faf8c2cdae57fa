using Peerd.Contracts;

namespace Peerd.Benchmarks.Ranges;

/// <summary>Which ranges each connection reads, in which order. The same for both servers of a comparison.</summary>
/// <param name="RangeSize">Bytes of each range.</param>
/// <param name="Offsets">For each connection where its ranges begin.</param>
/// <param name="IsRepeated">A connection that has read all of its ranges begins again; else it ends.</param>
internal sealed record ReadPlan(int RangeSize, IReadOnlyList<long[]> Offsets, bool IsRepeated)
{
    public const int Connections = 16;

    private const int Seed = 4711;

    // overlaybd reads compressed blocks, wherever they begin. Within a piece, so that none needs two.
    private const int Alignment = 512;

    /// <summary>Any range, any number of times.</summary>
    public static ReadPlan Repeated(RangeCase @case, long size)
    {
        var slots = Enumerable.Range(0, (int)(size / @case.RangeSize)).Select(slot => (long)slot * @case.RangeSize).ToArray();
        return new ReadPlan(@case.RangeSize, Deal(@case.Pattern, slots, @case.RangeSize), IsRepeated: true);
    }

    /// <summary>
    /// Nothing twice, and nothing of the first piece, with which a content is opened. At random: of each piece one range, so
    /// that a node that fetches whole pieces has no other read's bytes yet, but for what it fetches ahead.
    /// </summary>
    public static ReadPlan Once(RangeCase @case, long size)
    {
        var unit = Math.Max(new ContentLayout(size).PieceSize, @case.RangeSize);
        var units = Enumerable.Range(1, (int)(size / unit) - 1).Select(index => (long)index * unit).ToArray();
        if (@case.Pattern is RangePattern.Sequential)
        {
            var parts = Deal(@case.Pattern, units, unit);
            return new ReadPlan(@case.RangeSize, [.. parts.Select(part => Cut(part, unit, @case.RangeSize))], IsRepeated: false);
        }

        var random = new Random(Seed);
        var places = (unit - @case.RangeSize) / Alignment + 1;
        var offsets = Array.ConvertAll(units, start => start + (long)random.Next(places) * Alignment);
        return new ReadPlan(@case.RangeSize, Deal(@case.Pattern, offsets, unit), IsRepeated: false);
    }

    /// <summary>The same ranges for a server to which it makes no difference that it has read them before.</summary>
    public ReadPlan Again() => this with { IsRepeated = true };

    /// <summary>What one connection reads; without an end when it is repeated.</summary>
    public IEnumerable<ByteRange> RangesOf(int connection)
    {
        do
        {
            foreach (var offset in Offsets[connection])
            {
                yield return new ByteRange(offset, RangeSize);
            }
        }
        while (IsRepeated);
    }

    private static long[][] Deal(RangePattern pattern, long[] offsets, int unit)
    {
        if (offsets.Length < Connections)
        {
            throw new ArgumentException($"there are {offsets.Length} runs of {unit >> 10} KiB for {Connections} connections; a larger file has more");
        }

        if (pattern is RangePattern.Sequential)
        {
            return [.. offsets.Chunk(offsets.Length / Connections).Take(Connections)];
        }

        new Random(Seed).Shuffle(offsets);
        return [.. Enumerable.Range(0, Connections).Select(connection => offsets.Where((_, i) => i % Connections == connection).ToArray())];
    }

    private static long[] Cut(long[] units, int unit, int rangeSize) =>
        [.. units.SelectMany(start => Enumerable.Range(0, unit / rangeSize).Select(part => start + (long)part * rangeSize))];
}
