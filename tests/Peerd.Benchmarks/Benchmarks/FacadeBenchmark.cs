using Peerd.Benchmarks.Measuring;
using Peerd.Benchmarks.Servers;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>What containerd and overlaybd see of a warm node: a whole blob, and many small ranges; each beside nginx.</summary>
internal sealed class FacadeBenchmark : IBenchmark
{
    public string Name => "facade";

    public string Description => "A whole blob and 64 KiB ranges from a warm node, beside nginx.";

    public string UsualDuration => "90 s";

    public async Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken)
    {
        await using var lab = new Lab();
        plan.Progress($"making a file of {plan.FileSize >> 20} MiB");
        var file = await BenchmarkFile.CreateAsync(lab.CreateFolder("files"), plan.FileSize, cancellationToken);
        var nginx = await Nginx.StartAsync(lab, file.Folder);
        var warm = await WarmNode.StartAsync(lab, nginx, file);
        var ours = new HttpServer("facade", warm.Node.Process, warm.BlobUrl);
        var theirs = nginx.Serving(file);
        return
        [
            .. await HttpComparison.MeasureWholeAsync(plan, lab, ours, theirs),
            .. await HttpComparison.MeasureRangesAsync(plan, lab, ours, theirs),
        ];
    }
}
