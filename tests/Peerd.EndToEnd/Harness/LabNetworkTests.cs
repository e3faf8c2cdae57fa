namespace Peerd.EndToEnd.Harness;

/// <summary>The network that herds run in.</summary>
public sealed class LabNetworkTests : LabTest
{
    private const long Rate = 100_000_000;
    private const int Size = 2 << 20;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task Traffic_FromHostToHost_IsCountedAtBothEnds()
    {
        var network = await LabNetwork.CreateAsync(Lab);
        var sender = await network.AddHostAsync("sender", Rate);
        var receiver = await network.AddHostAsync("receiver", Rate);
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 41, Size);
        var registry = await DockerRegistry.StartAsync(Lab, sender);
        await registry.PushAsync(image, "team/app", "v1");
        Assert.Equal(0, (await receiver.ReadTrafficAsync()).ReceivedBytes / Size);

        using var deadline = new CancellationTokenSource(PullTimeout);
        Assert.Null(await new ImagePuller(receiver, registry.Endpoint, registry.Upstream, "team/app", "v1").PullAsync(deadline.Token));

        Assert.InRange((await receiver.ReadTrafficAsync()).ReceivedBytes, Size, Size * 11 / 10);
        Assert.InRange((await sender.ReadTrafficAsync()).SentBytes, Size, Size * 11 / 10);

        // 66 bytes of headers for every 1448.
        Assert.InRange(await sender.ReadSentOnWireAsync(), Size * 103L / 100, Size * 11L / 10);
    }

    [Fact]
    public async Task Unplug_HostWithServer_CannotBeReachedUntilPluggedIn()
    {
        var network = await LabNetwork.CreateAsync(Lab);
        var server = await network.AddHostAsync("server", Rate);
        var registry = await DockerRegistry.StartAsync(Lab, server);
        using var client = (await network.AddHostAsync("client", Rate)).CreateClient();
        client.Timeout = Patience;
        var url = new Uri(registry.Endpoint, "v2/");

        await server.UnplugAsync();
        using (var soon = new CancellationTokenSource(TimeSpan.FromMilliseconds(500)))
        {
            await Assert.ThrowsAnyAsync<Exception>(() => client.GetAsync(url, soon.Token));
        }

        await server.PlugInAsync();
        using var answer = await client.GetAsync(url, TestContext.Current.CancellationToken);
        Assert.True(answer.IsSuccessStatusCode);
    }

    [Fact]
    public async Task Dispose_LabWithNetwork_NoNamespaceIsLeft()
    {
        var lab = new Lab();
        var network = await LabNetwork.CreateAsync(lab);
        var host = await network.AddHostAsync("host", Rate);
        var registry = await DockerRegistry.StartAsync(lab, host);
        using (var client = host.CreateClient())
        {
            await client.GetAsync(new Uri(registry.Endpoint, "v2/"), TestContext.Current.CancellationToken);
        }

        var names = host.Namespaces.Select(NetworkNamespace.OfProcess).ToArray();
        Assert.Equal(2, names.Intersect(NetworkNamespace.OfProcesses()).Count());

        await lab.DisposeAsync();

        Assert.Empty(names.Intersect(NetworkNamespace.OfProcesses()));
    }
}
