using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Peerd.Benchmarks.Measuring;
using Peerd.Benchmarks.Servers;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>
/// What a large pull does to a small one and to a container that streams, and what is fetched ahead of a container to a pull, where
/// bandwidth is limited: between two nodes at the node that reads, and at the node that sends, and between a node that is alone and the
/// origin. Each beside the same without the other, in the same run.
/// </summary>
internal sealed class FairBenchmark : IBenchmark
{
    private const long BytesPerSecond = 50_000_000;
    private const long SmallSize = 32 << 20;
    private const long StreamedSize = 128 << 20;
    private const long LeastFile = 512 << 20;
    private const int ReadSize = 64 * 1024;
    private const int Reads = 300;

    /// <summary>The origin brings a block with all of its segment, of which a streamed file has so many: a read of each is one that nothing has come before.</summary>
    private const int Segments = 256;
    private const int ReadsAtOrigin = 200;
    private const int WarmUps = 50;

    /// <summary>Two who share a link in equal parts take twice as long, and the one who is alone has the burst besides.</summary>
    private const double SmallTarget = 3;

    /// <summary>What is fetched ahead goes last: only what the container reads itself goes before the pull, a part of the bandwidth.</summary>
    private const double AheadTarget = 1.5;

    /// <summary>The origin is read in larger parts: all before the block that a container waits for comes with it.</summary>
    private const double AheadAtOriginTarget = 3;

    /// <summary>Between two reads of a container that needs less than the bandwidth, and of which more is fetched ahead than there is.</summary>
    private static readonly TimeSpan Thinking = TimeSpan.FromMilliseconds(50);

    /// <summary>A read waits for the blocks that are owed already when it comes, and for those on the link: a few.</summary>
    private const double ReadTarget = 8;

    /// <summary>A read at the origin is of half a MiB: with only the half of the bandwidth it would take nearly twice as long.</summary>
    private const double ReadAtOriginTarget = 1.7;

    public string Name => "fair";

    public string Description => "A small pull and streaming reads beside a large pull, and a pull beside what is fetched ahead, over limited bandwidth.";

    public string UsualDuration => "6 min";

    public int UsualRounds => 3;

