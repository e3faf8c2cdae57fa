namespace Peerd.Benchmarks.Measuring;

/// <summary>The most resident memory that a process has ever had, as the kernel counts it.</summary>
internal static class PeakMemory
{
    private const string Field = "VmHWM:";
    private const int Kibi = 1024;

    /// <summary>Bytes, of a running process.</summary>
    public static long Of(int process)
    {
        // "VmHWM:	   12345 kB"
        var line = File.ReadLines($"/proc/{process}/status").First(line => line.StartsWith(Field, StringComparison.Ordinal));
        return long.Parse(line[Field.Length..].Trim().Split(' ')[0]) * Kibi;
    }
}
