using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Lifecycle;

/// <summary>A blob as a reader asks a node for it.</summary>
/// <param name="Target">What stands in the request line.</param>
/// <param name="Bytes">What is to come.</param>
internal sealed record ReadBlob(string Target, byte[] Bytes)
{
    /// <summary>A blob with all its bytes.</summary>
    public static ReadBlob Of(string target, GeneratedBlob blob)
    {
        var bytes = new byte[blob.Size];
        blob.Read(0, bytes);
        return new ReadBlob(target, bytes);
    }
}

/// <summary>
/// Clients of one facade that read ranges of 64 KiB at a steady pace and retry nothing: half of them over one connection as
/// long as the node does not say that it ends, the others over a new one for each read. A client that had to wait for an answer
/// reads at once until it is at its pace again.
/// </summary>
/// <param name="authority">Host and port of the facade.</param>
/// <param name="clients">How many of them.</param>
/// <param name="perSecond">Reads per second of all of them together.</param>
internal sealed class RangeReaders(string authority, int clients, int perSecond)
{
    /// <summary>So much of the pace counts as all of it: the last reads are under way.</summary>
    public const double Enough = 0.98;

    private const int RangeSize = 64 * 1024;
    private const int KeptFailures = 20;
    private const int MostSeconds = 600;

    private readonly TimeSpan _pace = TimeSpan.FromSeconds(clients / (double)perSecond);
    private readonly int[] _bySecond = new int[MostSeconds];

    private readonly ConcurrentQueue<string> _failures = new();
    private volatile ReadBlob[] _blobs = [];
    private int _reads;
    private int _connections;
    private long _longest;
    private long _start;

    /// <summary>Reads whose bytes were right.</summary>
    public int Reads => Volatile.Read(ref _reads);

    /// <summary>Reads of each second so far, on average, as a share of those that were to be.</summary>
    public double Share => Reads / Stopwatch.GetElapsedTime(_start).TotalSeconds / perSecond;

    /// <summary>How long the slowest read took, its connection included: what is made up for afterwards is missing from no share.</summary>
    public TimeSpan Longest => new(Volatile.Read(ref _longest));

    /// <summary>Connections that were opened.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>The first few reads that failed or were wrong.</summary>
    public IReadOnlyCollection<string> Failures => _failures;

    /// <summary>What is read from now on.</summary>
    public void Read(params ReadBlob[] blobs) => _blobs = blobs;

    /// <summary>Reads until it is cancelled; what has begun then is read all the same.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        _start = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, clients).Select(i => Task.Run(() => RunAsync(i, cancellationToken), CancellationToken.None)));
    }

    /// <summary>Waits until they have read so many more, or one has failed.</summary>
    public Task MoreAsync(int reads, RunningProcess process)
    {
        var goal = Reads + reads;
        return Wait.UntilAsync($"{goal} reads are done", process, () => Task.FromResult(Reads >= goal || Failures.Count > 0), LabTest.PullTimeout);
    }

    /// <summary>In words, how close to the pace they came so far.</summary>
    public string DescribeRate()
    {
        var elapsed = Stopwatch.GetElapsedTime(_start);
        var whole = _bySecond[..Math.Clamp((int)elapsed.TotalSeconds, 1, MostSeconds)];
        var rate = Reads / elapsed.TotalSeconds;
        var verdict = Share >= Enough ? "the pace was kept" : "THE PACE WAS NOT KEPT: this machine had no time for more, or the node stalled";
        return string.Create(CultureInfo.InvariantCulture, $"{rate:0} reads a second of {perSecond} that were to be ({whole.Min()} in the slowest second, {whole.Max()} in the fastest; the longest took {Longest.TotalMilliseconds:0} ms): {verdict}");
    }

    private async Task RunAsync(int client, CancellationToken cancellationToken)
    {
        var random = new Random(client);
        var keepsAlive = client % 2 == 0;
        WireConnection? connection = null;

        // Not all in the same moment.
        var due = _pace * client / clients;
        try
        {
            for (; _failures.Count < KeptFailures && !cancellationToken.IsCancellationRequested; due += _pace)
            {
                // A delay may end up to a millisecond too early.
                while (due - Stopwatch.GetElapsedTime(_start) is var early && early > TimeSpan.Zero)
                {
                    await Task.Delay(early + TimeSpan.FromMilliseconds(1), CancellationToken.None);
                }

                var blob = _blobs[random.Next(_blobs.Length)];
                var offset = random.Next(blob.Bytes.Length - RangeSize);
                var begun = Stopwatch.GetTimestamp();
                try
                {
                    connection ??= await ConnectAsync();
                    await ReadAsync(connection, blob, offset);
                    Slowest(Stopwatch.GetElapsedTime(begun));
                    Interlocked.Increment(ref _reads);
                    Interlocked.Increment(ref _bySecond[Math.Min((int)Stopwatch.GetElapsedTime(_start).TotalSeconds, MostSeconds - 1)]);
                }
                catch (Exception e)
                {
                    _failures.Enqueue($"read {Reads} of {blob.Target[..Math.Min(40, blob.Target.Length)]} by {(keepsAlive ? "an old" : "a new")} connection: {e.GetType().Name} {e.Message}");
                    connection?.Dispose();
                    connection = null;
                    continue;
                }

                if (!keepsAlive || !connection.IsIdle)
                {
                    connection.Dispose();
                    connection = null;
                }
            }
        }
        finally
        {
            connection?.Dispose();
        }
    }

    private void Slowest(TimeSpan elapsed)
    {
        for (var before = Volatile.Read(ref _longest); before < elapsed.Ticks; before = Volatile.Read(ref _longest))
        {
            Interlocked.CompareExchange(ref _longest, elapsed.Ticks, before);
        }
    }

    private async Task<WireConnection> ConnectAsync()
    {
        Interlocked.Increment(ref _connections);
        using var deadline = new CancellationTokenSource(LabTest.PullTimeout);
        return await WireConnection.ConnectAsync(authority, deadline.Token);
    }

    private static async Task ReadAsync(WireConnection connection, ReadBlob blob, int offset)
    {
        using var deadline = new CancellationTokenSource(LabTest.PullTimeout);
        var head = await connection.AskAsync(blob.Target, [$"Range: bytes={offset}-{offset + RangeSize - 1}"], deadline.Token);
        var body = await connection.ReadBodyAsync(head, RangeSize, deadline.Token);
        if (head.Status != 206 || !body.AsSpan().SequenceEqual(blob.Bytes.AsSpan(offset, RangeSize)))
        {
            throw new InvalidDataException($"status {head.Status}, {body.Length} bytes, {body.AsSpan().CommonPrefixLength(blob.Bytes.AsSpan(offset, RangeSize))} of them right");
        }
    }
}
