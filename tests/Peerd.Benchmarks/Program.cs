using System.CommandLine;
using Peerd.Benchmarks.Benchmarks;
using Peerd.Benchmarks.Measuring;

IBenchmark[] benchmarks = [new TransferBenchmark(), new FacadeBenchmark(), new RingBenchmark(), new NoiseBenchmark()];

var json = new Option<bool>("--json") { Description = "Print the results as one JSON object on the last line." };
var size = new Option<int>("--size") { Description = "Size of the measured file in MiB.", DefaultValueFactory = _ => 1024 };
var rounds = new Option<int>("--rounds") { Description = "How often each case is measured.", DefaultValueFactory = _ => 5 };
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

return await root.Parse(args).InvokeAsync();
