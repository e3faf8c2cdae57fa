using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Commands;

/// <summary><c>peerd fetch</c> through running nodes.</summary>
public sealed class FetchTests : LabTest
{
    [Fact]
    public async Task Fetch_ImageThatAnotherNodeHas_ComesFromPeers()
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 31, 9 << 20, 2 << 20);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, "team/app", "v1");
        var nodes = PeerdNode.CreateMany(Lab, 2);
        await PeerdNode.StartAllAsync(nodes, nodes, registry.Upstream);

        foreach (var node in nodes)
        {
            var result = await PeerdCommand.RunJsonAsync(
                Lab,
                "fetch",
                $"{registry.Name}/team/app:v1",
                "--facade", node.Facade.GetLeftPart(UriPartial.Authority),
                "--node", node.Mesh.GetLeftPart(UriPartial.Authority),
                "--json");

            Assert.Equal(image.Index.Digest.ToString(), result["digest"]!.GetValue<string>());
        }

        var read = registry.ReadSoFar();
        Assert.All(image.Layers, layer => Assert.InRange(read[layer.Digest].Bytes, layer.Size, layer.Size * 105 / 100));
    }

    [Fact]
    public async Task Fetch_NoNodeThere_SaysSoInOneLine()
    {
        var process = await PeerdCommand.RunAsync(Lab, "fetch", "registry.example/team/app:v1", "--facade", $"http://127.0.0.1:{FreePorts.Take()}");

        Assert.Equal(1, process.ExitCode);
        Assert.Single(process.Errors);
    }
}
