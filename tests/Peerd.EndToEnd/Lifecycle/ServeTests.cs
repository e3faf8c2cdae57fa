using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Lifecycle;

/// <summary>Starting and stopping the node as an operator sees it: exit codes and what is on standard error.</summary>
public sealed class ServeTests : LabTest
{
    private const int BadConfiguration = 2;
    private const int MiB = 1 << 20;

    /// <summary>The promise for SIGTERM.</summary>
    private static readonly TimeSpan DrainLimit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RefusalLimit = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task Terminate_IdleNode_ExitsWithZero()
    {
        var node = PeerdNode.Create(Lab, "n1");
        await node.StartAsync([node]);

        Assert.Equal(0, await node.Process.StopAsync(DrainLimit));
    }

    [Fact]
    public async Task Serve_WatchesItsFiles_WithoutTheInstancesOfWhichAHostHasFew()
    {
        var node = PeerdNode.Create(Lab, "n1");
        await node.StartAsync([node]);

        var open = Directory.GetFiles($"/proc/{node.Process.Id}/fd").Select(file => new FileInfo(file).LinkTarget ?? string.Empty).ToArray();

        Assert.Contains(open, target => target.StartsWith("socket:", StringComparison.Ordinal));
        Assert.DoesNotContain(open, target => target.Contains("inotify", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Terminate_DuringPull_ExitsWithZeroInTime()
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 21, 64 * MiB);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, "team/app", "v1");

        // At this rate the pull alone would take longer than the node may.
        await using var link = new SlowLink(registry.Endpoint, 2 * MiB);
        var nodes = PeerdNode.CreateMany(Lab, 2);
        await PeerdNode.StartAllAsync(nodes, nodes, registry.Behind(link));
        var containerd = await Containerd.StartAsync(Lab, "c1");
        await containerd.UseMirrorAsync(registry.Name, nodes[0].Facade);
        var pull = await containerd.StartPullAsync($"{registry.Name}/team/app:v1");
        await Wait.UntilAsync("some of the image has left the registry", nodes[0].Process, () => Task.FromResult(link.Delivered > 4 * MiB), PullTimeout);
        Assert.False(pull.HasExited);

        Assert.Equal(0, await nodes[0].Process.StopAsync(DrainLimit));
    }

