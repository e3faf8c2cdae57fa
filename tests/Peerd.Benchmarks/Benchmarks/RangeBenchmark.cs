using System.CommandLine;
using Peerd.Benchmarks.Measuring;
using Peerd.Benchmarks.Ranges;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>
/// What overlaybd sees when it reads ranges through a node: from its cache, from a peer and from the origin, each beside
/// nginx; and what the order in which a container starts brings to the next node.
/// </summary>
internal sealed class RangeBenchmark : IBenchmark
{
    private const long SmallestFile = 64 << 20;

    public string Name => "range";

    public string Description => "Ranges from cache, peer and origin, beside nginx; and start-up in a learned order.";

    public string UsualDuration => "12 min";

    public int UsualRounds => 3;

    public IReadOnlyList<Option> Options => RangeSettings.Options;

    public async Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken)
    {
        if (plan.FileSize < SmallestFile)
        {
            throw new ArgumentException($"a file of {plan.FileSize >> 20} MiB is too small; allowed: {SmallestFile >> 20} and more");
        }

        var settings = RangeSettings.From(plan.Arguments);
        await using var lab = new Lab();
        plan.Progress($"making a file of {plan.FileSize >> 20} MiB");
        var site = await RangeSite.CreateAsync(lab, settings, plan.FileSize, cancellationToken);
        var table = new ResultTable();
        var run = new RangeRun(site, plan, table);
        if (settings.Kinds.Contains(RangeKind.Local) || settings.Kinds.Contains(RangeKind.Peer))
        {
            await run.RunHeldAsync(cancellationToken);
        }

        if (settings.Kinds.Contains(RangeKind.Cold))
        {
            await run.RunColdAsync(cancellationToken);
        }

        if (settings.Kinds.Contains(RangeKind.Order))
        {
            await new OrderRun(site, plan, table).RunAsync(cancellationToken);
        }

        return table.Results;
    }

    public void WriteTable(IReadOnlyList<Result> results, TextWriter output)
    {
        foreach (var part in results.ToLookup(result => result.Case.StartsWith(OrderRun.CasePrefix, StringComparison.Ordinal)))
        {
            Report.WriteMatrix(Name, [.. part], output);
        }
    }
}
