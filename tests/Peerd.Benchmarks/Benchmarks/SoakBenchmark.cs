using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Peerd.Benchmarks.Measuring;
using Peerd.Benchmarks.Soak;
using Peerd.EndToEnd.Harness;
using CommonOptions = Peerd.Node.Cli.CommonOptions;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>
/// Mixed work for a long time: pulls, streams, evictions, clients that leave, and a node that is killed, stopped and started again
/// all the time. Fails when what a node holds grows, when a byte is wrong, or when anything fails at the nodes that stay.
/// </summary>
internal sealed class SoakBenchmark : IBenchmark
{
    private const double MiB = 1 << 20;
    private const double MostMemoryGrowth = 24;

    /// <summary>
    /// What a node may fill its pools and its heap up to, see docs/testing.md: growth counts above it only. What grows without end comes
    /// there sooner or later.
    /// </summary>
    private const double FilledMemory = 256;

    /// <summary>What is alive at one moment: this much may come and go.</summary>
    private const double FilledHeap = 96;
    private const double MostHeapGrowth = 16;
    private const double MostHandleGrowth = 16;
    private const double MostThreadGrowth = 8;

    private static readonly TimeSpan SampleEvery = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan PrintEvery = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan RestartEvery = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(40);
    private static readonly Option<int> MinutesOption = CommonOptions.Number("--minutes", "How long.", 10, 1, 7 * 24 * 60);

    public string Name => "soak";

    public string Description => "Pulls, streams, evictions and restarts for a long time; fails when memory, handles or threads grow.";

    public string UsualDuration => "10 min";

    public bool FailsOnMiss => true;

    public IReadOnlyList<Option> Options => [MinutesOption];

