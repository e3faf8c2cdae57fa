using System.Net;
using System.Net.Sockets;
using Peerd.EndToEnd.Faults;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Lifecycle;

/// <summary>What nodes do as the chart starts them: with no more rights than its default render gives, and where it has them listen.</summary>
public sealed class ChartRightsTests : LabTest
{
    private const int Size = 8 << 20;
    private const int SomeReads = 300;
    private const long Gigabit = 1_000_000_000;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Upgrade_UnderReadsWithTheRightsOfTheChart_NoReadFails()
    {
        await using var origin = await FaultOrigin.StartAsync();
        var blobs = Enumerable.Range(0, 2).Select(i => new GeneratedBlob(Size, seed: 980 + i)).ToArray();
        foreach (var blob in blobs)
        {
            origin.Add(blob, blob);
        }

        var node = PeerdNode.Create(Lab, "n1");
        var configuration = node.Configure([node], origin.Upstream);
        var settings = configuration["Peerd"]!.AsObject();
        settings["Cache"]!["Directory"] = ChartContainer.CacheFolder;
        settings["Handover"] = ChartContainer.Settings["Handover"]!.DeepClone();
        node.WriteConfiguration(configuration);

        await using var old = await ChartContainer.StartAsync(Lab, node, "old");
        await Wait.UntilOkAsync(new Uri(node.Metrics, "readyz"), old.Process, Patience);
        Assert.Equal((true, true, true), (await old.HasStartedAsync(), await old.IsLiveAsync(), await old.IsReadyAsync()));
        await AssertHasNoOtherRightsAsync(old);
        var readers = new RangeReaders(node.Facade.Authority, clients: 10, perSecond: 200);
        readers.Read([.. blobs.Select(blob => ReadBlob.Of(origin.PathOf(blob), blob))]);
        using var end = new CancellationTokenSource();
        var running = readers.RunAsync(end.Token);
        await readers.MoreAsync(SomeReads, old.Process);

        await using var next = await ChartContainer.StartAsync(Lab, node, "new");
        await Wait.UntilAsync("the new process serves", old.Process, () => Task.FromResult(old.Process.Output.Any(line => line.Contains("A new process of this node serves", StringComparison.Ordinal))), Patience);
        await Wait.UntilAsync("the new pod has started", next.Process, next.HasStartedAsync, Patience);
        await Wait.UntilAsync("the new pod is ready", next.Process, next.IsReadyAsync, Patience);
        Assert.Equal((true, true, true), (await next.IsLiveAsync(), await old.IsLiveAsync(), await old.IsReadyAsync()));
        await AssertHasNoOtherRightsAsync(next);
        Assert.Equal(0, await old.Process.StopAsync(Patience));
        await readers.MoreAsync(SomeReads, next.Process);

        await end.CancelAsync();
        await running;
        Assert.Empty(readers.Failures);

        // It is another process that has answered, with what the first one had in the cache: no blob was read twice, only what was under way.
        Assert.False(next.Process.HasExited);
        Assert.Contains(next.Process.Output, line => line.Contains("Another process of this node is running: waiting until it hands over", StringComparison.Ordinal));
        Assert.InRange(origin.Bytes, 2 * Size, (3 * Size) - 1);
    }

    // A new version that listens and then hangs must not have the old pod ended, which goes on when the new one is.
    [Fact]
    public async Task Probes_NewPodHangs_TheOldOneIsLiveAndReady()
    {
        var node = PeerdNode.Create(Lab, "n1");
        var configuration = node.Configure([node]);
        var settings = configuration["Peerd"]!.AsObject();
        settings["Cache"]!["Directory"] = ChartContainer.CacheFolder;
        settings["Handover"] = ChartContainer.Settings["Handover"]!.DeepClone();
        node.WriteConfiguration(configuration);
        await using var old = await ChartContainer.StartAsync(Lab, node, "old");
        await Wait.UntilAsync("the old pod is ready", old.Process, old.IsReadyAsync, Patience);
        await using var next = await ChartContainer.StartAsync(Lab, node, "new");
        await Wait.UntilAsync("the new pod has started", next.Process, next.HasStartedAsync, Patience);
        await Wait.UntilAsync("the new pod is ready", next.Process, next.IsReadyAsync, Patience);

        await next.SignalAsync("STOP");

        Assert.Equal((false, false), (await next.IsLiveAsync(), await next.IsReadyAsync()));
        Assert.Equal((true, true), (await old.IsLiveAsync(), await old.IsReadyAsync()));

        // And the other way round.
        await next.SignalAsync("CONT");
        await old.SignalAsync("STOP");
        Assert.Equal((false, false), (await old.IsLiveAsync(), await old.IsReadyAsync()));
        await Wait.UntilAsync("the new pod is ready again", next.Process, next.IsReadyAsync, Patience);
        Assert.True(await next.IsLiveAsync());
        await old.SignalAsync("CONT");
    }

