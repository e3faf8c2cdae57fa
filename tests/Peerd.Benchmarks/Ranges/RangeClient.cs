using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Microsoft.Win32.SafeHandles;
using Peerd.Benchmarks.Servers;
using Peerd.Contracts;

namespace Peerd.Benchmarks.Ranges;

/// <summary>
/// Reads ranges of a file from a server and takes the time of each. One thread serves all connections, as in wrk and in
/// overlaybd: more of them would take the processors from the server, and most from one that has many threads itself.
/// </summary>
internal static class RangeClient
{
    private const int SampleSize = 64;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>Asks for the first byte, as overlaybd does to learn the size, and returns how many milliseconds that took.</summary>
    public static async Task<double> OpenAsync(RangeServer server, BenchmarkFile file)
    {
        using var connection = await RangeConnection.OpenAsync(server, file.Size, 1);
        return await OnThreadOfItsOwn(() => Read(connection, new ByteRange(0, 1)));
    }

    /// <summary>Reads what the plan says, on all connections at once, until each has read its part or the time is over.</summary>
    /// <param name="server">Who is read from.</param>
    /// <param name="file">What is read.</param>
    /// <param name="plan">Which ranges.</param>
    /// <param name="limit">After which no more are asked for.</param>
    /// <param name="pace">
    /// Reads per second of all connections together, whose time is taken from when they are due; null when each connection reads as soon as it
    /// can, so that the processors are never idle.
    /// </param>
    /// <param name="cancellationToken">Ends it.</param>
    public static async Task<RangeOutcome> RunAsync(
        RangeServer server, BenchmarkFile file, ReadPlan plan, TimeSpan limit, int? pace, CancellationToken cancellationToken)
    {
        var connections = new List<RangeConnection>();
        try
        {
            for (var i = 0; i < ReadPlan.Connections; i++)
            {
                connections.Add(await RangeConnection.OpenAsync(server, file.Size, plan.RangeSize));
            }

            using var source = File.OpenHandle(file.FullName);
            return await OnThreadOfItsOwn(() => ReadAll(connections, source, plan, limit, pace, cancellationToken));
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
        return await OnThreadOfItsOwn(() =>
        {
            var (taken, start) = (new List<double>(reads.Count), Stopwatch.GetTimestamp());
            foreach (var read in reads)
            {
                cancellationToken.ThrowIfCancellationRequested();
                Thread.Sleep(read.Pause);
                taken.Add(Read(connection, read.Range));
                CheckSample(connection, source);
            }

            return new RangeOutcome([.. taken.Order()], Stopwatch.GetElapsedTime(start).TotalSeconds);
        });
    }

    private static Task<T> OnThreadOfItsOwn<T>(Func<T> work) => Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private static double Read(RangeConnection connection, ByteRange range)
    {
        connection.Ask(range);
        while (!connection.Receive())
        {
        }

        return connection.Milliseconds;
    }

    private static RangeOutcome ReadAll(
        IReadOnlyList<RangeConnection> connections, SafeFileHandle source, ReadPlan plan, TimeSpan limit, int? pace, CancellationToken cancellationToken)
    {
        // Never readable: sleeps may last a millisecond too long, waits for a socket do not.
        using var alarm = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        alarm.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var taken = new List<double>();
        var due = new PriorityQueue<(RangeConnection Connection, IEnumerator<ByteRange> Ranges), long>();
        var reading = new Dictionary<Socket, (RangeConnection Connection, IEnumerator<ByteRange> Ranges)>();
        var ready = new List<Socket>();
        var start = Stopwatch.GetTimestamp();
        var asked = 0;
        foreach (var (i, connection) in connections.Index())
        {
            Schedule((connection, plan.RangesOf(i).GetEnumerator()));
        }

        while (reading.Count + due.Count > 0)
        {
            cancellationToken.ThrowIfCancellationRequested();
            while (due.TryPeek(out var next, out var at) && at <= Stopwatch.GetTimestamp())
            {
                due.Dequeue();
                next.Connection.Ask(next.Ranges.Current, at);
                reading.Add(next.Connection.Socket, next);
            }

            ready.Clear();
            ready.Add(alarm);
            ready.AddRange(reading.Keys);
            var wait = due.TryPeek(out _, out var soon) ? TimeSpan.FromTicks(Math.Max(0, Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), soon).Ticks)) : Patience;
            Socket.Select(ready, null, null, wait);
            if (ready.Count == 0 && due.Count == 0)
            {
                throw new TimeoutException($"none of {reading.Count} reads went on for {Patience.TotalSeconds:0} s");
            }

            foreach (var socket in ready)
            {
                var read = reading[socket];
                if (read.Connection.Receive())
                {
                    taken.Add(read.Connection.Milliseconds);
                    CheckSample(read.Connection, source);
                    reading.Remove(socket);
                    Schedule(read);
                }
            }
        }

        return new RangeOutcome([.. taken.Order()], Stopwatch.GetElapsedTime(start).TotalSeconds);

        void Schedule((RangeConnection Connection, IEnumerator<ByteRange> Ranges) read)
        {
            if (Stopwatch.GetElapsedTime(start) < limit && read.Ranges.MoveNext())
            {
                due.Enqueue(read, pace is { } perSecond ? start + asked++ * Stopwatch.Frequency / perSecond : Stopwatch.GetTimestamp());
            }
        }
    }

    /// <summary>Compares some bytes of the answer with the file: to compare all would cost more than some servers do.</summary>
    private static void CheckSample(RangeConnection connection, SafeFileHandle source)
    {
        Span<byte> sample = stackalloc byte[SampleSize];
        var body = connection.Body;
        var at = (int)(Stopwatch.GetTimestamp() % Math.Max(1, body.Length - SampleSize + 1));
        var length = Math.Min(RandomAccess.Read(source, sample, connection.Range.Offset + at), body.Length - at);
        if (!body.Slice(at, length).SequenceEqual(sample[..length]))
        {
            throw new InvalidDataException($"the answer to {connection.Range} has wrong bytes at {connection.Range.Offset + at} or after it");
        }
    }
}
