using System.Text.Json;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Protocol;

/// <summary>
/// A gRPC client that shares no code with the node talks to it, knowing nothing but what reflection tells. The
/// commands are those of the documentation.
/// </summary>
public sealed class GrpcExampleTests : LabTest
{
    [Fact]
    public async Task Examples_OfTheDocumentation_AreAnswered()
    {
        var node = PeerdNode.Create(Lab, "n1");
        await node.StartAsync([node]);

        var methods = await RunAsync(node, "--list-methods");
        Assert.Contains("peerd.v1.PeerService/Announce", methods, StringComparison.Ordinal);
        Assert.Contains("peerd.v1.PeerService/Lookup", methods, StringComparison.Ordinal);
        Assert.Contains("peerd.v1.PeerService/FetchRange", methods, StringComparison.Ordinal);

        Assert.Contains("SERVING", await RunAsync(node, "grpc.health.v1.Health/Check"), StringComparison.Ordinal);
        Assert.Contains("\"n1\"", await RunAsync(node, "peerd.v1.NodeService/GetRing"), StringComparison.Ordinal);
        Assert.Contains("\"acknowledged\"", await RunAsync(node, "peerd.v1.PeerService/Announce"), StringComparison.Ordinal);
        Assert.Contains("\"granted\"", await RunAsync(node, "peerd.v1.PeerService/Lookup"), StringComparison.Ordinal);
        Assert.Contains("RANGE_STATUS_NOT_HELD", await RunAsync(node, "peerd.v1.PeerService/FetchRange"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task FetchRange_ContentOfTheNode_ForeignClientReadsTheRightBytes()
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 41, 300_000);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, "team/app", "v1");
        var node = PeerdNode.Create(Lab, "n1");
        await node.StartAsync([node], registry.Upstream);
        var containerd = await Containerd.StartAsync(Lab, "c1");
        await containerd.UseMirrorAsync(registry.Name, node.Facade);
        await containerd.PullAsync($"{registry.Name}/team/app:v1", PullTimeout);
        var layer = image.Layers[0];

        var answers = ParseAll(await RunAsync(node, "peerd.v1.PeerService/FetchRange", layer.Digest.ToString()));

        Assert.Equal($"{layer.Size}", answers[0].GetProperty("head").GetProperty("size").GetString());
        Assert.Equal("RANGE_STATUS_COMPLETE", answers[^1].GetProperty("end").GetProperty("status").GetString());
        var bytes = answers[1..^1].SelectMany(answer => answer.GetProperty("frame").GetProperty("data").GetBytesFromBase64()).ToArray();
        Assert.Equal(await File.ReadAllBytesAsync(layer.File), bytes);
    }

    private async Task<string> RunAsync(PeerdNode node, string example, string? digest = null)
    {
        var code = Examples.Find(example)
            .Replace(Examples.DocumentedAddress, node.Mesh.GetLeftPart(UriPartial.Authority), StringComparison.Ordinal)
            .Replace(Examples.DocumentedDigest, digest ?? Examples.DocumentedDigest, StringComparison.Ordinal);
        var path = $"{Path.GetDirectoryName(Repository.Buf)}:{Environment.GetEnvironmentVariable("PATH")}";
        var process = await Lab.RunAsync(
            $"example {example}", "/bin/sh", ["-ec", code], TimeSpan.FromSeconds(30), new Dictionary<string, string> { ["PATH"] = path, ["HOME"] = Lab.Folder });
        Assert.True(process.ExitCode == 0, process.Tail());
        return string.Join('\n', process.Output);
    }

    private static List<JsonElement> ParseAll(string answers)
    {
        // One object after the other, with nothing between them.
        var parsed = new List<JsonElement>();
        var reader = new Utf8JsonReader(System.Text.Encoding.UTF8.GetBytes(answers), new JsonReaderOptions { AllowMultipleValues = true });
        while (reader.Read())
        {
            parsed.Add(JsonElement.ParseValue(ref reader));
        }

        return parsed;
    }
}
