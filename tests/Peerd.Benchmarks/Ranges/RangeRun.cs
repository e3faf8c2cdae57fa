using System.Globalization;
using Peerd.Benchmarks.Benchmarks;
using Peerd.Benchmarks.Measuring;
using Peerd.Benchmarks.Servers;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Ranges;

/// <summary>Reads ranges from nodes, and right before each time the same ranges from nginx.</summary>
internal sealed class RangeRun(RangeSite site, BenchmarkPlan plan, ResultTable table)
{
    private readonly BenchmarkFile _file = site.Content;
    private readonly TimeSpan _duration = site.Settings.Duration;

    /// <summary>
    /// One node has the whole content. Its own clients read what it has; clients of another node, which has nothing of the
    /// content and begins anew for each case, read what must come from it.
    /// </summary>
    public async Task RunHeldAsync(CancellationToken cancellationToken)
    {
        await using var lab = new Lab();
        var mesh = await RangeMesh.StartAsync(lab, site, _file, others: 2);
        var (holder, asker) = (mesh.Others[0], mesh.Others[1]);
        var nginx = await Nginx.StartAsync(lab, _file.Folder, holder.Host);
        var direct = new Uri(nginx.Endpoint, _file.StorePath);
        await Task.WhenAll(mesh.StartAsync(holder, registries: nginx.Upstream), mesh.StartAsync(asker));
        await holder.FillAsync(_file, nginx.Upstream, cancellationToken);
        await holder.FillAsync(site.WarmUp, nginx.Upstream, cancellationToken);
        for (var round = 1; round <= plan.Rounds; round++)
        {
            if (site.Settings.Kinds.Contains(RangeKind.Local))
            {
                await holder.WarmUpAsync(cancellationToken);
                foreach (var @case in site.Settings.CasesOf(RangeKind.Local))
                {
                    var reads = ReadPlan.Repeated(@case, _file.Size);
                    await MeasureAsync(@case, new RangeServer("nginx", direct, holder.Host), reads, holder, reads, cancellationToken);
                }
            }

            if (site.Settings.Kinds.Contains(RangeKind.Peer))
            {
                foreach (var @case in site.Settings.CasesOf(RangeKind.Peer))
                {
                    await asker.StartEmptyAsync();
                    await asker.WarmUpAsync(cancellationToken);
                    var reads = ReadPlan.Once(@case, _file.Size);
                    await MeasureAsync(@case, new RangeServer("nginx", direct, asker.Host), reads.Again(), asker, reads, cancellationToken);
                }
            }
        }
    }

    /// <summary>Nobody has the content: it comes from the store, through a node or through an nginx, which both begin anew for each case.</summary>
    public async Task RunColdAsync(CancellationToken cancellationToken)
    {
        await using var lab = new Lab();
        var mesh = await RangeMesh.StartAsync(lab, site, _file, others: 1);
        var asker = mesh.Others[0];
        await mesh.StartAsync(asker);
        for (var round = 1; round <= plan.Rounds; round++)
        {
            foreach (var @case in site.Settings.CasesOf(RangeKind.Cold))
            {
                await asker.StartEmptyAsync();
                await asker.WarmUpAsync(cancellationToken);
                await using var proxyLab = new Lab();
                var proxy = await Nginx.StartSlicingProxyAsync(proxyLab, site.Store.Endpoint, asker.Host);
                var reads = ReadPlan.Once(@case, _file.Size);
                await MeasureAsync(@case, new RangeServer("nginx", new Uri(proxy.Endpoint, _file.StorePath), asker.Host), reads, asker, reads, cancellationToken);
            }
        }
    }

