using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
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

        RegistryLogin?[] others = [null, PrivateRegistry.Login with { Password = "S3cret-wrong" }];
        foreach (var login in others)
        {
            foreach (var reference in new[] { registry.Reference, registry.DigestReference })
            {
                Assert.NotNull(await containerds[0].PullAsync(ImageClient.Ctr, reference, PullTimeout, login));
                Assert.NotNull(await containerds[1].PullAsync(ImageClient.Ctr, reference, PullTimeout, login));
            }
        }

        Assert.Empty((await containerds[1].ListContentAsync()).Intersect(registry.Image.All.Select(part => part.Digest)));
        await AssertRefusedAsync(nodes, registry, authorization: null);

        // Whom the registry would serve is served by the mesh.
        PullAssert.Succeeded(await containerds[1].PullAsync(ImageClient.Ctr, registry.Reference, PullTimeout, PrivateRegistry.Login));
        Assert.Empty(await containerds[1].FindWrongContentAsync(registry.Image.All));
        Amplification.Demand(registry.Registry, registry.Image);
        await PullAssert.NoSecretIsKeptAsync(Lab, nodes);
    }

    [Fact]
    public async Task Get_WithRightsToAnotherRepository_NotAByteThroughAnyNodeDigestTagOrUrl()
    {
        const string Other = "team/other";
        await using var registry = await PrivateRegistry.StartAsync(Lab, FreePorts.Take());
        var authorization = registry.Tokens.IssueForWriting(Other);
        var image = TestImage.Generate(Lab.CreateFolder("other"), seed: 41, 1000);
        await registry.Registry.PushAsync(image, Other, "v1", authorization);
        var nodes = PeerdNode.CreateMany(Lab, 2);
        var containerds = await Task.WhenAll(nodes.Select(node => StartAsync(node, nodes, registry)));
        PullAssert.Succeeded(await containerds[0].PullAsync(ImageClient.Ctr, registry.Reference, PullTimeout, PrivateRegistry.Login));
        await AssertAnswersAsync(nodes, registry.BlobPaths.Concat(registry.BlobUrlPaths), registry.Tokens.IssueForWriting(PrivateRegistry.Repository), HttpStatusCode.OK);

        await AssertRefusedAsync(nodes, registry, authorization);

        await AssertAnswersAsync(nodes, [$"v2/{Other}/manifests/v1?ns={registry.Registry.Name}"], authorization, HttpStatusCode.OK);
        await AssertAnswersAsync(nodes, registry.PathsIn(Other), authorization, HttpStatusCode.NotFound);
    }

    private static async Task AssertRefusedAsync(PeerdNode[] nodes, PrivateRegistry registry, AuthenticationHeaderValue? authorization)
    {
        string[] paths = [.. registry.ManifestPaths, registry.TagsPath, .. registry.BlobPaths, .. registry.BlobUrlPaths];
        await AssertAnswersAsync(nodes, paths, authorization, HttpStatusCode.Unauthorized);
        await AssertAnswersAsync(nodes, paths, authorization, HttpStatusCode.Unauthorized, new RangeHeaderValue(0, 9));
    }

    private static async Task AssertAnswersAsync(PeerdNode[] nodes, IEnumerable<string> paths, AuthenticationHeaderValue? authorization, HttpStatusCode expected, RangeHeaderValue? range = null)
    {
        using var client = new HttpClient { Timeout = PullTimeout };
        foreach (var url in paths.SelectMany(path => nodes.Select(node => new Uri(node.Facade, path))))
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, url) { Headers = { Authorization = authorization, Range = range } };
            using var answer = await client.SendAsync(request);
            Assert.Equal(expected, answer.StatusCode);
            Assert.Equal(expected != HttpStatusCode.OK, (await answer.Content.ReadAsStringAsync()).StartsWith("{\"errors\"", StringComparison.Ordinal));
        }
    }

    private async Task<Containerd> StartAsync(PeerdNode node, PeerdNode[] nodes, PrivateRegistry registry)
    {
        var configuration = node.Configure(nodes, new Upstream(registry.Registry.Name, registry.Registry.Endpoint));
        configuration["Peerd"]!["Facade"]!["Access"] = "upstream";
        configuration["Peerd"]!["Blobs"] = new JsonObject { ["AllowedNetworks"] = new JsonArray("127.0.0.0/8") };
        await node.StartAsync(configuration);
        var containerd = await Containerd.StartAsync(Lab, $"containerd-{node.Name}", new ContainerdSetup("2.1"));
        await containerd.UseMirrorAsync(registry.Registry.Name, node.Facade);
        return containerd;
    }
}
