namespace Peerd.Benchmarks.Ranges;

/// <summary>How reads went.</summary>
/// <param name="Milliseconds">Of each read, from sending the request to its last byte, in ascending order; at least one.</param>
/// <param name="Seconds">From the common start to the end of the last read.</param>
internal sealed record RangeOutcome(IReadOnlyList<double> Milliseconds, double Seconds)
{
    public double Median => Percentile(50);

    public double P99 => Percentile(99);

    public double RequestsPerSecond => Milliseconds.Count / Seconds;

    private double Percentile(int percent) => Milliseconds[Math.Max(0, (Milliseconds.Count * percent + 99) / 100 - 1)];
}
