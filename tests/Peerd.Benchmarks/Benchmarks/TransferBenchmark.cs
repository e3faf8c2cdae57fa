using System.CommandLine;
using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Peerd.Benchmarks.Measuring;
using Peerd.Benchmarks.Servers;
using Peerd.EndToEnd.Harness;
using Peerd.Node.Mesh.Tls;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>Bytes from a node to a reader over the mesh, beside the same file from nginx to curl, taking turns.</summary>
internal sealed class TransferBenchmark : IBenchmark
{
    private const double ThroughputTarget = 0.8;
    private const double ProcessorTarget = 1.3;

    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(8);

    private readonly Option<bool> _tls = new("--tls") { Description = "Also with mutual TLS, on both sides." };

    public string Name => "transfer";

    public string Description => "Bytes from node to node over the mesh, beside nginx and curl.";

    public string UsualDuration => "30 s";

    public IReadOnlyList<Option> Options => [_tls];

    public async Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken)
    {
        await using var lab = new Lab();
        plan.Progress($"making a file of {plan.FileSize >> 20} MiB");
        var file = await BenchmarkFile.CreateAsync(lab.CreateFolder("files"), plan.FileSize, cancellationToken);
        var tlsFolder = lab.CreateFolder("tls");
        using var authority = new MeshAuthority();
        using var certificate = authority.Write(tlsFolder, "peerd.mesh");
        var nginx = await Nginx.StartWithTlsAsync(lab, file.Folder, tlsFolder);
        var cases = new List<Case> { await Case.StartAsync("node to node", lab, nginx, nginx.Endpoint, file, tlsFolder: null) };
        if (plan.Arguments.GetValue(_tls))
        {
            cases.Add(await Case.StartAsync("node to node, TLS", lab, nginx, nginx.TlsEndpoint!, file, tlsFolder));
        }

        try
        {
            // Neither side pays for its first time: compiling, connecting, growing windows. The runtime compiles what is
            // used much again with optimizations, which takes seconds of both processors and much of a short transfer.
            foreach (var each in cases)
            {
                for (var start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start) < WarmUp;)
                {
                    await each.ReadMeshAsync(cancellationToken);
                }

                await each.ReadNginxAsync();
            }

            for (var round = 1; round <= plan.Rounds; round++)
            {
                foreach (var each in cases)
                {
                    await each.MeasureAsync(cancellationToken);
                    plan.Progress($"{each.Name}, round {round}: mesh {each.Mesh[^1].MegabytesPerSecond:0} MB/s, nginx {each.Http[^1].MegabytesPerSecond:0} MB/s");
                }
            }

            return [.. cases.SelectMany(each => each.Results), .. cases.Skip(1).Select(each => Result.Ratio(
                each.Name, "CPU / clear text", Better.Lower, each.Mesh.Select(transfer => transfer.SecondsPerGigabyte), cases[0].Mesh.Select(transfer => transfer.SecondsPerGigabyte)))];
        }
        finally
        {
            cases.ForEach(each => each.Dispose());
        }
    }

    /// <summary>The same bytes both ways, in clear text or with TLS.</summary>
    private sealed class Case(string name, Lab lab, Nginx nginx, Uri direct, BenchmarkFile file, WarmNode warm, MeshReader reader, string? tlsFolder) : IDisposable
    {
        public string Name => name;

        public List<Transfer> Mesh { get; } = [];

        public List<Transfer> Http { get; } = [];

        public IEnumerable<Result> Results =>
        [
            new(name, "mesh throughput", "MB/s", Better.Higher, [.. Mesh.Select(transfer => transfer.MegabytesPerSecond)]),
            new(name, "nginx throughput", "MB/s", Better.Higher, [.. Http.Select(transfer => transfer.MegabytesPerSecond)]),
            new(name, "mesh CPU, sender", "s/GB", Better.Lower, [.. Mesh.Select(transfer => transfer.SenderSeconds / transfer.Bytes * 1e9)]),
            new(name, "mesh CPU, both ends", "s/GB", Better.Lower, [.. Mesh.Select(transfer => transfer.SecondsPerGigabyte)]),
            new(name, "nginx CPU, both ends", "s/GB", Better.Lower, [.. Http.Select(transfer => transfer.SecondsPerGigabyte)]),

            // What is promised is promised in clear text.
            Result.Ratio(name, "throughput / nginx", Better.Higher, Mesh.Select(transfer => transfer.MegabytesPerSecond), Http.Select(transfer => transfer.MegabytesPerSecond), tlsFolder is null ? ThroughputTarget : null),
            Result.Ratio(name, "CPU / nginx", Better.Lower, Mesh.Select(transfer => transfer.SecondsPerGigabyte), Http.Select(transfer => transfer.SecondsPerGigabyte), tlsFolder is null ? ProcessorTarget : null),
        ];

        public static async Task<Case> StartAsync(string name, Lab lab, Nginx nginx, Uri server, BenchmarkFile file, string? tlsFolder)
        {
            var warm = await WarmNode.StartAsync(lab, nginx, file, tlsFolder);
            return new Case(name, lab, nginx, new Uri(server, file.UrlPath), file, warm, new MeshReader(warm.Node.Mesh, TlsOf(tlsFolder)), tlsFolder);
        }

        public async Task<long> ReadMeshAsync(CancellationToken cancellationToken)
        {
            var bytes = await reader.ReadAsync(file, cancellationToken);
            return bytes == file.Size ? bytes : throw new InvalidOperationException($"the mesh delivered {bytes} of {file.Size} bytes");
        }

        public Task<long> ReadNginxAsync() => Curl.ReadAsync(lab, direct, tlsFolder);

        public async Task MeasureAsync(CancellationToken cancellationToken)
        {
            Http.Add(await Curl.MeasureAsync(lab, direct, nginx.Process, tlsFolder));
            Mesh.Add(await Transfer.MeasureAsync(warm.Node.Process.Id, ProcessorTime.OfSelf, () => ReadMeshAsync(cancellationToken)));
        }

        public void Dispose() => reader.Dispose();

        private static MeshTls TlsOf(string? folder)
        {
            if (folder is null)
            {
                return MeshTls.Off;
            }

            var files = MeshAuthority.Settings(folder).ToDictionary(setting => setting.Key, setting => setting.Value);
            return new MeshTls(
                new MeshTlsOptions { Certificate = files["Certificate"], Key = files["Key"], Authority = files["Authority"] }, self: null, TimeProvider.System, refused: null, NullLogger.Instance);
        }
    }
}
