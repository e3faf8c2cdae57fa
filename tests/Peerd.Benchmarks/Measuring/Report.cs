using System.Text.Json;

namespace Peerd.Benchmarks.Measuring;

/// <summary>Prints results: a table for people, one line of JSON for programs.</summary>
internal static class Report
{
    private const int Width = 15;

    public static void WriteTable(string bench, IReadOnlyList<Result> results, TextWriter output)
    {
        output.WriteLine($"{bench,-34} {"metric",-28} {"median",10} {"min",10} {"max",10} {"unit",-8} target");
        foreach (var result in results)
        {
            var target = result.Target is not { } value ? string.Empty
                : $"{(result.Better == Better.Higher ? "≥" : "≤")} {Format(value)} {(result.IsReached == true ? "reached" : "MISSED")}";
            output.WriteLine($"{result.Case,-34} {result.Metric,-28} {Format(result.Median),10} {Format(result.Min),10} {Format(result.Max),10} {result.Unit,-8} {target}");
        }
    }

    /// <summary>A table with a row for each case and a column for each metric; a value that misses its target has a mark.</summary>
    public static void WriteMatrix(string bench, IReadOnlyList<Result> results, TextWriter output)
    {
        var metrics = results.DistinctBy(result => result.Metric).ToArray();
        var heads = Array.ConvertAll(metrics, metric => metric.Unit is "" or "x" ? metric.Metric : $"{metric.Metric}, {metric.Unit}");
        output.WriteLine($"{bench,-34} {string.Join(' ', heads.Select(head => $"{head,Width}"))}");
        foreach (var row in results.GroupBy(result => result.Case))
        {
            var cells = metrics.Select(metric => row.FirstOrDefault(result => result.Metric == metric.Metric) is { } result
                ? Format(result.Median) + (result.IsReached == false ? "!" : "")
                : "-");
            output.WriteLine($"{row.Key,-34} {string.Join(' ', cells.Select(cell => $"{cell,Width}"))}");
        }

        foreach (var result in results.Where(result => result.IsReached == false))
        {
            output.WriteLine($"! MISSED: {result.Case}: {result.Metric} is {Format(result.Median)} {result.Unit}, should be {(result.Better == Better.Higher ? "≥" : "≤")} {Format(result.Target!.Value)}");
        }
    }

    public static void WriteJson(string bench, IReadOnlyList<Result> results, TextWriter output) =>
        output.WriteLine(JsonSerializer.Serialize(new
        {
            bench,
            results = results.Select(result => new
            {
                @case = result.Case,
                metric = result.Metric,
                value = result.Median,
                unit = result.Unit,
                min = result.Min,
                max = result.Max,
                target = result.Target,
                better = result.Better == Better.Higher ? "higher" : "lower",
            }),
        }));

    private static string Format(double value) => value switch
    {
        >= 1000 => $"{value:0}",
        >= 10 => $"{value:0.0}",
        _ => $"{value:0.000}",
    };
}
