using System.CommandLine;
using Peerd.Benchmarks.Benchmarks;
using Peerd.Benchmarks.Measuring;
using CommonOptions = Peerd.Node.Cli.CommonOptions;
using ExitCode = Peerd.Node.Cli.ExitCode;

const int MostMebibytes = 64 * 1024;
const int MostRounds = 1000;

IBenchmark[] benchmarks = [new TransferBenchmark(), new FacadeBenchmark(), new RingBenchmark(), new NoiseBenchmark()];

var json = new Option<bool>("--json") { Description = "Print the results as one JSON object on the last line." };
var size = CommonOptions.Number("--size", "Size of the measured file in MiB.", 1024, 1, MostMebibytes);
var rounds = CommonOptions.Number("--rounds", "How often each case is measured.", 5, 1, MostRounds);
var root = new RootCommand("Measures Peerd beside other programs, in one run on one machine.") { json, size, rounds };
root.SetAction(_ =>
{
    foreach (var benchmark in benchmarks)
    {
        Console.WriteLine($"{benchmark.Name,-10} {benchmark.UsualDuration,-8} {benchmark.Description}");
    }
});
foreach (var benchmark in benchmarks)
{
    var command = new Command(benchmark.Name, benchmark.Description) { json, size, rounds };
    command.SetAction(async (parsed, cancellationToken) =>
    {
        var plan = new BenchmarkPlan((long)parsed.GetValue(size) << 20, parsed.GetValue(rounds), Console.Error.WriteLine);
        var results = await benchmark.RunAsync(plan, cancellationToken);
        Report.WriteTable(benchmark.Name, results, Console.Out);
        if (parsed.GetValue(json))
        {
            Report.WriteJson(benchmark.Name, results, Console.Out);
        }
    });
    root.Subcommands.Add(command);
}

var arguments = root.Parse(args);
if (arguments.Errors.Count > 0)
{
    await Console.Error.WriteLineAsync($"bench: {string.Join("; ", arguments.Errors.Select(error => error.Message).Distinct())}");
    return ExitCode.BadArguments;
}

return await arguments.InvokeAsync();
