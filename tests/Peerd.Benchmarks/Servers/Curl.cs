using System.Globalization;
using Peerd.Benchmarks.Measuring;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Servers;

/// <summary>curl, reading a URL and discarding what it gets.</summary>
internal static class Curl
{
    private static readonly TimeSpan Timeout = TimeSpan.FromMinutes(5);

    /// <summary>Reads a URL and measures both ends.</summary>
    public static Task<Transfer> MeasureAsync(Lab lab, Uri url, RunningProcess sender) =>
        Transfer.MeasureAsync(sender.Id, ProcessorTime.OfEndedChildren, () => ReadAsync(lab, url));

    /// <summary>Reads a URL and returns how many bytes it had.</summary>
    public static async Task<long> ReadAsync(Lab lab, Uri url)
    {
        var process = await lab.RunAsync(
            "curl", "/usr/bin/curl", ["--silent", "--show-error", "--fail", "--output", "/dev/null", "--write-out", "%{size_download}", url.ToString()], Timeout);
        return process.ExitCode == 0
            ? long.Parse(process.Output[0], CultureInfo.InvariantCulture)
            : throw new InvalidOperationException($"{url} cannot be read.\n{process.Tail()}");
    }
}
