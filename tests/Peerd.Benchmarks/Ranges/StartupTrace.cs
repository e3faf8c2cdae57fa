using Peerd.Contracts;

namespace Peerd.Benchmarks.Ranges;

/// <summary>One read of a container that starts.</summary>
/// <param name="Range">What it reads.</param>
/// <param name="Pause">What it does before, without reading.</param>
internal readonly record struct StartupRead(ByteRange Range, TimeSpan Pause);

/// <summary>
/// What a container reads of an image of which it needs little, as overlaybd asks for it: jumps to files, some of them
/// opened again later, and runs of compressed blocks within, each up to 64 KiB, with short pauses. The same seed makes the
/// same trace.
/// </summary>
internal static class StartupTrace
{
    private const double Touched = 0.08;
    private const double Revisited = 0.15;
    private const int Alignment = 512;
    private const int ShortestRead = 4 << 10;
    private const int LongestRead = 64 << 10;
    private const int LongestRun = 24;
    private const double LongestPause = 2;
    private const double LongestPauseBetweenRuns = 15;

    /// <summary>Makes a trace that touches less than a tenth of a content of this size.</summary>
    public static IReadOnlyList<StartupRead> Create(long size, int seed)
    {
        var random = new Random(seed);

        // The index at the end comes first: it says where everything else is.
        var runs = new List<ByteRange[]> { CreateRun(random, size - LongestRun * LongestRead / 2, size) };
        var reads = new List<StartupRead>();
        var read = 0L;
        for (var next = runs[0]; read < Touched * size;)
        {
            foreach (var (i, range) in next.Index())
            {
                reads.Add(new StartupRead(range, TimeSpan.FromMilliseconds(random.NextDouble() * (i == 0 ? LongestPauseBetweenRuns : LongestPause))));
            }

            if (random.NextDouble() < Revisited)
            {
                next = runs[random.Next(runs.Count)];
            }
            else
            {
                next = CreateRun(random, random.NextInt64(size / Alignment) * Alignment, size);
                runs.Add(next);
                read += next.Sum(range => range.Length);
            }
        }

        return reads;
    }

    /// <summary>How many bytes of the content the trace has read, each counted once.</summary>
    public static long TouchedBytes(IReadOnlyList<StartupRead> reads)
    {
        var (touched, end) = (0L, 0L);
        foreach (var range in reads.Select(read => read.Range).OrderBy(range => range.Offset))
        {
            touched += Math.Max(0, range.End - Math.Max(range.Offset, end));
            end = Math.Max(end, range.End);
        }

        return touched;
    }

    private static ByteRange[] CreateRun(Random random, long offset, long size)
    {
        var run = new List<ByteRange>();
        for (var left = random.Next(1, LongestRun + 1); left > 0 && offset < size; left--)
        {
            var length = Math.Min(size - offset, random.Next(ShortestRead / Alignment, LongestRead / Alignment + 1) * Alignment);
            run.Add(new ByteRange(offset, length));
            offset += length;
        }

        return [.. run];
    }
}
