using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Peerd.Contracts;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>The limit of what a node reads from registries, with a real one.</summary>
public sealed class OriginRateTests : LabTest
{
    private const string Repository = "team/app";
    private const int MiB = 1 << 20;
    private const int Rate = MiB;

    // A tenth of a second of bytes comes at once, and the last block of it may be owed.
    private const int Ahead = (Rate / 10) + (64 * 1024);

    [Fact]
    public async Task Get_TwoBlobsAtOnce_NeverMoreThanTheRateHasAllowed()
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 62, 2 * MiB, 2 * MiB);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, Repository, "v1");
        var node = PeerdNode.Create(Lab, "n1");
        var configuration = node.Configure([node], registry.Upstream);
        configuration["Peerd"]!["Limits"] = new JsonObject { ["Origin"] = $"{Rate}" };
        await node.StartAsync(configuration);
        using var client = new HttpClient { BaseAddress = node.Facade, Timeout = PullTimeout };
        var started = Stopwatch.GetTimestamp();
        var received = 0L;

        await Task.WhenAll(image.Layers.Select(ReadAsync));

        Assert.Equal(image.Layers.Sum(layer => layer.Size), received);
        var read = registry.ReadSoFar();
        Assert.All(image.Layers, layer => Assert.Equal(layer.Size, read[layer.Digest].Bytes));

        async Task ReadAsync(TestImage.Part layer)
        {
            using var answer = await client.GetAsync(new Uri($"v2/{Repository}/blobs/{layer.Digest}?ns={registry.Name}", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead);
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            await using var body = await answer.Content.ReadAsStreamAsync();
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            var buffer = new byte[16 * 1024];
            int count;
            while ((count = await body.ReadAsync(buffer)) > 0)
            {
                hash.AppendData(buffer, 0, count);

                // A machine that is slow, or stops for a while, only makes it fewer.
                var all = Interlocked.Add(ref received, count);
                Assert.InRange(all, 0, (long)(Stopwatch.GetElapsedTime(started).TotalSeconds * Rate) + Ahead);
            }

            Assert.Equal(layer.Digest, Digest.FromHash(HashAlgorithmName.SHA256, hash.GetHashAndReset()));
        }
    }
}
