using System.Diagnostics;
using Microsoft.Win32.SafeHandles;
using Peerd.Benchmarks.Servers;
using Peerd.Contracts;

namespace Peerd.Benchmarks.Ranges;

/// <summary>Reads ranges of a file from a server, over several connections or over one, and takes the time of each.</summary>
internal static class RangeClient
{
    private const int SampleSize = 64;

    /// <summary>Asks for the first byte, as overlaybd does to learn the size, and returns how many milliseconds that took.</summary>
    public static async Task<double> OpenAsync(RangeServer server, BenchmarkFile file)
    {
        using var connection = await RangeConnection.OpenAsync(server, file.Size, 1);
        var start = Stopwatch.GetTimestamp();
        connection.Read(new ByteRange(0, 1));
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    /// <summary>Reads what the plan says, on all connections at once, until each has read its part or the time is over.</summary>
    public static async Task<RangeOutcome> RunAsync(RangeServer server, BenchmarkFile file, ReadPlan plan, TimeSpan limit, CancellationToken cancellationToken)
    {
        var connections = new List<RangeConnection>();
        try
        {
            foreach (var _ in plan.Offsets)
            {
                connections.Add(await RangeConnection.OpenAsync(server, file.Size, plan.RangeSize));
            }

            using var source = File.OpenHandle(file.FullName);
            var start = Stopwatch.GetTimestamp();
            var taken = await Task.WhenAll(connections.Select((connection, i) => OnThreadOfItsOwn(
                () => ReadAll(connection, source, plan, plan.Offsets[i], start, limit, cancellationToken))));
            var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            cancellationToken.ThrowIfCancellationRequested();
            return new RangeOutcome([.. taken.SelectMany(milliseconds => milliseconds).Order()], seconds);
        }
        finally
        {
            connections.ForEach(connection => connection.Dispose());
        }
    }

    /// <summary>Reads what a container has read, in the same order and with the same pauses, over one connection.</summary>
    public static async Task<RangeOutcome> ReplayAsync(RangeServer server, BenchmarkFile file, IReadOnlyList<StartupRead> reads, CancellationToken cancellationToken)
    {
        using var connection = await RangeConnection.OpenAsync(server, file.Size, (int)reads.Max(read => read.Range.Length));
        using var source = File.OpenHandle(file.FullName);
        var start = Stopwatch.GetTimestamp();
        var milliseconds = await OnThreadOfItsOwn(() =>
        {
            var taken = new List<double>(reads.Count);
            foreach (var read in reads)
            {
                cancellationToken.ThrowIfCancellationRequested();
                Thread.Sleep(read.Pause);
                taken.Add(ReadOne(connection, source, read.Range));
            }

            return taken;
        });
        return new RangeOutcome([.. milliseconds.Order()], Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    private static Task<T> OnThreadOfItsOwn<T>(Func<T> work) => Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private static List<double> ReadAll(
        RangeConnection connection, SafeFileHandle source, ReadPlan plan, long[] offsets, long start, TimeSpan limit, CancellationToken cancellationToken)
    {
        var taken = new List<double>(offsets.Length);
        do
        {
            foreach (var offset in offsets)
            {
                taken.Add(ReadOne(connection, source, new ByteRange(offset, plan.RangeSize)));
                if (Stopwatch.GetElapsedTime(start) > limit || cancellationToken.IsCancellationRequested)
                {
                    return taken;
                }
            }
        }
        while (plan.IsRepeated);
        return taken;
    }

    private static double ReadOne(RangeConnection connection, SafeFileHandle source, ByteRange range)
    {
        var start = Stopwatch.GetTimestamp();
        var body = connection.Read(range);
        var taken = Stopwatch.GetElapsedTime(start).TotalMilliseconds;

        // A look at all bytes of all answers would cost more than some servers do.
        Span<byte> sample = stackalloc byte[SampleSize];
        var at = (int)(start % Math.Max(1, body.Length - SampleSize + 1));
        var read = RandomAccess.Read(source, sample, range.Offset + at);
        var compared = Math.Min(read, body.Length - at);
        return body.Slice(at, compared).SequenceEqual(sample[..compared])
            ? taken
            : throw new InvalidDataException($"bytes of {range} are wrong, at {range.Offset + at} or after it");
    }
}
