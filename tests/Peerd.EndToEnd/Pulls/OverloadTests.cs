using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>Real containerds and a node that has as much to do as it may.</summary>
public sealed class OverloadTests : LabTest
{
    private const string Repository = "team/app";
    private const int MiB = 1 << 20;

    [Fact]
    public async Task Pull_NoPlaceForARequest_IsRefusedAtOnceAndContainerdGoesToTheRegistry()
    {
        var (registry, image) = await StartRegistryAsync();
        await using var link = new SlowLink(registry.Endpoint, MiB / 4);
        var node = await StartNodeAsync(registry.Behind(link), "Limits", "Requests", 1);
        var containerd = await StartContainerdAsync(node, registry);

        // The one place is taken as long as this is read.
        using var client = new HttpClient { BaseAddress = node.Facade, Timeout = PullTimeout };
        using var held = await HoldAsync(client, registry, image);
        using var refused = await client.GetAsync(new Uri($"v2/{Repository}/manifests/v1?ns={registry.Name}", UriKind.Relative));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);

        await containerd.PullAsync($"{registry.Name}/{Repository}:v1", PullTimeout);

        Assert.Empty(await containerd.FindWrongContentAsync(image.All));
        Assert.InRange(await CountAsync(node, "peerd_facade_overloaded_total"), 2, long.MaxValue);
    }

    [Fact]
    public async Task Pull_AllConnectionsWaitForAnswers_IsClosedAfterAWhileAndContainerdGoesToTheRegistry()
    {
        var (registry, image) = await StartRegistryAsync();
        await using var link = new SlowLink(registry.Endpoint, MiB / 16);
        var node = await StartNodeAsync(registry.Behind(link), "Facade", "MaxConnections", 1);
        var containerd = await StartContainerdAsync(node, registry);
        using var client = new HttpClient { BaseAddress = node.Facade, Timeout = PullTimeout };
        using var held = await HoldAsync(client, registry, image);

        await containerd.PullAsync($"{registry.Name}/{Repository}:v1", PullTimeout);

        Assert.Empty(await containerd.FindWrongContentAsync(image.All));
        Assert.InRange(await CountAsync(node, "peerd_facade_shed_total"), 1, long.MaxValue);
    }

    [Fact]
    public async Task Pull_IdleConnectionsHaveAllPlaces_TheNodeServes()
    {
        const int Most = 4;
        var (registry, image) = await StartRegistryAsync();
        var node = await StartNodeAsync(registry.Upstream, "Facade", "MaxConnections", Most);
        var containerd = await StartContainerdAsync(node, registry);
        var idle = new List<TcpClient>();
        try
        {
            for (var i = 0; i < Most; i++)
            {
                idle.Add(new TcpClient());
                await idle[^1].ConnectAsync(node.Facade.Host, node.Facade.Port);
            }

            await containerd.PullAsync($"{registry.Name}/{Repository}:v1", PullTimeout);

            Assert.Empty(await containerd.FindWrongContentAsync(image.All));
            Assert.Equal(0, await CountAsync(node, "peerd_facade_shed_total"));
            Assert.InRange(await CountAsync(node, "peerd_facade_requests_total"), 4, long.MaxValue);
        }
        finally
        {
            idle.ForEach(client => client.Dispose());
        }
    }

    /// <summary>A read that lasts until it is disposed, or all has come over a slow link.</summary>
    private static async Task<HttpResponseMessage> HoldAsync(HttpClient client, DockerRegistry registry, TestImage image)
    {
        var held = await client.GetAsync(new Uri($"v2/{Repository}/blobs/{image.Layers[0].Digest}?ns={registry.Name}", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead);
        Assert.Equal(HttpStatusCode.OK, held.StatusCode);
        return held;
    }

    private async Task<(DockerRegistry Registry, TestImage Image)> StartRegistryAsync()
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 61, 4 * MiB, 300_000);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, Repository, "v1");
        return (registry, image);
    }

    private async Task<PeerdNode> StartNodeAsync(Upstream upstream, string section, string key, int value)
    {
        var node = PeerdNode.Create(Lab, "n1");
        var configuration = node.Configure([node], upstream);
        var settings = configuration["Peerd"]!.AsObject();
        settings[section] ??= new JsonObject();
        settings[section]![key] = value;
        await node.StartAsync(configuration);
        return node;
    }

    private async Task<Containerd> StartContainerdAsync(PeerdNode node, DockerRegistry registry)
    {
        var containerd = await Containerd.StartAsync(Lab, "containerd", new ContainerdSetup("2.1"));
        await containerd.UseMirrorAsync(registry.Name, node.Facade, registry.Endpoint);
        return containerd;
    }

    private static async Task<long> CountAsync(PeerdNode node, string name)
    {
        using var deadline = new CancellationTokenSource(PullTimeout);
        return (await NodeMetrics.ReadAsync(node, host: null, deadline.Token)).Sum(name);
    }
}
