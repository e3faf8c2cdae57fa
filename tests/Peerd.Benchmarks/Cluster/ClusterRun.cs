using System.Diagnostics;
using System.Text.Json.Nodes;
using Peerd.Benchmarks.Measuring;
using Peerd.Benchmarks.Start;
using Peerd.EndToEnd.Harness;
using Peerd.Node.Ring;

namespace Peerd.Benchmarks.Cluster;

/// <summary>One real node in a played cluster of some size, from its start to the last change of its ring.</summary>
internal sealed class ClusterRun(Lab lab, ClusterSettings settings, ResultTable table, Action<string> progress, CancellationToken cancellationToken)
{
    private const double MiB = 1 << 20;
    private const double Kilo = 1000;
    private const int SingleChanges = 10;
    private const int Builds = 20;

    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Rest = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan PaceStep = TimeSpan.FromMilliseconds(10);

    /// <summary>Measures all of it. Values are added to the case that is named after the number of nodes.</summary>
    public async Task MeasureAsync(int nodes)
    {
        var name = $"{nodes} nodes";
        await StartAsync(name, nodes);

        var node = CreateNode($"list-{nodes}");
        await using var cluster = await PlayedCluster.StartAsync(lab, node, nodes);
        using var ring = new RingWatch(node);
        await MeasureListAsync(name, node, cluster, ring);
        await MeasureHeartbeatsAsync(name, node, cluster, ring);
        await MeasureChurnAsync(name, node, cluster, ring);
        await MeasureChangesAsync(name, cluster, ring);
        MeasureBuilds(name, cluster);
        await node.Process.StopAsync(StopPatience);
    }

    // As it is in a cluster: nobody waits for anybody.
    private async Task StartAsync(string name, int nodes)
    {
        var node = CreateNode($"start-{nodes}");
        await using var cluster = await PlayedCluster.StartAsync(lab, node, nodes);
        using var ring = new RingWatch(node);
        var version = cluster.RingVersion;
        var started = await LaunchAsync(node, cluster);
        var ready = await ReadyProbe.WaitAsync(node, started, cancellationToken);
        var full = await ring.UntilAsync(version, started, cancellationToken);
        table.Add(name, "ready after the start", "ms", Better.Lower, ready.TotalMilliseconds);
        table.Add(name, "full ring after the start", "ms", Better.Lower, full.TotalMilliseconds);
        await node.Process.StopAsync(StopPatience);
    }

    private async Task MeasureListAsync(string name, PeerdNode node, PlayedCluster cluster, RingWatch ring)
    {
        var answerLists = cluster.HoldLists();
        await ReadyProbe.WaitAsync(node, await LaunchAsync(node, cluster), cancellationToken);
        await Task.Delay(Rest, cancellationToken);
        table.Add(name, "RSS before the list", "MiB", Better.Lower, ResidentMemory.Of(node.Process) / MiB);

        PeakMemory.Reset(node.Process.Id);
        var (busy, version, start) = (ProcessorTime.Of(node.Process.Id), cluster.RingVersion, Stopwatch.GetTimestamp());
        answerLists();
        var full = await ring.UntilAsync(version, start, cancellationToken);
        table.Add(name, "list to full ring", "ms", Better.Lower, full.TotalMilliseconds);
        table.Add(name, "CPU of the list", "ms", Better.Lower, (ProcessorTime.Of(node.Process.Id) - busy) * Kilo);
        await Task.Delay(Rest, cancellationToken);
        table.Add(name, "peak RSS of the list", "MiB", Better.Lower, PeakMemory.Of(node.Process.Id) / MiB);
        table.Add(name, "RSS after the list", "MiB", Better.Lower, ResidentMemory.Of(node.Process) / MiB);
        progress($"{name}: listed within {full.TotalMilliseconds:0} ms");
    }

    private async Task MeasureHeartbeatsAsync(string name, PeerdNode node, PlayedCluster cluster, RingWatch ring)
    {
        var rings = ring.Rings;
        var (sent, seconds) = await WorkAsync(node, settings.Heartbeats, cluster.Heartbeat);
        table.Add(name, "CPU, 1,000 heartbeats", "ms", Better.Lower, seconds * Kilo * Kilo / sent);
        table.Add(name, "rings of heartbeats", "", Better.Lower, ring.Rings - rings, 0);
        progress($"{name}: {sent} heartbeats");
    }

