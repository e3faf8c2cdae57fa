using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using Peerd.Contracts;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Soak;

/// <summary>
/// Clients of all nodes, each with one thing that it does over and over: pull a blob, stream ranges of one, leave in the middle
/// of a pull, ask for what nobody has. Every byte is compared. Thread-safe.
/// </summary>
internal sealed class SoakClients(SoakSite site) : IDisposable
{
    private const int ChunkSize = 64 * 1024;
    private const int RangesInARow = 20;
    private const int KeptFailures = 20;
    private const int LinesOfFailure = 8;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(30);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly HttpClient _http = new(new SocketsHttpHandler { UseProxy = false, UseCookies = false, PooledConnectionIdleTimeout = TimeSpan.FromSeconds(5) }) { Timeout = Timeout.InfiniteTimeSpan };
    private readonly Lock _gate = new();
    private readonly List<string> _failures = [];
    private long _bytes;
    private int _done;
    private int _excused;

    /// <summary>Right bytes so far.</summary>
    public long Bytes => Interlocked.Read(ref _bytes);

    /// <summary>What was done as it should be.</summary>
    public int Done => Volatile.Read(ref _done);

    /// <summary>What failed at the node that is started again all the time.</summary>
    public int Excused => Volatile.Read(ref _excused);

    /// <summary>The first few that failed elsewhere.</summary>
    public IReadOnlyList<string> Failures
    {
        get
        {
            lock (_gate)
            {
                return [.. _failures];
            }
        }
    }

    /// <summary>Goes on until cancelled.</summary>
    /// <exception cref="InvalidDataException">A byte is wrong.</exception>
    public Task RunAsync(CancellationToken cancellationToken) => Task.WhenAll(site.All.SelectMany((node, i) => (Task[])
    [
        RepeatAsync(node, 10 * i, PullAsync, cancellationToken),
        RepeatAsync(node, (10 * i) + 1, PullAsync, cancellationToken),
        RepeatAsync(node, (10 * i) + 2, StreamAsync, cancellationToken),
        RepeatAsync(node, (10 * i) + 3, StreamAsync, cancellationToken),
        RepeatAsync(node, (10 * i) + 4, LeaveAsync, cancellationToken),
        RepeatAsync(node, (10 * i) + 5, AskForNothingAsync, cancellationToken),
    ]));

    /// <inheritdoc />
    public void Dispose() => _http.Dispose();

    private async Task RepeatAsync(PeerdNode node, int seed, Func<PeerdNode, Random, CancellationToken, Task> act, CancellationToken cancellationToken)
    {
        var random = new Random(seed);
        while (!cancellationToken.IsCancellationRequested)
        {
            using var patience = new CancellationTokenSource(Patience);
            try
            {
                await act(node, random, patience.Token);
                Interlocked.Increment(ref _done);
            }
            catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or SocketException)
            {
                // A connection that is reset as soon as it is made makes no HttpRequestException.
                Note(node, $"{act.Method.Name} at {node.Name}: {e.Message}");
            }

            await Task.Delay(Pause, CancellationToken.None);
        }
    }

    private void Note(PeerdNode node, string failure)
    {
        if (node == site.Restless)
        {
            Interlocked.Increment(ref _excused);
            return;
        }

        lock (_gate)
        {
            if (_failures.Count < KeptFailures)
            {
                _failures.Add($"{failure}\n{node.Process.Tail(LinesOfFailure)}");
            }
        }
    }

    private async Task PullAsync(PeerdNode node, Random random, CancellationToken cancellationToken)
    {
        var blob = Pick(random);
        var read = 0L;
        try
        {
            using var response = await _http.GetAsync(site.PullOf(node, blob.Digest), HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            read = await CompareAsync(response.EnsureSuccessStatusCode(), blob, 0, cancellationToken, so => read = so);
        }
        catch (OperationCanceledException e)
        {
            throw new IOException($"{blob.Digest} came no further than {read} of {blob.Size} bytes", e);
        }

        if (read != blob.Size)
        {
            throw new IOException($"{blob.Digest} was cut after {read} of {blob.Size} bytes");
        }
    }

    private async Task StreamAsync(PeerdNode node, Random random, CancellationToken cancellationToken)
    {
        var blob = Pick(random);
        var url = site.StreamOf(node, blob);
        var offset = random.NextInt64(blob.Size);
        for (var i = 0; i < RangesInARow && offset < blob.Size; i++)
        {
            var length = Math.Min(random.Next(1, ChunkSize), blob.Size - offset);
            using var request = new HttpRequestMessage(HttpMethod.Get, url) { Headers = { Range = new RangeHeaderValue(offset, offset + length - 1) } };
            using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            if (response.StatusCode != HttpStatusCode.PartialContent || await CompareAsync(response, blob, offset, cancellationToken) != length)
            {
                throw new IOException($"{length} bytes at {offset} of {blob.Digest}: status {(int)response.StatusCode}");
            }

            offset += length;
        }
    }

    // A client that goes away leaves nothing behind.
    private async Task LeaveAsync(PeerdNode node, Random random, CancellationToken cancellationToken)
    {
        var blob = Pick(random);
        using var response = await _http.GetAsync(site.PullOf(node, blob.Digest), HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        await using var body = await response.EnsureSuccessStatusCode().Content.ReadAsStreamAsync(cancellationToken);
        var buffer = new byte[1000];
        blob.Demand(0, buffer.AsSpan(0, await body.ReadAsync(buffer, cancellationToken)));
    }

    private async Task AskForNothingAsync(PeerdNode node, Random random, CancellationToken cancellationToken)
    {
        var bytes = new byte[8];
        random.NextBytes(bytes);
        using var response = await _http.GetAsync(site.PullOf(node, Digest.OfSha256(bytes)), cancellationToken);
        if (response.StatusCode != HttpStatusCode.NotFound)
        {
            throw new IOException($"a digest that nobody has: status {(int)response.StatusCode}");
        }
    }

    private async Task<long> CompareAsync(HttpResponseMessage response, GeneratedBlob blob, long offset, CancellationToken cancellationToken, Action<long>? moved = null)
    {
        await using var body = await response.Content.ReadAsStreamAsync(cancellationToken);
        var (buffer, start) = (new byte[ChunkSize], offset);
        int read;
        while ((read = await body.ReadAsync(buffer, cancellationToken)) > 0)
        {
            blob.Demand(offset, buffer.AsSpan(0, read));
            offset += read;
            moved?.Invoke(offset - start);
            Interlocked.Add(ref _bytes, read);
        }

        return offset - start;
    }

    // Some contents are in demand, the others come round now and then: both kinds of a cache's life.
    private GeneratedBlob Pick(Random random) => site.Contents[(int)(random.NextDouble() * random.NextDouble() * site.Contents.Length)];
}