    // As in a cluster, where a process may wait for its successor for minutes.
    [Fact]
    public async Task Terminate_ClientTakesNothingOfItsAnswer_ExitsWithZeroInTime()
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 22, 64 * MiB);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, "team/app", "v1");
        var node = PeerdNode.Create(Lab, "n1");
        var configuration = node.Configure([node], registry.Upstream);
        configuration["Peerd"]!["Handover"] = new JsonObject { ["Enabled"] = true, ["DrainTime"] = "1s" };
        await node.StartAsync(configuration);
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 64 * 1024 };
        await client.ConnectAsync(node.Facade.Host, node.Facade.Port, TestContext.Current.CancellationToken);
        var request = $"GET /v2/team/app/blobs/{image.Layers[0].Digest}?ns={registry.Name} HTTP/1.1\r\nHost: node\r\n\r\n";
        await client.SendAsync(System.Text.Encoding.ASCII.GetBytes(request), TestContext.Current.CancellationToken);
        await Wait.UntilAsync(
            "the whole blob is in the node, and as much of it with the client as has room",
            node.Process,
            async () => client.Available > 0 && (await NodeMetrics.ReadAsync(node, host: null, TestContext.Current.CancellationToken)).Sum("peerd_cache_bytes") >= 64 * MiB,
            PullTimeout);

        Assert.Equal(0, await node.Process.StopAsync(DrainLimit));
    }

    [Fact]
    public async Task Restart_AfterKill_ServesWhatItHadWithoutTheRegistry()
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 22, 12 * MiB, 9 * MiB);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, "team/app", "v1");
        var node = PeerdNode.Create(Lab, "n1");
        await node.StartAsync([node], registry.Upstream);
        var first = await Containerd.StartAsync(Lab, "c1");
        await first.UseMirrorAsync(registry.Name, node.Facade);
        await first.PullAsync($"{registry.Name}/team/app:v1", PullTimeout);

        await node.Process.KillAsync();
        await registry.StopAsync();
        await node.StartAsync([node], registry.Upstream);
        var second = await Containerd.StartAsync(Lab, "c2");
        await second.UseMirrorAsync(registry.Name, node.Facade);
        await second.PullAsync($"{registry.Name}/team/app@{image.Index.Digest}", PullTimeout);

        Assert.Empty(await second.FindWrongContentAsync(image.All));
    }

    [Theory]
    [InlineData("Facade")]
    [InlineData("Mesh")]
    [InlineData("Metrics")]
    public async Task Serve_PortInUse_SaysWhichInOneLine(string listener)
    {
        var node = PeerdNode.Create(Lab, "n1");
        var endpoint = listener switch { "Facade" => node.Facade, "Mesh" => node.Mesh, _ => node.Metrics };
        using var occupant = new TcpListener(IPAddress.Loopback, endpoint.Port);
        occupant.Start();
        node.WriteConfiguration(node.Configure([node]));

        var process = await node.LaunchAsync();

        Assert.NotEqual(0, await process.WaitForExitAsync(RefusalLimit));
        var line = Assert.Single(process.Errors);
        Assert.Contains(endpoint.Authority, line, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Node", "Name", "not a name!")]
    [InlineData("Facade", "Listen", "everywhere")]
    [InlineData("Mesh", "Listen", "127.0.0.1:99999")]
    [InlineData("Metrics", "Listen", "127.0.0.1")]
    [InlineData("Cache", "Capacity", "ten bananas")]
    [InlineData("Cache", "Directory", "not/absolute")]
    [InlineData("Origin", "ConnectTimeout", "soon")]
    [InlineData("Handover", "DrainTime", "soon")]
    [InlineData("Membership", "Selector", "pool in images")]
    public async Task Serve_BadValue_SaysKeyAndValueInOneLine(string section, string key, string value)
    {
        var node = PeerdNode.Create(Lab, "n1");
        var configuration = node.Configure([node]);
        (configuration["Peerd"]![section] ??= new JsonObject())[key] = value;
        node.WriteConfiguration(configuration);

        var process = await node.LaunchAsync();

        Assert.Equal(BadConfiguration, await process.WaitForExitAsync(RefusalLimit));
        var line = Assert.Single(process.Errors);
        Assert.Contains($"{section}:{key}", line, StringComparison.Ordinal);
        Assert.Contains(value, line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Serve_KubernetesOutsideOfAPod_SaysSoInOneLine()
    {
        var node = PeerdNode.Create(Lab, "n1");
        var configuration = node.Configure([node]);
        configuration["Peerd"]!["Membership"] = new JsonObject { ["Source"] = "kubernetes", ["StateFile"] = string.Empty };
        node.WriteConfiguration(configuration);
        node.Environment = new Dictionary<string, string> { ["KUBERNETES_SERVICE_HOST"] = string.Empty };

        var process = await node.LaunchAsync();

        Assert.Equal(BadConfiguration, await process.WaitForExitAsync(RefusalLimit));
        Assert.StartsWith("peerd: Peerd:Membership:Source is 'kubernetes'; allowed: static, for this is no pod", Assert.Single(process.Errors), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Serve_MemberTwice_SaysSoInOneLine()
    {
        var node = PeerdNode.Create(Lab, "n1");
        node.WriteConfiguration(node.Configure([node, node]));

        var process = await node.LaunchAsync();

        Assert.Equal(BadConfiguration, await process.WaitForExitAsync(RefusalLimit));
        Assert.Contains("Members:1", Assert.Single(process.Errors), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Serve_FileThatIsNoJson_SaysSoInOneLine()
    {
        var node = PeerdNode.Create(Lab, "n1");
        await File.WriteAllTextAsync(node.ConfigurationFile, "{ this is not JSON");

        var process = await node.LaunchAsync();

        Assert.Equal(BadConfiguration, await process.WaitForExitAsync(RefusalLimit));
        Assert.Contains(node.ConfigurationFile, Assert.Single(process.Errors), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Serve_FileThatIsMissing_IsRefused()
    {
        var node = PeerdNode.Create(Lab, "n1");

        var process = await node.LaunchAsync();

        Assert.Equal(BadConfiguration, await process.WaitForExitAsync(RefusalLimit));
        Assert.Contains(process.Errors, line => line.Contains(node.ConfigurationFile, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Serve_MembersChangeInTheFile_ThirdNodeJoinsWithoutRestart()
    {
        var nodes = PeerdNode.CreateMany(Lab, 3);
        var two = nodes[..2];
        await PeerdNode.StartAllAsync(two, two);
        Assert.All(await RingsOfAsync(two), ring => Assert.Equal(["n1", "n2"], Names(ring)));

        await nodes[2].StartAsync(nodes);
        foreach (var node in two)
        {
            node.WriteConfiguration(node.Configure(nodes));
        }

        await Wait.UntilAsync("all nodes see three members", null, async () => (await RingsOfAsync(nodes)).All(ring => Names(ring).Count == 3), RefusalLimit);
        var rings = await RingsOfAsync(nodes);
        Assert.All(rings, ring => Assert.Equal(["n1", "n2", "n3"], Names(ring)));
        Assert.Single(rings.Select(ring => ring["version"]!.GetValue<string>()).Distinct());
        Assert.All(nodes, node => Assert.False(node.Process.HasExited));
    }

    private Task<JsonObject[]> RingsOfAsync(IEnumerable<PeerdNode> nodes) =>
        Task.WhenAll(nodes.Select(node => PeerdCommand.RunJsonAsync(Lab, "ring", "--json", "--address", node.Mesh.GetLeftPart(UriPartial.Authority))));

    private static IReadOnlyList<string> Names(JsonObject ring) =>
        [.. ring["members"]!.AsArray().Select(member => member!["node"]!.GetValue<string>())];
}
