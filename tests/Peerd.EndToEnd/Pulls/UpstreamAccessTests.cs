using System.Net;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>Nodes that serve only whom the registry would serve, whatever they have: with a real registry, its token server, and containerd.</summary>
public sealed class UpstreamAccessTests : LabTest
{
    [Fact]
    public async Task Pull_WithoutRights_NotAByteThroughAnyNodeDigestOrTag()
    {
        await using var registry = await PrivateRegistry.StartAsync(Lab, FreePorts.Take());
        var nodes = PeerdNode.CreateMany(Lab, 2);
        var containerds = await Task.WhenAll(nodes.Select(node => StartAsync(node, nodes, registry)));
        PullAssert.Succeeded(await containerds[0].PullAsync(ImageClient.Ctr, registry.Reference, PullTimeout, PrivateRegistry.Login));

        RegistryLogin?[] others = [null, PrivateRegistry.Login with { Password = "wrong" }];
        foreach (var login in others)
        {
            foreach (var reference in new[] { registry.Reference, registry.DigestReference })
            {
                Assert.NotNull(await containerds[0].PullAsync(ImageClient.Ctr, reference, PullTimeout, login));
                Assert.NotNull(await containerds[1].PullAsync(ImageClient.Ctr, reference, PullTimeout, login));
            }
        }

        Assert.Empty((await containerds[1].ListContentAsync()).Intersect(registry.Image.All.Select(part => part.Digest)));
        using var client = new HttpClient { Timeout = PullTimeout };
        var paths = registry.ManifestPaths.Append(registry.TagsPath).Concat(registry.BlobPaths);
        foreach (var (path, range) in paths.SelectMany(static path => new (string, string?)[] { (path, null), (path, "bytes=0-9") }))
        {
            foreach (var node in nodes)
            {
                using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(node.Facade, path));
                request.Headers.TryAddWithoutValidation("Range", range);
                using var answer = await client.SendAsync(request);
                Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
                Assert.StartsWith("{\"errors\"", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
            }
        }

        // Whom the registry would serve is served by the mesh.
        PullAssert.Succeeded(await containerds[1].PullAsync(ImageClient.Ctr, registry.Reference, PullTimeout, PrivateRegistry.Login));
        Assert.Empty(await containerds[1].FindWrongContentAsync(registry.Image.All));
        Amplification.Demand(registry.Registry, registry.Image);
    }

    private async Task<Containerd> StartAsync(PeerdNode node, PeerdNode[] nodes, PrivateRegistry registry)
    {
        var configuration = node.Configure(nodes, new Upstream(registry.Registry.Name, registry.Registry.Endpoint));
        configuration["Peerd"]!["Facade"]!["Access"] = "upstream";
        await node.StartAsync(configuration);
        var containerd = await Containerd.StartAsync(Lab, $"containerd-{node.Name}", new ContainerdSetup("2.1"));
        await containerd.UseMirrorAsync(registry.Registry.Name, node.Facade);
        return containerd;
    }
}
