using System.CommandLine;
using System.Globalization;
using Peerd.Benchmarks.Measuring;
using Peerd.Benchmarks.Owner;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>What it costs a real owner to coordinate a herd whose requesters are played by this process.</summary>
internal sealed class OwnerBenchmark : IBenchmark
{
    private const int WarmUpNodes = 100;
    private const double Percent = 100;
    private const double CoresTarget = 1;
    private const double BusyMachine = 0.9;

    private static readonly TimeSpan Rest = TimeSpan.FromSeconds(1);

    public string Name => "owner";

    public string Description => "Processor time of a real owner that coordinates a thousand played requesters.";

    public string UsualDuration => "3 min";

    public int UsualRounds => 3;

    public IReadOnlyList<Option> Options => OwnerSettings.Options;

    public async Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken)
    {
        var settings = OwnerSettings.From(plan.Arguments);
        var table = new ResultTable();
        await using var lab = new Lab();
        for (var round = 1; round <= plan.Rounds; round++)
        {
            foreach (var nodes in settings.Nodes)
            {
                // An owner of its own for each herd: no herd finds what others left behind.
                var owner = PeerdNode.Create(lab, $"owner-{nodes}-{round}");
                await owner.StartAsync([owner]);
                await MeasureAsync(plan, settings, nodes, owner, table, cancellationToken);
                await owner.Process.KillAsync();
            }
        }

        return table.Results;
    }

    public void WriteTable(IReadOnlyList<Result> results, TextWriter output) => Report.WriteMatrix(Name, results, output);

    private static async Task MeasureAsync(BenchmarkPlan plan, OwnerSettings settings, int nodes, PeerdNode owner, ResultTable table, CancellationToken cancellationToken)
    {
        using var herd = new PlayedHerd(owner, settings.Connections);
        await herd.RunAsync(Math.Min(nodes, WarmUpNodes), PlayedContent.Create(plan.FileSize, settings.Rate), cancellationToken);
        await Task.Delay(Rest, cancellationToken);

        var content = PlayedContent.Create(plan.FileSize, settings.Rate);
        var outcome = await herd.RunAsync(nodes, content, cancellationToken);
        var name = $"{nodes} requesters";
        var ofIdeal = Percent * content.Ideal.TotalSeconds / outcome.Seconds;
        table.Add(name, "wall", "s", Better.Lower, outcome.Seconds);
        table.Add(name, "of ideal", "%", Better.Higher, ofIdeal);
        table.Add(name, "failed", "", Better.Lower, outcome.Errors.Count, 0);
        table.Add(name, "owner CPU", "s", Better.Lower, outcome.ProcessorSeconds);
        table.Add(name, "cores", "", Better.Lower, outcome.Cores, CoresTarget);
        table.Add(name, "received", "", Better.Lower, outcome.Received);
        table.Add(name, "sent", "", Better.Lower, outcome.Sent);
        table.Add(name, "CPU/message", "µs", Better.Lower, outcome.MicrosecondsPerMessage);
        table.Add(name, "most received", "", Better.Lower, outcome.MostReceived);
        table.Add(name, "most sent", "", Better.Lower, outcome.MostSent);
        table.Add(name, "peak RSS", "MiB", Better.Lower, PeakMemory.Of(owner.Process.Id) / (double)(1 << 20));
        table.Add(name, "machine busy", "%", Better.Lower, Percent * outcome.MachineBusy);
        plan.Progress(string.Create(
            CultureInfo.InvariantCulture,
            $"{name}: {outcome.Seconds:0.0} s, {ofIdeal:0} % of the ideal, owner {outcome.ProcessorSeconds:0.00} CPU s ({outcome.MicrosecondsPerMessage:0.0} µs/message), this program {outcome.ProcessorSecondsOfHerd:0.00}{(outcome.MachineBusy > BusyMachine ? ", THE PROCESSORS WERE THE LIMIT" : "")}{(outcome.Errors.Count > 0 ? $", {outcome.Errors.Count} FAILED, such as {outcome.Errors[0]}" : "")}"));
    }
}