    private async Task MeasureChurnAsync(string name, PeerdNode node, PlayedCluster cluster, RingWatch ring)
    {
        PeakMemory.Reset(node.Process.Id);
        var (rings, isAdding) = (ring.Rings, false);
        var (changes, seconds) = await WorkAsync(node, settings.Churn, () =>
        {
            isAdding = !isAdding;
            if (isAdding)
            {
                cluster.Add();
            }
            else
            {
                cluster.Remove();
            }
        });
        var caughtUp = await ring.UntilAsync(cluster.RingVersion, Stopwatch.GetTimestamp(), cancellationToken);
        table.Add(name, "CPU, 1,000 changes", "ms", Better.Lower, seconds * Kilo * Kilo / changes);
        table.Add(name, "CPU under churn", "ms/s", Better.Lower, seconds * Kilo / settings.Length.TotalSeconds);
        table.Add(name, "rings under churn", "1/s", Better.Lower, (ring.Rings - rings) / settings.Length.TotalSeconds);
        table.Add(name, "right ring after churn", "ms", Better.Lower, caughtUp.TotalMilliseconds);
        table.Add(name, "peak RSS under churn", "MiB", Better.Lower, PeakMemory.Of(node.Process.Id) / MiB);
        table.Add(name, "RSS after churn", "MiB", Better.Lower, ResidentMemory.Of(node.Process) / MiB);
        progress($"{name}: {changes} changes");
    }

    private async Task MeasureChangesAsync(string name, PlayedCluster cluster, RingWatch ring)
    {
        for (var i = 0; i < SingleChanges; i++)
        {
            var start = Stopwatch.GetTimestamp();
            if (i % 2 == 0)
            {
                cluster.Remove();
            }
            else
            {
                cluster.Add();
            }

            var seen = await ring.UntilAsync(cluster.RingVersion, start, cancellationToken);
            table.Add(name, "one change to the ring", "ms", Better.Lower, seen.TotalMilliseconds);
        }
    }

    // In this process: what of the above is the ring itself.
    private void MeasureBuilds(string name, PlayedCluster cluster)
    {
        var members = cluster.Members;
        for (var i = 0; i < Builds; i++)
        {
            var start = Stopwatch.GetTimestamp();
            var ring = new HashRing(members);
            if (i > 0)
            {
                table.Add(name, "ring built", "ms", Better.Lower, Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            }

            GC.KeepAlive(ring);
        }
    }

    private PeerdNode CreateNode(string name) => PeerdNode.Create(lab, name);

    private static async Task<long> LaunchAsync(PeerdNode node, PlayedCluster cluster)
    {
        var configuration = node.Configure([]);
        configuration["Peerd"]!["Membership"] = new JsonObject { ["Source"] = "kubernetes", ["StateFile"] = Path.Combine(node.CacheFolder, "members.json") };
        configuration["Peerd"]!["Containerd"] = new JsonObject { ["Enabled"] = false };
        node.WriteConfiguration(configuration);
        node.Environment = cluster.Account.Environment;
        var started = Stopwatch.GetTimestamp();
        await node.LaunchAsync(cluster.Account.Wrap(Repository.Peerd));
        return started;
    }

    /// <summary>Does something so many times per second, evenly; returns how often, and the processor time of the node.</summary>
    private async Task<(int Times, double Seconds)> WorkAsync(PeerdNode node, int perSecond, Action once)
    {
        var (times, busy, start) = (0, ProcessorTime.Of(node.Process.Id), Stopwatch.GetTimestamp());
        using var timer = new PeriodicTimer(PaceStep);
        while (Stopwatch.GetElapsedTime(start) < settings.Length && await timer.WaitForNextTickAsync(cancellationToken))
        {
            for (var due = (int)(Stopwatch.GetElapsedTime(start).TotalSeconds * perSecond); times < due; times++)
            {
                once();
            }
        }

        // What is on its way belongs to it.
        await Task.Delay(Rest, cancellationToken);
        return (times, ProcessorTime.Of(node.Process.Id) - busy);
    }
}
