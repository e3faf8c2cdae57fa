namespace Peerd.Benchmarks.Measuring;

/// <summary>Collects values of several rounds by case and metric, in the order of their first appearance.</summary>
internal sealed class ResultTable
{
    private readonly OrderedDictionary<(string Case, string Metric), Result> _results = [];

    public IReadOnlyList<Result> Results => [.. _results.Values];

    public void Add(string @case, string metric, string unit, Better better, double value, double? target = null) =>
        _results[(@case, metric)] = _results.TryGetValue((@case, metric), out var former)
            ? former with { Values = [.. former.Values, value] }
            : new Result(@case, metric, unit, better, [value], target);
}
