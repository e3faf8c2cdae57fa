using Peerd.Benchmarks.Measuring;
using Peerd.Benchmarks.Servers;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>
/// nginx beside a second nginx, measured as the node is: how far from 1 its ratios are is how little ratios of the
/// other benchmarks mean on this machine at this time.
/// </summary>
internal sealed class NoiseBenchmark : IBenchmark
{
    public string Name => "noise";

    public string Description => "nginx beside itself: how much the machine makes ratios stray.";

    public string UsualDuration => "90 s";

    public async Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken)
    {
        await using var lab = new Lab();
        plan.Progress($"making a file of {plan.FileSize >> 20} MiB");
        var file = await BenchmarkFile.CreateAsync(lab.CreateFolder("files"), plan.FileSize, cancellationToken);
        var one = await Nginx.StartAsync(lab, file.Folder);
        var other = await Nginx.StartAsync(lab, file.Folder);
        var (ours, theirs) = (other.Serving(file) with { Name = "second nginx" }, one.Serving(file));
        Result[] results =
        [
            .. await HttpComparison.MeasureWholeAsync(plan, lab, ours, theirs),
            .. await HttpComparison.MeasureRangesAsync(plan, lab, ours, theirs),
        ];

        // nginx has promised nothing.
        return [.. results.Select(result => result with { Target = null })];
    }
}
