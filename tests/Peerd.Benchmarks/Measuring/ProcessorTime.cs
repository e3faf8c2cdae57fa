using System.Globalization;

namespace Peerd.Benchmarks.Measuring;

/// <summary>Processor seconds (user and system) as the kernel counts them, in steps of 10 ms.</summary>
internal static class ProcessorTime
{
    // USER_HZ: what the kernel tells programs, whatever its own clock is.
    private const double TicksPerSecond = 100;

    // Fields of /proc/<pid>/stat after the name, which may hold blanks: state is 0.
    private const int UserTicks = 11;
    private const int SystemTicks = 12;
    private const int ChildUserTicks = 13;
    private const int ChildSystemTicks = 14;

    /// <summary>Of a running process, without its children.</summary>
    public static double Of(int process) => Read(process, UserTicks, SystemTicks);

    /// <summary>Of this process, without its children.</summary>
    public static double OfSelf() => Of(Environment.ProcessId);

    /// <summary>Of all children of this process that have ended.</summary>
    public static double OfEndedChildren() => Read(Environment.ProcessId, ChildUserTicks, ChildSystemTicks);

    /// <summary>Of the whole machine: what its processors have done, and what they could have done.</summary>
    public static (double Busy, double Possible) OfMachine()
    {
        // "cpu user nice system idle iowait irq softirq steal guest guest_nice"; guests are counted as users, too.
        var ticks = File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries)[1..9].Select(field => long.Parse(field, CultureInfo.InvariantCulture)).ToArray();
        var possible = ticks.Sum();
        return ((possible - ticks[3] - ticks[4]) / TicksPerSecond, possible / TicksPerSecond);
    }

    private static double Read(int process, int first, int second)
    {
        var stat = File.ReadAllText($"/proc/{process}/stat");
        var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return (Ticks(first) + Ticks(second)) / TicksPerSecond;

        long Ticks(int field) => long.Parse(fields[field], CultureInfo.InvariantCulture);
    }
}
