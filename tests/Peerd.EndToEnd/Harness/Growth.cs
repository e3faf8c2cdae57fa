namespace Peerd.EndToEnd.Harness;

/// <summary>Tells whether what is looked at again and again grows, or only goes up and down.</summary>
internal static class Growth
{
    /// <summary>The least number of samples that says anything.</summary>
    public const int LeastSamples = 6;

    /// <summary>
    /// How much more the median of the last third is than that of the middle one; the first is left out, for a process that has
    /// just started fills its pools.
    /// </summary>
    /// <param name="samples">In order of time, at the same distance.</param>
    public static double Of(IReadOnlyList<double> samples) => Compare(samples, Median);

    /// <summary>
    /// The same of the lowest sample of each third: for what grows until somebody tidies up, and falls then to what is kept.
    /// </summary>
    /// <param name="samples">In order of time, at the same distance.</param>
    public static double OfLowest(IReadOnlyList<double> samples) => Compare(samples, Enumerable.Min);

    private static double Compare(IReadOnlyList<double> samples, Func<IEnumerable<double>, double> summary)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(samples.Count, LeastSamples);
        var third = samples.Count / 3;
        return summary(samples.Skip(samples.Count - third)) - summary(samples.Skip(samples.Count - (2 * third)).Take(third));
    }

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}
