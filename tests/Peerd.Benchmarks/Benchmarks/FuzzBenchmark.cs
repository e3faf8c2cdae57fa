using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Peerd.Benchmarks.Measuring;
using Peerd.EndToEnd.Harness;
using CommonOptions = Peerd.Node.Cli.CommonOptions;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>The tests that try generated input, each for as long as there is time; fails when one of them finds something.</summary>
internal sealed class FuzzBenchmark : IBenchmark
{
    private const string Trait = "Kind=fuzz";
    private const string MethodOption = "--method";

    // A single try may start a whole mesh.
    private static readonly TimeSpan Slack = TimeSpan.FromMinutes(2);
    private static readonly TimeSpan ListTimeout = TimeSpan.FromMinutes(1);
    private static readonly Option<int> MinutesOption = CommonOptions.Number("--minutes", "How long, all together.", 10, 1, 7 * 24 * 60);
    private static readonly Option<string> NameOption = new(MethodOption) { Description = "Only tests with this in their names.", DefaultValueFactory = _ => string.Empty };

    public string Name => "fuzz";

    public string Description => "Generated input for parsers, policies, streams and files, each for a long time.";

    public string UsualDuration => "10 min";

    public bool FailsOnMiss => true;

    public IReadOnlyList<Option> Options => [MinutesOption, NameOption];

    public async Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken)
    {
        await using var lab = new Lab();
        var tests = TestsOf(AppContext.BaseDirectory);
        var wanted = plan.Arguments.GetValue(NameOption)!;
        var list = await lab.RunAsync("list of tests", "dotnet", [tests, "-noLogo", "-noColor", "-trait", Trait, "-list", "methods"], ListTimeout);
        string[] methods = [.. list.Output.Select(line => line.Trim()).Where(line => line.StartsWith("Peerd.Tests.", StringComparison.Ordinal) && line.Contains(wanted, StringComparison.Ordinal))];
        if (methods.Length == 0)
        {
            throw new InvalidOperationException($"there is no such test.\n{list.Tail()}");
        }

        var each = TimeSpan.FromMinutes(plan.Arguments.GetValue(MinutesOption)) / methods.Length;
        var seconds = Math.Max(1, (int)each.TotalSeconds).ToString(CultureInfo.InvariantCulture);
        var table = new ResultTable();
        foreach (var method in methods)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var start = Stopwatch.GetTimestamp();

            // CsCheck goes on for so long, whatever the test says.
            var run = await lab.RunAsync(
                method, "dotnet", [tests, "-noLogo", "-noColor", "-method", method], each + Slack, new Dictionary<string, string> { ["CsCheck_Time"] = seconds });
            var name = string.Join('.', method.Split('.').TakeLast(2));
            plan.Progress($"{name}: {(run.ExitCode == 0 ? "nothing" : "FOUND SOMETHING")} in {Stopwatch.GetElapsedTime(start).TotalSeconds:0} s");
            if (run.ExitCode != 0)
            {
                plan.Progress(run.Tail(lines: 100));
            }

            table.Add(name, "found", "", Better.Lower, run.ExitCode == 0 ? 0 : 1, 0);
            table.Add(name, "time", "s", Better.Higher, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        return table.Results;
    }

    public void WriteTable(IReadOnlyList<Result> results, TextWriter output) => Report.WriteMatrix(Name, results, output);

    // Built beside this program, with the same configuration: …/tests/Peerd.Benchmarks/bin/<configuration>/<framework>/
    private static string TestsOf(string folder)
    {
        var framework = new DirectoryInfo(folder.TrimEnd('/'));
        var tests = Path.Combine(Repository.Root, "tests/Peerd.Tests/bin", framework.Parent!.Name, framework.Name, "Peerd.Tests.dll");
        return File.Exists(tests) ? tests : throw new FileNotFoundException($"{tests} was not built; ./bench.sh fuzz builds it", tests);
    }
}
