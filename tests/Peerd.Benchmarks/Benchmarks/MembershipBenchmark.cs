using System.CommandLine;
using Peerd.Benchmarks.Cluster;
using Peerd.Benchmarks.Measuring;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>What a node needs to follow the nodes of a large Kubernetes cluster, beside a small one.</summary>
internal sealed class MembershipBenchmark : IBenchmark
{
    private const double Kibi = 1024;

    public string Name => "membership";

    public string Description => "Memory and time of a node that follows the nodes of a Kubernetes cluster, of 5,000 beside 50.";

    public string UsualDuration => "3 min";

    public int UsualRounds => 1;

    // Heartbeats change no ring, however busy the machine is.
    public bool FailsOnMiss => true;

    public IReadOnlyList<Option> Options => ClusterSettings.Options;

    public async Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken)
    {
        var settings = ClusterSettings.From(plan.Arguments);
        var table = new ResultTable();
        table.Add("both", "one node as JSON", "KiB", Better.Lower, PlayedCluster.BytesOfNode / Kibi);
        for (var round = 1; round <= plan.Rounds; round++)
        {
            foreach (var nodes in new[] { ClusterSettings.FewNodes, settings.Nodes })
            {
                await using var lab = new Lab();
                await new ClusterRun(lab, settings, table, plan.Progress, cancellationToken).MeasureAsync(nodes);
            }
        }

        return [.. table.Results, .. RatiosOf(table.Results, $"{settings.Nodes} / {ClusterSettings.FewNodes} nodes")];
    }

    private static IEnumerable<Result> RatiosOf(IReadOnlyList<Result> results, string @case)
    {
        foreach (var both in results.GroupBy(result => result.Metric))
        {
            if (both.ToArray() is [{ Median: > 0, Target: null } few, var many])
            {
                yield return new Result(@case, few.Metric, "x", few.Better, [many.Median / few.Median]);
            }
        }
    }
}
