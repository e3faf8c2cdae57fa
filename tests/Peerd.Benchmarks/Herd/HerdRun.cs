using System.Diagnostics;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Herd;

/// <summary>One herd from its start to the end: fresh processes, empty caches, everyone pulling at the same moment.</summary>
/// <param name="site">Where it takes place.</param>
/// <param name="herd">What is done.</param>
/// <param name="progress">Takes a line for people.</param>
internal sealed class HerdRun(HerdSite site, HerdCase herd, Action<string> progress)
{
    private const int SlowPart = 20;
    private const double KilledAt = 0.4;
    private const double StaggeredPart = 0.5;
    private const long WarmUpRate = 10_000_000_000;
    private const int PatienceFactor = 4;
    private const int MostWithoutHelp = 8;

    private readonly long _imageSize = site.ImageSize(herd.Layers);

    // A herd without any help takes this long; four times that is no progress. A large one without help is not waited for.
    private TimeSpan Patience => TimeSpan.FromSeconds(60 + (PatienceFactor * _imageSize * 8.0 * Math.Min(site.Settings.Nodes, MostWithoutHelp) / site.Settings.Rate));

    /// <summary>Runs the herd of the case; of <see cref="HerdMode.Alone"/> the node's part.</summary>
    /// <param name="expectedSeconds">How long the herd takes when nothing happens to it.</param>
    /// <param name="cancellationToken">Ends everything.</param>
    public async Task<HerdOutcome> RunAsync(double expectedSeconds, CancellationToken cancellationToken)
    {
        await site.RegistryHost.LimitAsync(site.Settings.Rate * herd.Uplink);
        switch (herd.Mode)
        {
            case HerdMode.Direct:
                return await PullAsync(site.NodeHosts, [.. site.NodeHosts.Select(_ => site.Registry.Endpoint)], [], [], null, _ => Task.CompletedTask, cancellationToken);
            case HerdMode.Proxy:
                return await RunProxyAsync(cancellationToken);
            case HerdMode.Alone:
                return await RunNodesAsync(site.NodeHosts.Take(1).ToArray(), expectedSeconds, cancellationToken);
            default:
                return await RunNodesAsync(site.NodeHosts, expectedSeconds, cancellationToken);
        }
    }

    /// <summary>One pull without peerd.</summary>
    public async Task<HerdOutcome> RunDirectAloneAsync(CancellationToken cancellationToken)
    {
        await site.RegistryHost.LimitAsync(site.Settings.Rate * herd.Uplink);
        return await PullAsync([site.NodeHosts[0]], [site.Registry.Endpoint], [], [], null, _ => Task.CompletedTask, cancellationToken);
    }

    private async Task<HerdOutcome> RunProxyAsync(CancellationToken cancellationToken)
    {
        await using var lab = new Lab();
        var proxy = await DockerRegistry.StartProxyAsync(lab, site.ProxyHost, site.Registry);
        return await PullAsync(site.NodeHosts, [.. site.NodeHosts.Select(_ => proxy.Endpoint)], [site.ProxyHost], [proxy.Process], null, _ => Task.CompletedTask, cancellationToken);
    }

    private async Task<HerdOutcome> RunNodesAsync(IReadOnlyList<LabHost> hosts, double expectedSeconds, CancellationToken cancellationToken)
    {
        await using var lab = new Lab();
        PeerdNode[] nodes = [.. hosts.Select(host => PeerdNode.Create(lab, host))];
        int? special = herd.Mode is HerdMode.Killed or HerdMode.OwnerKilled or HerdMode.Slow
            ? site.FindNode(nodes, herd.Layers, herd.Mode is HerdMode.OwnerKilled)
            : null;
        var isDivided = herd.Mode is HerdMode.Zones;
        var slow = herd.Mode is HerdMode.Slow ? hosts[special!.Value] : null;
        try
        {
            await (isDivided ? DivideAsync(hosts, nodes) : Task.CompletedTask);
            await PeerdNode.StartAllAsync(nodes, nodes, site.Registry.Upstream);
            await WarmUpAsync(hosts, nodes, cancellationToken);
            await (slow?.LimitAsync(site.Settings.Rate / SlowPart) ?? Task.CompletedTask);
            var crossed = isDivided ? await ReadCrossedAsync() : 0;
            var outcome = await PullAsync(hosts, [.. nodes.Select(node => node.Facade)], hosts, [.. nodes.Select(node => node.Process)], special, DisturbAsync, cancellationToken);
            return outcome with { Crossed = isDivided ? await ReadCrossedAsync() - crossed : 0 };
        }
        finally
        {
            await (isDivided ? Task.WhenAll(hosts.Select(LabNetwork.TakeOutAsync)) : Task.CompletedTask);
            await (slow?.LimitAsync(site.Settings.Rate) ?? Task.CompletedTask);
        }

        async Task DisturbAsync(HerdMeter meter)
        {
            if (herd.Mode is HerdMode.Killed or HerdMode.OwnerKilled)
            {
                await Task.Delay(TimeSpan.FromSeconds(KilledAt * expectedSeconds), cancellationToken);
                meter.Read(nodes[special!.Value].Process);
                await nodes[special.Value].Process.KillAsync();
            }
        }
    }

