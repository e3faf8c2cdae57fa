using Peerd.Benchmarks.Measuring;
using Peerd.Benchmarks.Servers;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>Measures a server beside nginx with the same file, taking turns: the whole of it, and many small ranges.</summary>
internal static class HttpComparison
{
    private const string Whole = "whole blob, warm";
    private const string Ranges = "64 KiB ranges, 16 connections, warm";
    private const int RangeSize = 64 << 10;
    private const int Connections = 16;
    private const double ThroughputTarget = 0.8;
    private const double RequestsTarget = 0.5;
    private const double P99Target = 1;

    private static readonly TimeSpan RangesDuration = TimeSpan.FromSeconds(5);

    public static async Task<IReadOnlyList<Result>> MeasureWholeAsync(BenchmarkPlan plan, Lab lab, HttpServer ours, HttpServer nginx)
    {
        // Neither side pays for its first time.
        await Curl.ReadAsync(lab, ours.Url);
        await Curl.ReadAsync(lab, nginx.Url);
        var measured = new List<Transfer>();
        var compared = new List<Transfer>();
        for (var round = 1; round <= plan.Rounds; round++)
        {
            compared.Add(await Curl.MeasureAsync(lab, nginx.Url, nginx.Process));
            measured.Add(await Curl.MeasureAsync(lab, ours.Url, ours.Process));
            plan.Progress($"whole blob, round {round}: {ours.Name} {measured[^1].MegabytesPerSecond:0} MB/s, nginx {compared[^1].MegabytesPerSecond:0} MB/s");
        }

        var (throughput, nginxThroughput) = (measured.ConvertAll(transfer => transfer.MegabytesPerSecond), compared.ConvertAll(transfer => transfer.MegabytesPerSecond));
        var (processor, nginxProcessor) = (measured.ConvertAll(transfer => transfer.SecondsPerGigabyte), compared.ConvertAll(transfer => transfer.SecondsPerGigabyte));
        return
        [
            new(Whole, $"{ours.Name} throughput", "MB/s", Better.Higher, throughput),
            new(Whole, "nginx throughput", "MB/s", Better.Higher, nginxThroughput),
            new(Whole, $"{ours.Name} CPU, both ends", "s/GB", Better.Lower, processor),
            new(Whole, "nginx CPU, both ends", "s/GB", Better.Lower, nginxProcessor),
            Result.Ratio(Whole, "throughput / nginx", Better.Higher, throughput, nginxThroughput, ThroughputTarget),
            Result.Ratio(Whole, "CPU / nginx", Better.Lower, processor, nginxProcessor),
        ];
    }

    public static async Task<IReadOnlyList<Result>> MeasureRangesAsync(BenchmarkPlan plan, Lab lab, HttpServer ours, HttpServer nginx)
    {
        await RunAsync(ours);
        var measured = new List<Wrk.Outcome>();
        var compared = new List<Wrk.Outcome>();
        for (var round = 1; round <= plan.Rounds; round++)
        {
            compared.Add(await RunAsync(nginx));
            measured.Add(await RunAsync(ours));
            plan.Progress($"ranges, round {round}: {ours.Name} {measured[^1].RequestsPerSecond:0}/s, nginx {compared[^1].RequestsPerSecond:0}/s");
        }

        var (requests, nginxRequests) = (measured.ConvertAll(run => run.RequestsPerSecond), compared.ConvertAll(run => run.RequestsPerSecond));
        return
        [
            new(Ranges, $"{ours.Name} requests", "1/s", Better.Higher, requests),
            new(Ranges, "nginx requests", "1/s", Better.Higher, nginxRequests),
            new(Ranges, $"{ours.Name} p50", "ms", Better.Lower, measured.ConvertAll(run => run.MedianMilliseconds)),
            new(Ranges, $"{ours.Name} p99", "ms", Better.Lower, measured.ConvertAll(run => run.P99Milliseconds), P99Target),
            new(Ranges, "nginx p99", "ms", Better.Lower, compared.ConvertAll(run => run.P99Milliseconds)),
            Result.Ratio(Ranges, "requests / nginx", Better.Higher, requests, nginxRequests, RequestsTarget),
        ];

        Task<Wrk.Outcome> RunAsync(HttpServer server) => Wrk.ReadRangesAsync(lab, server.Url, plan.FileSize, RangeSize, Connections, RangesDuration);
    }
}