    public async Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken)
    {
        var length = TimeSpan.FromMinutes(plan.Arguments.GetValue(MinutesOption));
        await using var lab = new Lab();
        await using var site = await SoakSite.StartAsync(lab);
        using var clients = new SoakClients(site);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        end.CancelAfter(length);
        var working = clients.RunAsync(end.Token);
        var restarting = RestartAsync(site.Restless, end);
        var heaps = site.Steady.ToDictionary(node => node.Name, _ => new List<double>());
        var samples = await WatchAsync(plan, site, clients, working, heaps, end.Token);
        await end.CancelAsync();
        await working;
        var restarts = await restarting;
        cancellationToken.ThrowIfCancellationRequested();

        foreach (var failure in clients.Failures)
        {
            plan.Progress($"FAILED: {failure}");
        }

        var table = new ResultTable();
        foreach (var node in site.Steady)
        {
            var seen = samples[node.Name];
            Add(node, "memory", "MiB", MostMemoryGrowth, seen.ConvertAll(use => use.ResidentBytes / MiB), Growth.Of, FilledMemory);

            // Its samples have garbage among them, up to what the oldest generation may gather.
            Add(node, "managed heap", "MiB", MostHeapGrowth, heaps[node.Name], Growth.OfLowest, FilledHeap);
            Add(node, "handles", "", MostHandleGrowth, seen.ConvertAll(use => (double)use.Handles), Growth.Of);
            Add(node, "threads", "", MostThreadGrowth, seen.ConvertAll(use => (double)use.Threads), Growth.Of);
        }

        var metrics = await Task.WhenAll(site.Steady.Select(node => NodeMetrics.ReadAsync(node, host: null, cancellationToken)));
        foreach (var (node, metric) in site.Steady.Zip(metrics))
        {
            // Tells what is kept from what the collector has not given back yet.
            table.Add(node.Name, "managed heap after a collection", "MiB", Better.Lower, metric.Sum("dotnet_gc_last_collection_heap_size_bytes") / MiB);
            table.Add(node.Name, "managed heap, committed", "MiB", Better.Lower, metric.Sum("dotnet_gc_last_collection_memory_committed_size_bytes") / MiB);
            table.Add(node.Name, "collections of the oldest", "", Better.Higher, metric.Sum("dotnet_gc_collections_total", "gen2"));
        }

        table.Add("all", "done", "", Better.Higher, clients.Done);
        table.Add("all", "GiB read", "", Better.Higher, clients.Bytes / MiB / 1024);
        table.Add("all", "of it from the registry", "", Better.Lower, site.OriginBytes / (double)clients.Bytes);
        table.Add("all", "evictions", "", Better.Higher, metrics.Sum(metric => metric.Sum("peerd_cache_evictions_total")));
        table.Add("all", "restarts", "", Better.Higher, restarts);
        table.Add("all", "failed at the restarted one", "", Better.Lower, clients.Excused);
        table.Add("all", "failed elsewhere", "", Better.Lower, clients.Failures.Count, 0);
        return table.Results;

        void Add(PeerdNode node, string what, string unit, double most, List<double> values, Func<IReadOnlyList<double>, double> growth, double filled = 0)
        {
            if (values.Count > 0)
            {
                table.Add(node.Name, $"{what}, most", unit, Better.Lower, values.Max());
            }

            if (values.Count >= Growth.LeastSamples)
            {
                table.Add(node.Name, $"{what}, growth", unit, Better.Lower, growth(values.ConvertAll(value => Math.Max(value, filled))), most);
            }
            else
            {
                plan.Progress($"{node.Name}: whether its {what} grows was not checked, which takes {Growth.LeastSamples} samples and not {values.Count}: a longer run has more");
            }
        }
    }

    private static async Task<Dictionary<string, List<ProcessUse>>> WatchAsync(BenchmarkPlan plan, SoakSite site, SoakClients clients, Task working, Dictionary<string, List<double>> heaps, CancellationToken cancellationToken)
    {
        var samples = site.Steady.ToDictionary(node => node.Name, _ => new List<ProcessUse>());
        var (start, printed) = (Stopwatch.GetTimestamp(), TimeSpan.Zero);
        using var timer = new PeriodicTimer(SampleEvery);
        while (await TickAsync())
        {
            if (working.IsFaulted)
            {
                // Wrong bytes: nothing that comes later matters.
                await working;
            }

            foreach (var node in site.Steady)
            {
                samples[node.Name].Add(ProcessUse.Of(node.Process.Id) ?? throw new InvalidOperationException($"{node.Name} has ended.\n{node.Process.Tail()}"));
            }

            var time = Stopwatch.GetElapsedTime(start);
            if (time - printed >= PrintEvery)
            {
                printed = time;
                foreach (var node in site.Steady)
                {
                    // Of the last collection: what a node keeps is seen long before its memory has passed what it may fill.
                    heaps[node.Name].Add(await HeapAsync(node));
                }

                var uses = site.Steady.Select(node => samples[node.Name][^1]).Select(use => string.Create(CultureInfo.InvariantCulture, $"{use.ResidentBytes / MiB,5:0} MiB {use.Handles,4} handles {use.Threads,3} threads"));
                plan.Progress($"{time:hh\\:mm\\:ss}  {string.Join(" | ", uses)} | {clients.Done} done, {clients.Failures.Count} failed");
            }
        }

        return samples;

        async Task<bool> TickAsync()
        {
            try
            {
                return await timer.WaitForNextTickAsync(cancellationToken);
            }
            catch (OperationCanceledException)
            {
                return false;
            }
        }
    }

    private static async Task<double> HeapAsync(PeerdNode node)
    {
        using var patience = new CancellationTokenSource(PrintEvery);
        return (await NodeMetrics.ReadAsync(node, host: null, patience.Token)).Sum("dotnet_gc_last_collection_heap_size_bytes") / MiB;
    }

    private static async Task<int> RestartAsync(PeerdNode node, CancellationTokenSource end)
    {
        var restarts = 0;
        while (true)
        {
            try
            {
                await Task.Delay(RestartEvery, end.Token);
            }
            catch (OperationCanceledException)
            {
                return restarts;
            }

            try
            {
                // By turns as a crash does it, and as an upgrade does.
                await (++restarts % 2 == 0 ? node.Process.KillAsync() : node.Process.StopAsync(StopLimit));
                await node.StartAgainAsync();
            }
            catch (Exception)
            {
                // Told at once, and not when all the minutes are over.
                await end.CancelAsync();
                throw;
            }
        }
    }
}
