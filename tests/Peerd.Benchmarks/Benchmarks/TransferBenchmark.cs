using System.Diagnostics;
using Peerd.Benchmarks.Measuring;
using Peerd.Benchmarks.Servers;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>Bytes from a node to a reader over the mesh, beside the same file from nginx to curl, taking turns.</summary>
internal sealed class TransferBenchmark : IBenchmark
{
    private const string Case = "node to node";
    private const double ThroughputTarget = 0.8;
    private const double ProcessorTarget = 1.3;

    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(8);

    public string Name => "transfer";

    public string Description => "Bytes from node to node over the mesh, beside nginx and curl.";

    public string UsualDuration => "30 s";

    public async Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken)
    {
        await using var lab = new Lab();
        plan.Progress($"making a file of {plan.FileSize >> 20} MiB");
        var file = await BenchmarkFile.CreateAsync(lab.CreateFolder("files"), plan.FileSize, cancellationToken);
        var nginx = await Nginx.StartAsync(lab, file.Folder);
        var warm = await WarmNode.StartAsync(lab, nginx, file);
        using var reader = new MeshReader(warm.Node.Mesh);
        var direct = new Uri(nginx.Endpoint, file.UrlPath);

        // Neither side pays for its first time: compiling, connecting, growing windows. The runtime compiles what is
        // used much again with optimizations, which takes seconds of both processors and much of a short transfer.
        for (var start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start) < WarmUp;)
        {
            await MeshAsync();
        }

        await Curl.ReadAsync(lab, direct);

        var mesh = new List<Transfer>();
        var http = new List<Transfer>();
        for (var round = 1; round <= plan.Rounds; round++)
        {
            http.Add(await Curl.MeasureAsync(lab, direct, nginx.Process));
            mesh.Add(await Transfer.MeasureAsync(warm.Node.Process.Id, ProcessorTime.OfSelf, MeshAsync));
            plan.Progress($"round {round}: mesh {mesh[^1].MegabytesPerSecond:0} MB/s, nginx {http[^1].MegabytesPerSecond:0} MB/s");
        }

        return
        [
            new(Case, "mesh throughput", "MB/s", Better.Higher, [.. mesh.Select(transfer => transfer.MegabytesPerSecond)]),
            new(Case, "nginx throughput", "MB/s", Better.Higher, [.. http.Select(transfer => transfer.MegabytesPerSecond)]),
            new(Case, "mesh CPU, sender", "s/GB", Better.Lower, [.. mesh.Select(transfer => transfer.SenderSeconds / transfer.Bytes * 1e9)]),
            new(Case, "mesh CPU, both ends", "s/GB", Better.Lower, [.. mesh.Select(transfer => transfer.SecondsPerGigabyte)]),
            new(Case, "nginx CPU, both ends", "s/GB", Better.Lower, [.. http.Select(transfer => transfer.SecondsPerGigabyte)]),
            Result.Ratio(Case, "throughput / nginx", Better.Higher, mesh.Select(transfer => transfer.MegabytesPerSecond), http.Select(transfer => transfer.MegabytesPerSecond), ThroughputTarget),
            Result.Ratio(Case, "CPU / nginx", Better.Lower, mesh.Select(transfer => transfer.SecondsPerGigabyte), http.Select(transfer => transfer.SecondsPerGigabyte), ProcessorTarget),
        ];

        async Task<long> MeshAsync()
        {
            var bytes = await reader.ReadAsync(file, cancellationToken);
            return bytes == file.Size ? bytes : throw new InvalidOperationException($"the mesh delivered {bytes} of {file.Size} bytes");
        }
    }
}