    private async Task MeasureAsync(RangeCase @case, RangeServer nginx, ReadPlan nginxReads, RangeNode node, ReadPlan reads, CancellationToken cancellationToken)
    {
        await RangeClient.OpenAsync(nginx, _file);
        var compared = await RangeClient.RunAsync(nginx, _file, nginxReads, _duration, pace: null, cancellationToken);

        var open = await RangeClient.OpenAsync(node.Serving(_file), _file);
        var before = await node.CountAsync(cancellationToken);
        var measured = await RangeClient.RunAsync(node.Serving(_file), _file, reads, _duration, pace: null, cancellationToken);
        var counted = await node.CountAsync(cancellationToken) - before;
        counted.Expect(measured.Milliseconds.Count, @case.Name);
        var bytes = counted.Reads * (double)@case.RangeSize;
        table.Add(@case.Name, "open", "ms", Better.Lower, open);
        table.Add(@case.Name, "p50", "ms", Better.Lower, measured.Median);
        table.Add(@case.Name, "p99", "ms", Better.Lower, measured.P99, @case.P99Target);
        table.Add(@case.Name, "requests", "1/s", Better.Higher, measured.RequestsPerSecond);
        table.Add(@case.Name, "nginx p50", "ms", Better.Lower, compared.Median);
        table.Add(@case.Name, "nginx p99", "ms", Better.Lower, compared.P99);
        table.Add(@case.Name, "nginx req", "1/s", Better.Higher, compared.RequestsPerSecond);
        table.Add(@case.Name, "p99 / nginx", "x", Better.Lower, measured.P99 / compared.P99, site.Settings.Rate is null ? null : @case.P99RatioTarget);
        table.Add(@case.Name, "req / nginx", "x", Better.Higher, measured.RequestsPerSecond / compared.RequestsPerSecond, @case.RequestsRatioTarget);
        table.Add(@case.Name, "waited", "%", Better.Lower, counted.PercentWaited);
        table.Add(@case.Name, "peers / read", "x", Better.Lower, counted.PeerBytes / bytes);
        table.Add(@case.Name, "origin / read", "x", Better.Lower, counted.OriginBytes / bytes);
        table.Add(@case.Name, "allocated / read", "KiB", Better.Lower, counted.AllocatedBytes / 1024.0 / counted.Reads);
        plan.Progress(string.Create(
            CultureInfo.InvariantCulture,
            $"{@case.Name}: p99 {measured.P99:0.00} ms and {measured.RequestsPerSecond:0}/s, nginx {compared.P99:0.00} ms and {compared.RequestsPerSecond:0}/s; {counted.PercentWaited:0.0} % of {counted.Reads} reads waited, {counted.PeerBytes >> 20} MiB came from peers, {counted.OriginBytes >> 20} from the origin"));
        if (@case.Pace is { } pace)
        {
            await MeasurePacedAsync(@case, pace, nginx, nginxReads, node, reads, cancellationToken);
        }
    }

    /// <summary>The same at the pace of a link, which leaves processors idle: how long a read takes, not how long it waits for one.</summary>
    private async Task MeasurePacedAsync(
        RangeCase @case, int pace, RangeServer nginx, ReadPlan nginxReads, RangeNode node, ReadPlan reads, CancellationToken cancellationToken)
    {
        var compared = await RangeClient.RunAsync(nginx, _file, nginxReads, _duration, pace, cancellationToken);
        var measured = await RangeClient.RunAsync(node.Serving(_file), _file, reads, _duration, pace, cancellationToken);
        var name = string.Create(CultureInfo.InvariantCulture, $"{@case.Name}, {pace}/s");
        table.Add(name, "p50", "ms", Better.Lower, measured.Median);
        table.Add(name, "p99", "ms", Better.Lower, measured.P99, @case.P99Target);
        table.Add(name, "requests", "1/s", Better.Higher, measured.RequestsPerSecond);
        table.Add(name, "nginx p50", "ms", Better.Lower, compared.Median);
        table.Add(name, "nginx p99", "ms", Better.Lower, compared.P99);
        table.Add(name, "nginx req", "1/s", Better.Higher, compared.RequestsPerSecond);
        table.Add(name, "p99 / nginx", "x", Better.Lower, measured.P99 / compared.P99);
        plan.Progress(string.Create(CultureInfo.InvariantCulture, $"{name}: p99 {measured.P99:0.00} ms, nginx {compared.P99:0.00} ms"));
    }
}
