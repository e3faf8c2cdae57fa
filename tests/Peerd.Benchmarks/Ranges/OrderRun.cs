using System.Globalization;
using Peerd.Benchmarks.Benchmarks;
using Peerd.Benchmarks.Measuring;
using Peerd.Benchmarks.Servers;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Ranges;

/// <summary>
/// The same container starts on three nodes one after the other: on the first nobody has its image; on the others the mesh
/// has what the first one needed, and the last one also uses the order in which it was needed.
/// </summary>
internal sealed class OrderRun(RangeSite site, BenchmarkPlan plan, ResultTable table)
{
    private const long ImageSize = 300 << 20;
    private const int ImageSeed = 20_250_103;
    private const int TraceSeed = 17;
    private const double Percent = 100;

    /// <summary>How many reads of a start may wait when the order is used, in percent.</summary>
    private const double MostWaited = 5;
    private const double Mebi = 1 << 20;

    private readonly IReadOnlyList<StartupRead> _trace = StartupTrace.Create(ImageSize, TraceSeed);

    /// <summary>Begins the name of each of its cases.</summary>
    public const string CasePrefix = "start-up, ";

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var image = await BenchmarkFile.CreateAsync(site.Content.Folder, ImageSize, ImageSeed, cancellationToken);
        plan.Progress($"start-up: {_trace.Count} reads touch {StartupTrace.TouchedBytes(_trace) >> 20} of {ImageSize >> 20} MiB");
        for (var round = 1; round <= plan.Rounds; round++)
        {
            await using var lab = new Lab();
            var mesh = await RangeMesh.StartAsync(lab, site, image, others: 3);
            var (first, second, third) = (mesh.Others[0], mesh.Others[1], mesh.Others[2]);
            await mesh.StartAsync(first);
            await MeasureAsync("first node, cold", first, image, mostWaited: null, cancellationToken);
            await mesh.StartAsync(second, usesLearnedOrder: false);
            await MeasureAsync("next node, order not used", second, image, mostWaited: null, cancellationToken);

            // It leaves, and the next one finds what it has found itself.
            await second.StopAsync();
            await mesh.StartAsync(third);
            await MeasureAsync("next node, order used", third, image, MostWaited, cancellationToken);
        }
    }

    private async Task MeasureAsync(string what, RangeNode node, BenchmarkFile image, double? mostWaited, CancellationToken cancellationToken)
    {
        await node.WarmUpAsync(cancellationToken);
        var before = await node.CountAsync(cancellationToken);
        var open = await RangeClient.OpenAsync(node.Serving(image), image);
        var opened = await node.CountAsync(cancellationToken);
        var outcome = await RangeClient.ReplayAsync(node.Serving(image), image, _trace, cancellationToken);
        var reads = await node.CountAsync(cancellationToken) - opened;
        reads.Expect(_trace.Count, what);
        var fetched = await node.RestAsync(cancellationToken) - before;

        var name = CasePrefix + what;
        table.Add(name, "open", "ms", Better.Lower, open);
        table.Add(name, "p50", "ms", Better.Lower, outcome.Median);
        table.Add(name, "p99", "ms", Better.Lower, outcome.P99);
        table.Add(name, "all reads", "s", Better.Lower, outcome.Milliseconds.Sum() / 1000);
        table.Add(name, "waited", "%", Better.Lower, reads.PercentWaited, mostWaited);
        table.Add(name, "from peers", "MiB", Better.Lower, fetched.PeerBytes / Mebi);
        table.Add(name, "origin", "MiB", Better.Lower, fetched.OriginBytes / Mebi);
        table.Add(name, "not touched", "MiB", Better.Lower, (fetched.FetchedBytes - StartupTrace.TouchedBytes(_trace)) / Mebi);
        plan.Progress(string.Create(
            CultureInfo.InvariantCulture,
            $"{name}: {Percent - reads.PercentWaited:0.0} % of the reads local, p50 {outcome.Median:0.00} ms, p99 {outcome.P99:0.00} ms, {fetched.FetchedBytes >> 20} MiB fetched"));
    }
}
