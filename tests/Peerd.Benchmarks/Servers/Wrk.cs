using System.Text.Json;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Servers;

/// <summary>wrk, reading aligned ranges at random places of one file.</summary>
internal static class Wrk
{
    /// <summary>One run.</summary>
    public sealed record Outcome(double RequestsPerSecond, double MedianMilliseconds, double P99Milliseconds);

    public static async Task<Outcome> ReadRangesAsync(Lab lab, Uri url, long fileSize, int rangeSize, int connections, TimeSpan duration)
    {
        var script = Path.Combine(lab.Folder, "ranges.lua");
        await File.WriteAllTextAsync(script, $$"""
            local started = 0
            function setup(thread) thread:set("id", started); started = started + 1 end
            function init(args) math.randomseed(4711 + id) end
            function request()
              local first = math.random(0, {{(fileSize / rangeSize) - 1}}) * {{rangeSize}}
              return wrk.format("GET", nil, { ["Range"] = string.format("bytes=%d-%d", first, first + {{rangeSize - 1}}) })
            end
            function done(summary, latency, requests)
              local e = summary.errors
              io.write(string.format('\n{"requests":%d,"bytes":%.0f,"errors":%d,"seconds":%.6f,"p50":%.3f,"p99":%.3f}\n',
                summary.requests, summary.bytes, e.connect + e.read + e.write + e.status + e.timeout, summary.duration / 1e6,
                latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
            end
            """);
        var process = await lab.RunAsync(
            "wrk",
            "/usr/bin/wrk",
            ["--threads", "1", "--connections", $"{connections}", "--duration", $"{duration.TotalSeconds:0}s", "--timeout", "10s", "--script", script, url.ToString()],
            duration + TimeSpan.FromSeconds(30));
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"wrk failed.\n{process.Tail()}");
        }

        using var json = JsonDocument.Parse(process.Output.Last(line => line.StartsWith('{')));
        var result = json.RootElement;
        var requests = result.GetProperty("requests").GetInt64();
        if (result.GetProperty("errors").GetInt64() > 0 || result.GetProperty("bytes").GetDouble() < requests * (double)rangeSize)
        {
            throw new InvalidOperationException($"some ranges were not answered as they should.\n{process.Tail()}");
        }

        return new Outcome(requests / result.GetProperty("seconds").GetDouble(), result.GetProperty("p50").GetDouble(), result.GetProperty("p99").GetDouble());
    }
}
