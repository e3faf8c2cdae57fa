using System.Globalization;

namespace Peerd.EndToEnd.Harness;

/// <summary>The resident memory of a process right now, as the kernel counts it.</summary>
internal static class ResidentMemory
{
    private const string Field = "VmRSS:";
    private const int Kibi = 1024;

    /// <summary>Bytes, of a running process.</summary>
    public static long Of(RunningProcess process)
    {
        // "VmRSS:	   12345 kB"
        var line = File.ReadLines($"/proc/{process.Id}/status").First(line => line.StartsWith(Field, StringComparison.Ordinal));
        return long.Parse(line[Field.Length..].Trim().Split(' ')[0], CultureInfo.InvariantCulture) * Kibi;
    }
}
