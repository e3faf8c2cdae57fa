using System.CommandLine;
using Peerd.Benchmarks.Benchmarks;
using Peerd.Benchmarks.Measuring;
using Peerd.EndToEnd.Harness;
using CommonOptions = Peerd.Node.Cli.CommonOptions;
using ExitCode = Peerd.Node.Cli.ExitCode;

const int MostMebibytes = 64 * 1024;
const int MostRounds = 1000;

IBenchmark[] benchmarks =
[
    new TransferBenchmark(), new FacadeBenchmark(), new RangeBenchmark(), new HerdBenchmark(), new SimulateBenchmark(), new OwnerBenchmark(), new RingBenchmark(), new MembershipBenchmark(), new StartBenchmark(), new FairBenchmark(), new NoiseBenchmark(),
    new FuzzBenchmark(), new SoakBenchmark(),
];

// Longer than any step between two looks at the cancellation.
var timeToStop = TimeSpan.FromSeconds(30);

var root = new RootCommand("Measures Peerd beside other programs, in one run on one machine.");
root.SetAction(_ =>
{
    foreach (var benchmark in benchmarks)
    {
        Console.WriteLine($"{benchmark.Name,-10} {benchmark.UsualDuration,-8} {benchmark.Description}");
    }
});
foreach (var benchmark in benchmarks)
{
    var json = new Option<bool>("--json") { Description = "Print the results as one JSON object on the last line." };
    var size = CommonOptions.Number("--size", "MiB that are moved.", benchmark.UsualMebibytes, 1, MostMebibytes);
    var rounds = CommonOptions.Number("--rounds", "How often each case is measured.", benchmark.UsualRounds, 1, MostRounds);
    var command = new Command(benchmark.Name, benchmark.Description) { json, size, rounds };
    foreach (var option in benchmark.Options)
    {
        command.Options.Add(option);
    }

    command.SetAction(async (parsed, cancellationToken) =>
    {
        LabFolder.RemoveLeft(TimeProvider.System);
        var plan = new BenchmarkPlan((long)parsed.GetValue(size) << 20, parsed.GetValue(rounds), Console.Error.WriteLine, parsed);
        IReadOnlyList<Result> results;
        try
        {
            results = await benchmark.RunAsync(plan, cancellationToken);
        }
        catch (Exception) when (cancellationToken.IsCancellationRequested)
        {
            // Ctrl-C reaches what was started, too, and its end may be noticed first.
            await Console.Error.WriteLineAsync("bench: stopped");
            return ExitCode.Stopped;
        }

        benchmark.WriteTable(results, Console.Out);
        if (parsed.GetValue(json))
        {
            Report.WriteJson(benchmark.Name, results, Console.Out);
        }

        return benchmark.FailsOnMiss && results.Any(result => result.IsReached == false) ? ExitCode.Failure : ExitCode.Success;
    });
    root.Subcommands.Add(command);
}

var arguments = root.Parse(args);
if (arguments.Errors.Count > 0)
{
    await Console.Error.WriteLineAsync($"bench: {string.Join("; ", arguments.Errors.Select(error => error.Message).Distinct())}");
    return ExitCode.BadArguments;
}

return await arguments.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = timeToStop });
