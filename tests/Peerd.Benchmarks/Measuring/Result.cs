namespace Peerd.Benchmarks.Measuring;

/// <summary>Which values are good.</summary>
internal enum Better
{
    Higher,
    Lower,
}

/// <summary>All values of one metric of one case, one per round.</summary>
/// <param name="Case">What was done, for example <c>whole blob</c>.</param>
/// <param name="Metric">What was measured, for example <c>throughput / nginx</c>.</param>
/// <param name="Unit">Unit of the values; <c>x</c> for ratios.</param>
/// <param name="Better">Which values are good.</param>
/// <param name="Values">At least one.</param>
/// <param name="Target">What the median has to reach; null when nothing is promised.</param>
internal sealed record Result(string Case, string Metric, string Unit, Better Better, IReadOnlyList<double> Values, double? Target = null)
{
    public double Min => Values.Min();

    public double Max => Values.Max();

    public double Median
    {
        get
        {
            var sorted = Values.Order().ToArray();
            var middle = sorted.Length / 2;
            return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
        }
    }

    /// <summary>Null when nothing is promised.</summary>
    public bool? IsReached => Target is not { } target ? null : Better == Better.Higher ? Median >= target : Median <= target;

    /// <summary>Values of one round divided by those of the other program in the same round.</summary>
    public static Result Ratio(string @case, string metric, Better better, IEnumerable<double> ours, IEnumerable<double> theirs, double? target = null) =>
        new(@case, metric, "x", better, [.. ours.Zip(theirs, (our, their) => our / their)], target);
}
