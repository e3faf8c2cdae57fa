using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Peerd.Contracts;
using Peerd.EndToEnd.Faults;
using Peerd.EndToEnd.Harness;
using Peerd.Node.Storage;

namespace Peerd.EndToEnd.Lifecycle;

/// <summary>A start that takes long, as the probes of a pod see it: they are asked in the order in which a kubelet asks them.</summary>
public sealed class SlowStartTests : LabTest
{
    private const int Size = 2 << 20;
    private const int Others = 10_000;
    private const int OtherSize = 4096;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Start_ManyContentsOnADiskThatHangs_HasStartedOnlyWhenItServesThem()
    {
        using var faults = await PreloadedFaults.CreateAsync(Lab);
        await using var origin = await FaultOrigin.StartAsync();
        using var client = new HttpClient { Timeout = PullTimeout };
        var blob = new GeneratedBlob(Size, seed: 650);
        origin.Add(blob, blob);
        var node = PeerdNode.Create(Lab, "n1");
        node.Environment = faults.EnvironmentOf(node.CacheFolder);
        var socket = Path.Combine(Lab.CreateFolder("run"), "probe");
        var configuration = node.Configure([node], origin.Upstream);
        configuration["Peerd"]!["Handover"] = new JsonObject { ["Enabled"] = true, ["ProbeSocket"] = socket };
        await node.StartAsync(configuration);
        Assert.Null(await ReadAsync());
        Assert.Equal(0, await node.Process.StopAsync(Patience));
        Fill(node.CacheFolder);
        await origin.FailAsync(OriginFault.Down);

        faults.HoldDisk(true);
        var process = await node.LaunchAsync();
        await Wait.UntilAsync("its cache is read", process, () => Task.FromResult(faults.Waiting > 0), Patience);
        Assert.Equal((1, 1), (await AskAsync(), await AskAsync("--ready")));
        Assert.Null(await ProbeAsync("healthz"));

        faults.HoldDisk(false);
        var clock = Stopwatch.StartNew();
        await Wait.UntilAsync("it has started", process, async () => await AskAsync() == 0, Patience);
        TestContext.Current.TestOutputHelper?.WriteLine($"{Others} contents: started {clock.Elapsed.TotalSeconds:0.00} s after its disk answered");
        Assert.Equal(HttpStatusCode.OK, await ProbeAsync("healthz"));
        await Wait.UntilAsync("it is ready", process, async () => await AskAsync("--ready") == 0, Patience);
        Assert.Equal(HttpStatusCode.OK, await ProbeAsync("readyz"));

        // The registry is gone: what the node had is all that there is.
        Assert.Null(await ReadAsync());
        Assert.Contains(process.Output, line => line.Contains($"{Others + 1} contents", StringComparison.Ordinal));

        async Task<int> AskAsync(params string[] options) => (await PeerdCommand.RunAsync(Lab, ["probe", socket, .. options])).ExitCode;

        async Task<string?> ReadAsync()
        {
            using var deadline = new CancellationTokenSource(PullTimeout);
            return await new BlobReader(client, node.Facade).TryReadAsync(blob, origin.PathOf(blob), deadline.Token);
        }

        // Null when nobody listens.
        async Task<HttpStatusCode?> ProbeAsync(string path)
        {
            try
            {
                using var response = await client.GetAsync(new Uri(node.Metrics, path), TestContext.Current.CancellationToken);
                return response.StatusCode;
            }
            catch (HttpRequestException e) when (e.HttpRequestError == HttpRequestError.ConnectionError)
            {
                return null;
            }
        }
    }

    /// <summary>Puts contents into a cache that nobody has open. Their bytes are never asked for.</summary>
    private static void Fill(string folder)
    {
        var layout = new ContentLayout(OtherSize);
        var index = new byte[IndexFormat.HeaderSize + IndexFormat.RecordSize(layout)];
        for (var i = 0; i < Others; i++)
        {
            var digest = Digest.Parse($"sha256:{Convert.ToHexStringLower(SHA256.HashData(BitConverter.GetBytes(i)))}");
            IndexFormat.WriteHeader(index, new IndexHeader(digest, OtherSize, MediaType: null, IsVerified: true));
            IndexFormat.WriteRecord(index.AsSpan(IndexFormat.HeaderSize), IndexFormat.SaltOf(digest), piece: 0, [(ulong)i + 1]);
            var path = Path.Combine(folder, "contents", digest.Algorithm, digest.Hex[..2], $"{digest.Hex}.1");
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllBytes($"{path}.index", index);
            using var data = File.Create($"{path}.data");
            data.SetLength(OtherSize);
        }
    }
}