    private async Task DivideAsync(IReadOnlyList<LabHost> hosts, IReadOnlyList<PeerdNode> nodes)
    {
        for (var i = 0; i < nodes.Count; i++)
        {
            var zone = i % site.Zones.Count;
            nodes[i].Zone = $"zone-{zone}";
            await site.Zones[zone].TakeInAsync(hosts[i]);
        }
    }

    private async Task<long> ReadCrossedAsync() => (await Task.WhenAll(site.Zones.Select(zone => zone.ReadSentAsync()))).Sum();

    private async Task WarmUpAsync(IReadOnlyList<LabHost> hosts, IReadOnlyList<PeerdNode> nodes, CancellationToken cancellationToken)
    {
        // As quickly as the processors allow: what the links are is of no interest yet.
        LabHost[] all = [site.RegistryHost, .. hosts];
        await Task.WhenAll(all.Select(host => host.LimitAsync(WarmUpRate)));
        await site.WarmUpAsync(hosts, nodes, cancellationToken);
        await Task.WhenAll(hosts.Select(host => host.LimitAsync(site.Settings.Rate)));
        await site.RegistryHost.LimitAsync(site.Settings.Rate * herd.Uplink);
    }

    // The pull of the special node is ended when all others are done, and does not count.
    private async Task<HerdOutcome> PullAsync(
        IReadOnlyList<LabHost> hosts,
        IReadOnlyList<Uri> sources,
        IReadOnlyList<LabHost> uploaders,
        IReadOnlyList<RunningProcess> processes,
        int? special,
        Func<HerdMeter, Task> disturbAsync,
        CancellationToken cancellationToken)
    {
        ImagePuller[] pullers = [.. hosts.Zip(sources, (host, source) => site.CreatePuller(host, source, herd.Layers))];
        var meter = await HerdMeter.StartAsync(site, uploaders, processes, cancellationToken);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        end.CancelAfter(Patience);
        using var specialEnd = CancellationTokenSource.CreateLinkedTokenSource(end.Token);

        var pulls = pullers.Select((puller, i) => TimeAsync(puller, hosts[i].Name, StartOf(i, pullers.Length), i == special ? specialEnd.Token : end.Token)).ToArray();
        var disturbing = disturbAsync(meter);
        var judged = await Task.WhenAll(pulls.Where((_, i) => i != special));
        await disturbing;
        var delivered = pullers.Sum(puller => puller.ReceivedBytes);
        await specialEnd.CancelAsync();
        await Task.WhenAll(pulls);
        cancellationToken.ThrowIfCancellationRequested();
        if (special is { } other)
        {
            progress($"  {hosts[other].Name}, which does not count, had received {100.0 * pullers[other].ReceivedBytes / _imageSize:0} %");
        }

        return await meter.FinishAsync(
            [.. judged.OfType<double>().Order()], judged.Count(seconds => seconds is null), _imageSize, delivered, cancellationToken);
    }

    private TimeSpan StartOf(int node, int nodes) => herd.Mode is HerdMode.Staggered
        ? StaggeredPart * node / (nodes - 1) * TimeSpan.FromSeconds(HerdBound.Seconds(_imageSize, 1, site.Settings.Rate, site.Settings.Rate))
        : TimeSpan.Zero;

    private async Task<double?> TimeAsync(ImagePuller puller, string name, TimeSpan delay, CancellationToken cancellationToken)
    {
        var start = Stopwatch.GetTimestamp();
        try
        {
            await Task.Delay(delay, cancellationToken);
            start = Stopwatch.GetTimestamp();
            var error = await puller.PullAsync(cancellationToken);
            if (error is null)
            {
                return Stopwatch.GetElapsedTime(start).TotalSeconds;
            }

            progress($"  {name} has failed after {Stopwatch.GetElapsedTime(start).TotalSeconds:0.0} s: {error}");
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // It took too long, or did not matter any more.
        }

        return null;
    }
}
