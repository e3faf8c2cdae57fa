using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Peerd.Benchmarks.Measuring;
using Peerd.Benchmarks.Servers;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>
/// What a large pull does to a small one and to a container that streams, where the bandwidth between two nodes is limited: at the
/// node that reads, and at the node that sends. Each beside the same without the large pull, in the same run.
/// </summary>
internal sealed class FairBenchmark : IBenchmark
{
    private const long BytesPerSecond = 50_000_000;
    private const long SmallSize = 32 << 20;
    private const long StreamedSize = 128 << 20;
    private const long LeastFile = 512 << 20;
    private const int ReadSize = 64 * 1024;
    private const int Reads = 300;

    /// <summary>Two who share a link in equal parts take twice as long, and the one who is alone has the burst besides.</summary>
    private const double SmallTarget = 3;

    /// <summary>A read waits for the blocks that are owed already when it comes, and for those on the link: a few.</summary>
    private const double ReadTarget = 8;

    public string Name => "fair";

    public string Description => "A small pull and streaming reads beside a large pull, over limited bandwidth.";

    public string UsualDuration => "3 min";

    public int UsualRounds => 3;

    public async Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken)
    {
        if (plan.FileSize < LeastFile)
        {
            throw new ArgumentException($"a file of {plan.FileSize >> 20} MiB is pulled too soon; allowed: {LeastFile >> 20} and more");
        }

        var table = new ResultTable();
        foreach (var limit in (string[])["Download", "Upload"])
        {
            await using var lab = new Lab();
            plan.Progress("making files");
            var site = await Site.CreateAsync(lab, limit, plan.FileSize, plan.Rounds, cancellationToken);
            for (var round = 0; round < plan.Rounds; round++)
            {
                await site.MeasureAsync(round, table, plan.Progress, cancellationToken);
            }
        }

        return table.Results;
    }

    /// <summary>Two nodes, one of which has everything.</summary>
    private sealed class Site
    {
        private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(30);

        private readonly string _limit;
        private readonly PeerdNode[] _nodes;
        private readonly Nginx _nginx;
        private readonly BenchmarkFile _large;
        private readonly BenchmarkFile _streamed;
        private readonly BenchmarkFile[] _small;

        private Site(string limit, PeerdNode[] nodes, Nginx nginx, BenchmarkFile large, BenchmarkFile streamed, BenchmarkFile[] small) =>
            (_limit, _nodes, _nginx, _large, _streamed, _small) = (limit, nodes, nginx, large, streamed, small);

        private PeerdNode Holder => _nodes[0];

        private PeerdNode Asker => _nodes[1];

        public static async Task<Site> CreateAsync(Lab lab, string limit, long size, int rounds, CancellationToken cancellationToken)
        {
            var folder = lab.CreateFolder("files");
            var large = await BenchmarkFile.CreateAsync(folder, size, cancellationToken);
            var streamed = await BenchmarkFile.CreateAsync(folder, StreamedSize, 1, cancellationToken);

            // Two for each round, and one to warm up with.
            var small = new BenchmarkFile[(2 * rounds) + 1];
            for (var i = 0; i < small.Length; i++)
            {
                small[i] = await BenchmarkFile.CreateAsync(folder, SmallSize, 2 + i, cancellationToken);
            }

            var site = new Site(limit, PeerdNode.CreateMany(lab, 2), await Nginx.StartAsync(lab, folder), large, streamed, small);
            await Task.WhenAll(site.StartAsync(site.Holder), site.StartAsync(site.Asker));
            foreach (var file in (BenchmarkFile[])[large, streamed, .. small])
            {
                await site.PullAsync(site.Holder, file, started: null, cancellationToken);
            }

            return site;
        }

        public async Task MeasureAsync(int round, ResultTable table, Action<string> progress, CancellationToken cancellationToken)
        {
            await Asker.Process.StopAsync(StopTimeout);
            System.IO.Directory.Delete(Asker.CacheFolder, recursive: true);
            await StartAsync(Asker);
            await PullAsync(Asker, _small[^1], started: null, cancellationToken);

            // The beginning of a file is read by nobody twice: each block is read once, in no order that could be fetched ahead.
            var blocks = Enumerable.Range(0, (int)(StreamedSize / ReadSize)).ToArray();
            new Random(round).Shuffle(blocks);
            await ReadAsync(blocks[..50], cancellationToken);
            var smallAlone = await TimeAsync(() => PullAsync(Asker, _small[2 * round], started: null, cancellationToken));
            var readsAlone = await ReadAsync(blocks[50..(50 + Reads)], cancellationToken);

            using var enough = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            var pulling = PullAsync(Asker, _large, started, enough.Token);
            await await Task.WhenAny(started.Task, pulling);
            var smallBeside = await TimeAsync(() => PullAsync(Asker, _small[(2 * round) + 1], started: null, cancellationToken));
            var readsBeside = await ReadAsync(blocks[(50 + Reads)..(50 + (2 * Reads))], cancellationToken);
            if (pulling.IsCompleted)
            {
                throw new InvalidOperationException("the large pull had ended, or failed, before the others: take a larger file");
            }

            await enough.CancelAsync();
            await pulling.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

            var name = $"{_limit.ToLowerInvariant()} limited";
            table.Add(name, "small alone", "s", Better.Lower, smallAlone);
            table.Add(name, "small beside", "s", Better.Lower, smallBeside);
            table.Add(name, "small, beside / alone", "x", Better.Lower, smallBeside / smallAlone, SmallTarget);
            table.Add(name, "read p50 alone", "ms", Better.Lower, At(readsAlone, 0.5));
            table.Add(name, "read p50 beside", "ms", Better.Lower, At(readsBeside, 0.5));
            table.Add(name, "read p99 alone", "ms", Better.Lower, At(readsAlone, 0.99));
            table.Add(name, "read p99 beside", "ms", Better.Lower, At(readsBeside, 0.99));
            table.Add(name, "read p50, beside / alone", "x", Better.Lower, At(readsBeside, 0.5) / At(readsAlone, 0.5), ReadTarget);
            progress(string.Create(
                CultureInfo.InvariantCulture,
                $"{name}, round {round + 1}: small pull {smallAlone:0.00} s alone, {smallBeside:0.00} s beside; reads {At(readsAlone, 0.5):0.0} ms alone, {At(readsBeside, 0.5):0.0} ms beside"));
        }

        private Task StartAsync(PeerdNode node)
        {
            var configuration = node.Configure(_nodes, _nginx.Upstream);
            configuration["Peerd"]!["Blobs"] = new JsonObject
            {
                ["Hosts"] = new JsonArray(_nginx.Endpoint.GetLeftPart(UriPartial.Authority)),
                ["AllowedNetworks"] = new JsonArray("127.0.0.0/8"),
                ["LearnedOrder"] = "false",
                ["ReadAhead"] = "0",
            };
            if (node == (_limit == "Upload" ? Holder : Asker))
            {
                configuration["Peerd"]!["Limits"] = new JsonObject { [_limit] = BytesPerSecond.ToString(CultureInfo.InvariantCulture) };
            }

            return node.StartAsync(configuration);
        }

        /// <summary>Pulls a file; <paramref name="started"/> completes when a part of it has come.</summary>
        private async Task PullAsync(PeerdNode node, BenchmarkFile file, TaskCompletionSource? started, CancellationToken cancellationToken)
        {
            using var client = new HttpClient();
            using var answer = await client.GetAsync(
                new Uri(node.Facade, $"{file.UrlPath}?ns={Uri.EscapeDataString(_nginx.Upstream.Name)}"), HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            answer.EnsureSuccessStatusCode();
            await using var body = await answer.Content.ReadAsStreamAsync(cancellationToken);
            var buffer = new byte[256 * 1024];
            var read = 0L;
            for (int count; (count = await body.ReadAsync(buffer, cancellationToken)) > 0;)
            {
                read += count;
                if (read > file.Size / 20)
                {
                    started?.TrySetResult();
                }
            }
        }

        /// <summary>Reads blocks as overlaybd does, one after the other; how long each took, in milliseconds and in order.</summary>
        private async Task<double[]> ReadAsync(int[] blocks, CancellationToken cancellationToken)
        {
            using var client = new HttpClient();
            var url = new Uri(Asker.Facade, $"blobs/{new Uri(_nginx.Endpoint, _streamed.StorePath)}");
            var times = new double[blocks.Length];
            for (var i = 0; i < blocks.Length; i++)
            {
                var start = Stopwatch.GetTimestamp();
                using var request = new HttpRequestMessage(HttpMethod.Get, url);
                request.Headers.Range = new RangeHeaderValue((long)blocks[i] * ReadSize, (((long)blocks[i] + 1) * ReadSize) - 1);
                using var answer = await client.SendAsync(request, cancellationToken);
                answer.EnsureSuccessStatusCode();
                times[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            }

            Array.Sort(times);
            return times;
        }

        private static async Task<double> TimeAsync(Func<Task> run)
        {
            var start = Stopwatch.GetTimestamp();
            await run();
            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        }

        private static double At(double[] sorted, double part) => sorted[(int)(part * (sorted.Length - 1))];
    }
}
