using System.Runtime.InteropServices;
using Peerd.Contracts;

namespace Peerd.EndToEnd.Streaming;

/// <summary>The order in which containers read a blob: runs of reads in sequence, at any byte, and jumps between the runs.</summary>
internal static class ReadPattern
{
    /// <summary>The largest read of a compressed blob.</summary>
    public const int Usual = 64 * 1024;

    /// <summary>The largest read of a blob that is not compressed.</summary>
    public const int Large = 4 << 20;

    private const int LongestRun = 64;

    /// <summary>Reads that have each byte once.</summary>
    public static IEnumerable<ByteRange> Cover(long size, int largest, int seed)
    {
        var random = new Random(seed);
        var runs = new List<List<ByteRange>>();
        for (var offset = 0L; offset < size;)
        {
            var run = new List<ByteRange>();
            for (var left = random.Next(1, LongestRun + 1); left > 0 && offset < size; left--)
            {
                var range = new ByteRange(offset, Math.Min(random.Next(1, largest + 1), size - offset));
                run.Add(range);
                offset = range.End;
            }

            runs.Add(run);
        }

        random.Shuffle(CollectionsMarshal.AsSpan(runs));
        return runs.SelectMany(run => run);
    }
}