    // Commands need no more rights than the node, and neither a shell nor a folder to write to.
    [Fact]
    public async Task Commands_InThePod_Answer()
    {
        var node = PeerdNode.Create(Lab, "n1");
        var configuration = node.Configure([node]);
        configuration["Peerd"]!["Cache"]!["Directory"] = ChartContainer.CacheFolder;
        node.WriteConfiguration(configuration);
        await using var pod = await ChartContainer.StartAsync(Lab, node, "pod");
        await Wait.UntilOkAsync(new Uri(node.Metrics, "readyz"), pod.Process, Patience);

        var status = await pod.ExecuteAsync("status");
        var doctor = await pod.ExecuteAsync("doctor", "--check", "mesh");

        Assert.Equal(0, status.ExitCode);
        Assert.Contains(status.Output, line => line.StartsWith("node", StringComparison.Ordinal) && line.EndsWith("n1", StringComparison.Ordinal));
        Assert.Equal(0, doctor.ExitCode);
        Assert.Contains(doctor.Output, line => line.StartsWith("warning  mesh: n1 is alone", StringComparison.Ordinal));
        Assert.DoesNotContain(doctor.Output, line => line.Contains("containerd:", StringComparison.Ordinal));

        // The same program, run on the node itself, sees the settings of the node.
        var id = await pod.IdAsync();
        var onNode = await Lab.RunAsync(
            "doctor on the node", "/usr/sbin/chroot", ["/", .. Repository.Peerd.SkipLast(1), $"/proc/{id}/root{Repository.Peerd[^1]}", "doctor", "--check", "overlaybd", "--overlaybd-file", "/nowhere.json"], Patience);
        Assert.Contains(onNode.Output, line => line.StartsWith("ok       overlaybd: /nowhere.json does not exist", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Facade_FromAPodAndFromAnotherNode_IsNotReached()
    {
        var network = await LabNetwork.CreateAsync(Lab);
        var (machine, pod) = (await network.AddHostAsync("n1", Gigabit), await network.AddHostAsync("pod", Gigabit));
        var node = PeerdNode.Create(Lab, machine);
        var configuration = node.Configure([node]);
        foreach (var listener in (string[])["Facade", "Mesh", "Metrics"])
        {
            configuration["Peerd"]![listener]!["Listen"] = ChartContainer.Settings[listener]!["Listen"]!.DeepClone();
        }

        await node.StartAsync(configuration);

        // What can be reached is, so that the other is not for want of a way.
        Assert.Null(await ConnectAsync(machine, IPAddress.Loopback, 30000));
        Assert.Null(await ConnectAsync(pod, machine.Address, 30001));
        Assert.Null(await ConnectAsync(pod, machine.Address, 30004));

        Assert.Equal(SocketError.ConnectionRefused, await ConnectAsync(pod, machine.Address, 30000));
        Assert.Equal(SocketError.ConnectionRefused, await ConnectAsync(pod, IPAddress.Loopback, 30000));
    }

    private static async Task<SocketError?> ConnectAsync(LabHost from, IPAddress address, int port)
    {
        using var socket = await from.OpenSocketAsync();
        try
        {
            using var deadline = new CancellationTokenSource(Patience);
            await socket.ConnectAsync(new IPEndPoint(address, port), deadline.Token);
            return null;
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode;
        }
    }

    private static async Task AssertHasNoOtherRightsAsync(ChartContainer container)
    {
        var id = await container.IdAsync();
        var status = (await File.ReadAllLinesAsync($"/proc/{id}/status")).Select(line => line.Split(":\t", 2)).Where(parts => parts.Length == 2).ToDictionary(parts => parts[0], parts => parts[1], StringComparer.Ordinal);
        foreach (var set in (string[])["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
        {
            Assert.Equal("0000000000000000", status[set]);
        }

        Assert.Equal(("1", "2"), (status["NoNewPrivs"], status["Seccomp"]));
        Assert.Equal(NetworkNamespace.OfProcess(Environment.ProcessId), NetworkNamespace.OfProcess(id));

        // "36 35 98:0 /mnt1 /mnt2 rw,noatime …"
        var writable = (await File.ReadAllLinesAsync($"/proc/{id}/mountinfo")).Select(line => line.Split(' ')).Where(fields => fields[5].Split(',').Contains("rw")).Select(fields => fields[4]).ToList();
        Assert.Equal(
            ["/run/peerd", "/var/lib/peerd"],
            writable.Where(path => !path.StartsWith("/proc", StringComparison.Ordinal) && !path.StartsWith("/sys", StringComparison.Ordinal) && !path.StartsWith("/dev", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
    }
}
