namespace Peerd.Benchmarks.Measuring;

/// <summary>The most resident memory that a process has ever had, or since a moment, as the kernel counts it.</summary>
internal static class PeakMemory
{
    private const string Field = "VmHWM:";
    private const int Kibi = 1024;
    private const string ResetPeak = "5";

    /// <summary>Counts from now on.</summary>
    public static void Reset(int process) => File.WriteAllText($"/proc/{process}/clear_refs", ResetPeak);

    /// <summary>Bytes, of a running process.</summary>
    public static long Of(int process)
    {
        // "VmHWM:	   12345 kB"
        var line = File.ReadLines($"/proc/{process}/status").First(line => line.StartsWith(Field, StringComparison.Ordinal));
        return long.Parse(line[Field.Length..].Trim().Split(' ')[0]) * Kibi;
    }
}
