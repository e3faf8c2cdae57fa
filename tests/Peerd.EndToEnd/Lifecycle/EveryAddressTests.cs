using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using Peerd.EndToEnd.Faults;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Lifecycle;

/// <summary>A node as the chart starts it: its mesh and its metrics listen at <c>[::]</c>, and commands know where by the environment.</summary>
public sealed class EveryAddressTests : LabTest
{
    private const string ListenVariable = "Peerd__Mesh__Listen";

    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(10);

    [Fact]
    public async Task Serve_EveryAddress_IsReachedByBothFamiliesAndByCommands()
    {
        var node = PeerdNode.Create(Lab, "n1");
        node.Environment = new Dictionary<string, string> { [ListenVariable] = $"[::]:{node.Mesh.Port}" };
        await node.StartAsync(Configure(node, isShared: true));

        foreach (var address in (IPAddress[])[IPAddress.Loopback, IPAddress.IPv6Loopback])
        {
            await Wait.UntilOkAsync(new Uri($"http://{new IPEndPoint(address, node.Metrics.Port)}/healthz"), node.Process, StopLimit);
            await ConnectAsync(new IPEndPoint(address, node.Mesh.Port));
        }

        var status = await PeerdCommand.RunAsync(Lab, node.Environment, "status");
        Assert.True(status.ExitCode == 0, status.Tail());
        Assert.Contains(status.Output, line => line.Contains("n1", StringComparison.Ordinal));
        Assert.Equal(0, await node.Process.StopAsync(StopLimit));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Serve_EveryAddressOfAMachineWithoutIPv6_ListensOnIPv4AndSaysSoOnce(bool isShared)
    {
        using var faults = await PreloadedFaults.CreateAsync(Lab);
        var node = PeerdNode.Create(Lab, "n1");
        node.Environment = new Dictionary<string, string>(faults.WithoutIPv6) { [ListenVariable] = $"[::]:{node.Mesh.Port}" };
        await node.StartAsync(Configure(node, isShared));

        await ConnectAsync(new IPEndPoint(IPAddress.Loopback, node.Mesh.Port));
        await Assert.ThrowsAsync<SocketException>(() => ConnectAsync(new IPEndPoint(IPAddress.IPv6Loopback, node.Mesh.Port)));
        var status = await PeerdCommand.RunAsync(Lab, node.Environment, "status");
        Assert.True(status.ExitCode == 0, status.Tail());
        Assert.Equal(0, await node.Process.StopAsync(StopLimit));
        foreach (var listener in (string[])["Mesh", "Metrics"])
        {
            Assert.Single(node.Process.Output, line => line.Contains($"Peerd:{listener}:Listen is '[::]:", StringComparison.Ordinal) && line.Contains("this machine has no IPv6", StringComparison.Ordinal));
        }
    }

    private static JsonObject Configure(PeerdNode node, bool isShared)
    {
        var configuration = node.Configure([node]);
        var settings = configuration["Peerd"]!.AsObject();
        settings.Remove("Mesh");
        settings["Metrics"]!["Listen"] = $"[::]:{node.Metrics.Port}";
        settings["Handover"] = new JsonObject { ["Enabled"] = isShared };
        return configuration;
    }

    private static async Task ConnectAsync(IPEndPoint endPoint)
    {
        using var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(endPoint, TestContext.Current.CancellationToken);
    }
}
