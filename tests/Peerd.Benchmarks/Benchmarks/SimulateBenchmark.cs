using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Peerd.Benchmarks.Measuring;
using Peerd.Benchmarks.Simulation;
using Peerd.Simulation.Mesh;
using Peerd.Simulation.Results;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>
/// Herds in virtual time, up to thousands of nodes: the state machines and the ring of real nodes on simulated links.
/// Everything but the processor time follows from the seeds.
/// </summary>
internal sealed class SimulateBenchmark : IBenchmark
{
    private const double Percent = 100;

    public string Name => "simulate";

    public string Description => "Herds in virtual time, beside what their links allow; sizes are those of --sizes.";

    public string UsualDuration => "5 min";

    public int UsualRounds => 1;

    public IReadOnlyList<Option> Options => SimulationSettings.Options;

    public Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken)
    {
        var table = new ResultTable();
        var healthyTimes = new Dictionary<(SimulationCase, int), double>();
        foreach (var herd in SimulationSettings.CasesOf(plan.Arguments))
        {
            var ratios = new List<double>();
            for (var seed = 1; seed <= herd.Seeds * plan.Rounds; seed++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                var outcome = Run(plan, herd, seed);
                Add(table, herd, outcome);
                if (herd.Fault == SimulationFault.Healthy)
                {
                    healthyTimes[(herd, seed)] = outcome.Longest.TotalSeconds;
                }
                else if (healthyTimes.TryGetValue((herd.Healthy, seed), out var healthy))
                {
                    ratios.Add(outcome.Longest.TotalSeconds / healthy);
                    table.Add(herd.Name, "/ healthy", "x", Better.Lower, ratios[^1]);
                }
            }

            if (ratios.Count > 0)
            {
                table.Add(herd.Name, "/ healthy, mean", "x", Better.Lower, ratios.Average(), herd.Targets.HealthyRatio);
                table.Add(herd.Name, "/ healthy, worst", "x", Better.Lower, ratios.Max(), herd.Targets.WorstHealthyRatio);
            }
        }

        return Task.FromResult(table.Results);
    }

    public void WriteTable(IReadOnlyList<Result> results, TextWriter output) => Report.WriteMatrix(Name, results, output);

    private static Outcome Run(BenchmarkPlan plan, SimulationCase herd, int seed)
    {
        var begun = Stopwatch.GetTimestamp();
        var outcome = new SimulatedMesh(herd.With(seed), TimeProvider.System).Run();
        plan.Progress(string.Create(
            CultureInfo.InvariantCulture,
            $"{herd.Name}, seed {seed}: last node {outcome.Longest.TotalSeconds:0.000} s, {Percent * outcome.LastShare:0.0} % of the bound, amplification {outcome.Amplification:0.000}{(outcome.Unfinished > 0 ? $", {outcome.Unfinished} UNFINISHED" : "")} ({outcome.Events / 1e6:0.0} million events in {Stopwatch.GetElapsedTime(begun).TotalSeconds:0.0} s)"));
        return outcome;
    }

    private static void Add(ResultTable table, SimulationCase herd, Outcome outcome)
    {
        table.Add(herd.Name, "last", "%", Better.Higher, Percent * outcome.LastShare, herd.Targets.Share);
        table.Add(herd.Name, "median", "%", Better.Higher, Percent * outcome.MedianShare);
        if (herd.Targets.LinkTimes is { } times)
        {
            var scenario = herd.With(1);
            table.Add(herd.Name, "S/U", "x", Better.Lower, (outcome.Longest - scenario.OriginDelay).TotalSeconds * scenario.NodeRate / scenario.Size, times);
        }

        table.Add(herd.Name, "amplific.", "x", Better.Lower, Rounded(outcome.Amplification), herd.Targets.Amplification);
        table.Add(herd.Name, "requests", "", Better.Lower, outcome.OriginRequests);
        table.Add(herd.Name, "busiest", "x", Better.Lower, outcome.BusiestUpload);
        table.Add(herd.Name, "messages", "", Better.Lower, outcome.MessagesPerNode);
        table.Add(herd.Name, "refused", "", Better.Lower, outcome.Refused);
        table.Add(herd.Name, "last resort", "", Better.Lower, outcome.LastResorts);
        table.Add(herd.Name, "unfinished", "", Better.Lower, outcome.Unfinished, 0);
        table.Add(herd.Name, "µs/message", "", Better.Lower, outcome.CoordinatorTime.TotalMicroseconds / outcome.CoordinatorMessages);
        if (herd.With(1).Zones > 1)
        {
            table.Add(herd.Name, "crossed", "x", Better.Lower, Rounded(outcome.Crossed), herd.Targets.Crossed);
        }
    }

    /// <summary>Three digits: a frame that came twice is no miss of 1.</summary>
    private static double Rounded(double value) => Math.Round(value, 3);
}