    public async Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken)
    {
        if (plan.FileSize < LeastFile)
        {
            throw new ArgumentException($"a file of {plan.FileSize >> 20} MiB is pulled too soon; allowed: {LeastFile >> 20} and more");
        }

        var table = new ResultTable();
        foreach (var (limit, isAhead) in ((string, bool)[])[("Download", false), ("Upload", false), ("Origin", false), ("Download", true), ("Origin", true)])
        {
            await using var lab = new Lab();
            plan.Progress("making files");
            var site = await Site.CreateAsync(lab, limit, isAhead, plan.FileSize, plan.Rounds, cancellationToken);
            for (var round = 0; round < plan.Rounds; round++)
            {
                await (isAhead ? site.MeasureAheadAsync(round, table, plan.Progress, cancellationToken) : site.MeasureAsync(round, table, plan.Progress, cancellationToken));
            }
        }

        return table.Results;
    }

    /// <summary>Two nodes, one of which has everything; or one that reads all from the origin.</summary>
    private sealed class Site
    {
        private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(30);

        private readonly string _limit;
        private readonly bool _isAhead;
        private readonly PeerdNode[] _nodes;
        private readonly Nginx _nginx;
        private readonly BenchmarkFile _large;
        private readonly BenchmarkFile _streamed;
        private readonly BenchmarkFile _streamedBeside;
        private readonly BenchmarkFile[] _small;

        private Site(string limit, bool isAhead, PeerdNode[] nodes, Nginx nginx, BenchmarkFile large, BenchmarkFile[] streamed, BenchmarkFile[] small) =>
            (_limit, _isAhead, _nodes, _nginx, _large, _streamed, _streamedBeside, _small) = (limit, isAhead, nodes, nginx, large, streamed[0], streamed[1], small);

        private PeerdNode Holder => _nodes[0];

        private PeerdNode Asker => _nodes[^1];

        public static async Task<Site> CreateAsync(Lab lab, string limit, bool isAhead, long size, int rounds, CancellationToken cancellationToken)
        {
            var folder = lab.CreateFolder("files");
            var large = await BenchmarkFile.CreateAsync(folder, size, cancellationToken);
            BenchmarkFile[] streamed =
            [
                await BenchmarkFile.CreateAsync(folder, StreamedSize, 1, cancellationToken),
                await BenchmarkFile.CreateAsync(folder, StreamedSize, 2, cancellationToken),
            ];

            // Two for each round, and one to warm up with.
            var small = new BenchmarkFile[(2 * rounds) + 1];
            for (var i = 0; i < small.Length; i++)
            {
                small[i] = await BenchmarkFile.CreateAsync(folder, SmallSize, 3 + i, cancellationToken);
            }

            var site = new Site(limit, isAhead, PeerdNode.CreateMany(lab, limit == "Origin" ? 1 : 2), await Nginx.StartAsync(lab, folder), large, streamed, small);
            await Task.WhenAll(site._nodes.Select(site.StartAsync));
            if (site.Holder == site.Asker)
            {
                return site;
            }

            foreach (var file in (BenchmarkFile[])[large, .. streamed, .. small])
            {
                await site.PullAsync(site.Holder, file, started: null, cancellationToken);
            }

            return site;
        }

        public async Task MeasureAsync(int round, ResultTable table, Action<string> progress, CancellationToken cancellationToken)
        {
            await RestartAsync(cancellationToken);

            // Each block of a file is read once, in no order that could be fetched ahead, and of the origin none of which the segment is here.
            var isAtOrigin = _limit == "Origin";
            var all = (int)(StreamedSize / ReadSize);
            var (count, reads) = isAtOrigin ? (Segments, ReadsAtOrigin) : (all, Reads);
            var blocks = Enumerable.Range(0, count).Select(block => block * (all / count)).ToArray();
            new Random(round).Shuffle(blocks);
            foreach (var file in (BenchmarkFile[])[_streamed, _streamedBeside])
            {
                await ReadAsync(file, blocks[..WarmUps], cancellationToken);
            }

            var smallAlone = await TimeAsync(() => PullAsync(Asker, _small[2 * round], started: null, cancellationToken));
            var readsAlone = await ReadAsync(_streamed, blocks[WarmUps..(WarmUps + reads)], cancellationToken);

            using var enough = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            var pulling = PullAsync(Asker, _large, started, enough.Token);
            await await Task.WhenAny(started.Task, pulling);
            var smallBeside = await TimeAsync(() => PullAsync(Asker, _small[(2 * round) + 1], started: null, cancellationToken));
            var readsBeside = await ReadAsync(_streamedBeside, blocks[WarmUps..(WarmUps + reads)], cancellationToken);
            if (pulling.IsCompleted)
            {
                throw new InvalidOperationException("the large pull had ended, or failed, before the others: take a larger file");
            }

            await enough.CancelAsync();
            await pulling.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

            var name = $"{_limit.ToLowerInvariant()} limited";
            Add(table, name, smallAlone, smallBeside, SmallTarget, readsAlone, readsBeside, isAtOrigin ? ReadAtOriginTarget : ReadTarget);
            progress(string.Create(
                CultureInfo.InvariantCulture,
                $"{name}, round {round + 1}: small pull {smallAlone:0.00} s alone, {smallBeside:0.00} s beside; reads {At(readsAlone, 0.5):0.0} ms alone, {At(readsBeside, 0.5):0.0} ms beside"));
        }

        /// <summary>A container reads here and there, more is fetched ahead of it than there is bandwidth for, and then somebody pulls.</summary>
        public async Task MeasureAheadAsync(int round, ResultTable table, Action<string> progress, CancellationToken cancellationToken)
        {
            await RestartAsync(cancellationToken);
            var smallAlone = await TimeAsync(() => PullAsync(Asker, _small[2 * round], started: null, cancellationToken));

            // Of each part that is fetched as one: what is around a read is fetched after it.
            const int Parts = 256;
            var blocks = Enumerable.Range(0, Parts).Select(part => (int)(part * (_large.Size / Parts) / ReadSize)).ToArray();
            new Random(round).Shuffle(blocks);
            var readsAlone = await ReadAsync(_large, blocks[..40], cancellationToken, Thinking);

            using var enough = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            var times = new List<double>();
            Task reading = ReadAsync(_large, blocks[40..], enough.Token, Thinking, times);
            var smallBeside = await TimeAsync(() => PullAsync(Asker, _small[(2 * round) + 1], started: null, cancellationToken));
            if (reading.IsCompleted)
            {
                throw new InvalidOperationException("the container had read all, or failed, before the pull ended");
            }

            await enough.CancelAsync();
            await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            double[] readsBeside = [.. times.Order()];

            var name = $"{_limit.ToLowerInvariant()} limited, ahead";
            Add(table, name, smallAlone, smallBeside, _limit == "Origin" ? AheadAtOriginTarget : AheadTarget, readsAlone, readsBeside, ReadTarget);
            progress(string.Create(
                CultureInfo.InvariantCulture,
                $"{name}, round {round + 1}: small pull {smallAlone:0.00} s alone, {smallBeside:0.00} s beside; {readsBeside.Length} reads {At(readsAlone, 0.5):0.0} ms without the pull, {At(readsBeside, 0.5):0.0} ms with it"));
        }

        private async Task RestartAsync(CancellationToken cancellationToken)
        {
            await Asker.Process.StopAsync(StopTimeout);
            System.IO.Directory.Delete(Asker.CacheFolder, recursive: true);
            await StartAsync(Asker);
            await PullAsync(Asker, _small[^1], started: null, cancellationToken);
        }

        private Task StartAsync(PeerdNode node)
        {
            var configuration = node.Configure(_nodes, _nginx.Upstream);
            configuration["Peerd"]!["Blobs"] = new JsonObject
            {
                ["Hosts"] = new JsonArray(_nginx.Endpoint.GetLeftPart(UriPartial.Authority)),
                ["AllowedNetworks"] = new JsonArray("127.0.0.0/8"),
            };
            if (!_isAhead)
            {
                configuration["Peerd"]!["Blobs"]!["LearnedOrder"] = "false";
                configuration["Peerd"]!["Blobs"]!["ReadAhead"] = "0";
            }

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
        /// <param name="file">What is read.</param>
        /// <param name="blocks">In this order.</param>
        /// <param name="cancellationToken">Ends it.</param>
        /// <param name="pause">Between two reads.</param>
        /// <param name="times">Gets the times one by one.</param>
        private async Task<double[]> ReadAsync(BenchmarkFile file, int[] blocks, CancellationToken cancellationToken, TimeSpan pause = default, List<double>? times = null)
        {
            using var client = new HttpClient();
            var url = new Uri(Asker.Facade, $"blobs/{new Uri(_nginx.Endpoint, file.StorePath)}");
            times ??= new List<double>(blocks.Length);
            for (var i = 0; i < blocks.Length; i++)
            {
                var start = Stopwatch.GetTimestamp();
                using var request = new HttpRequestMessage(HttpMethod.Get, url);
                request.Headers.Range = new RangeHeaderValue((long)blocks[i] * ReadSize, (((long)blocks[i] + 1) * ReadSize) - 1);
                using var answer = await client.SendAsync(request, cancellationToken);
                answer.EnsureSuccessStatusCode();
                times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                await Task.Delay(pause, cancellationToken);
            }

            return [.. times.Order()];
        }

        private static void Add(
            ResultTable table, string name, double smallAlone, double smallBeside, double smallTarget, double[] readsAlone, double[] readsBeside, double readTarget)
        {
            table.Add(name, "small alone", "s", Better.Lower, smallAlone);
            table.Add(name, "small beside", "s", Better.Lower, smallBeside);
            table.Add(name, "small, beside / alone", "x", Better.Lower, smallBeside / smallAlone, smallTarget);
            table.Add(name, "read p50 alone", "ms", Better.Lower, At(readsAlone, 0.5));
            table.Add(name, "read p50 beside", "ms", Better.Lower, At(readsBeside, 0.5));
            table.Add(name, "read p99 alone", "ms", Better.Lower, At(readsAlone, 0.99));
            table.Add(name, "read p99 beside", "ms", Better.Lower, At(readsBeside, 0.99));
            table.Add(name, "read p50, beside / alone", "x", Better.Lower, At(readsBeside, 0.5) / At(readsAlone, 0.5), readTarget);
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
