using System.CommandLine;
using System.Globalization;
using Peerd.Benchmarks.Herd;
using Peerd.Benchmarks.Measuring;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>
/// Nodes on hosts of their own, with limited links, that pull the same image at the same moment: beside direct pulls and a
/// pull-through proxy, with a node that is killed or slow, one after the other, and in two zones.
/// </summary>
internal sealed class HerdBenchmark : IBenchmark
{
    private const int LargestImage = 1 << 30;
    private const int CalibrationSize = 32 << 20;
    private const double Percent = 100;
    private const double Mebi = 1 << 20;
    private const double HealthyAmplification = 1.02;
    private const double KilledAmplification = 1.15;
    private const double SlowRatio = 1.3;
    private const double AloneRatio = 1.05;
    private const double CrossedRatio = 1.1;

    /// <summary>Headers of packets and answers, and packets that a limited link loses, beside what an amplification of bodies may be.</summary>
    private const double Headers = 1.08;
    private const double BusyMachine = 0.9;
    private const string NeighbourLimit = "/proc/sys/net/ipv4/neigh/default/gc_thresh3";

    public string Name => "herd";

    public string Description => "Nodes with shaped links that pull an image at once, beside direct pulls and a pull-through proxy.";

    public string UsualDuration => "30 min";

    public int UsualMebibytes => 100;

    public int UsualRounds => 1;

    public IReadOnlyList<Option> Options => HerdSettings.Options;

    public async Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken)
    {
        if (plan.FileSize > LargestImage)
        {
            throw new ArgumentException($"an image of {plan.FileSize >> 20} MiB is too large; allowed: up to {LargestImage >> 20}");
        }

        var settings = HerdSettings.From(plan.Arguments);
        DemandRoomForNeighbours(settings.Nodes);
        await using var lab = new Lab();
        plan.Progress($"making a network of {settings.Nodes} nodes with {settings.Rate / 1_000_000} Mbit/s each, and images of {plan.FileSize >> 20} MiB");
        var site = await HerdSite.CreateAsync(lab, settings, plan.FileSize, cancellationToken);
        plan.Progress($"one curl over such a link gets {await CalibrateAsync(lab, site):0.0} % of the rate as payload: no herd can reach more of the bound, which is computed from the rate");

        var table = new ResultTable();
        for (var round = 1; round <= plan.Rounds; round++)
        {
            var healthy = new Dictionary<(int Layers, int Uplink), double>();
            foreach (var herd in HerdCase.Of(settings))
            {
                cancellationToken.ThrowIfCancellationRequested();
                await MeasureAsync(plan, site, herd, healthy, table, cancellationToken);
            }
        }

        return table.Results;
    }

    public void WriteTable(IReadOnlyList<Result> results, TextWriter output) => Report.WriteMatrix(Name, results, output);

    // One table of the kernel for all namespaces: whoever does not fit in cannot be reached.
    private static void DemandRoomForNeighbours(int nodes)
    {
        var needed = (nodes + 2) * (nodes + 2);
        if (int.Parse(File.ReadAllText(NeighbourLimit), CultureInfo.InvariantCulture) < needed)
        {
            throw new ArgumentException($"{nodes} nodes need room for {needed} neighbours: sysctl -w net.ipv4.neigh.default.gc_thresh3={needed}");
        }
    }

    private static async Task MeasureAsync(
        BenchmarkPlan plan, HerdSite site, HerdCase herd, Dictionary<(int Layers, int Uplink), double> healthy, ResultTable table, CancellationToken cancellationToken)
    {
        // Who starts alone can have all of the link from its own start on.
        var nodes = herd.Mode is HerdMode.Alone or HerdMode.Staggered ? 1 : site.Settings.Nodes;
        var bound = HerdBound.Seconds(site.ImageSize(herd.Layers), nodes, site.Settings.Rate, site.Settings.Rate * herd.Uplink);
        var run = new HerdRun(site, herd, plan.Progress);
        HerdOutcome? direct = null;
        if (herd.Mode is HerdMode.Alone)
        {
            direct = await run.RunDirectAloneAsync(cancellationToken);
            Add(plan, table, herd.NameOf("direct alone"), direct, bound, null, null);
        }

        var normal = healthy.TryGetValue((herd.Layers, herd.Uplink), out var seconds) ? seconds : (double?)null;
        var outcome = await run.RunAsync(normal ?? bound, cancellationToken);
        if (herd.Mode is HerdMode.Cold)
        {
            healthy[(herd.Layers, herd.Uplink)] = outcome.Last;
        }

        Add(
            plan,
            table,
            herd.Name,
            outcome,
            bound,
            herd.Mode switch
            {
                HerdMode.Cold or HerdMode.Staggered or HerdMode.Zones => HealthyAmplification,
                HerdMode.Killed or HerdMode.OwnerKilled => KilledAmplification,
                _ => null,
            },
            HerdTargets.OfBound(herd.Mode, site.Settings.Nodes, site.ImageSize(herd.Layers), herd.Uplink));
        if (direct is not null)
        {
            table.Add(herd.Name, "/ direct", "x", Better.Lower, outcome.Last / direct.Last, AloneRatio);
        }
        else if (normal is { } usual && herd.Mode is (HerdMode.Killed or HerdMode.OwnerKilled or HerdMode.Slow))
        {
            table.Add(herd.Name, "/ healthy", "x", Better.Lower, outcome.Last / usual, herd.Mode is HerdMode.Slow ? SlowRatio : null);
        }
    }

    private static void Add(BenchmarkPlan plan, ResultTable table, string name, HerdOutcome outcome, double bound, double? amplificationTarget, double? boundTarget)
    {
        table.Add(name, "median", "s", Better.Lower, outcome.Median);
        table.Add(name, "last", "s", Better.Lower, outcome.Last);
        table.Add(name, "of bound", "%", Better.Higher, Percent * bound / outcome.Last, boundTarget);
        table.Add(name, "failed", "pulls", Better.Lower, outcome.Failed, 0);
        table.Add(name, "amplification", "x", Better.Lower, outcome.Amplification, amplificationTarget);
        table.Add(name, "on the wire", "x", Better.Lower, outcome.WireAmplification, outcome.ImageSize > HerdTargets.SmallSize ? amplificationTarget * Headers : null);
        if (outcome.ImageSize <= HerdTargets.SmallSize)
        {
            table.Add(name, "/ one link", "x", Better.Lower, outcome.Last / bound, boundTarget is null && amplificationTarget is not null ? HerdTargets.SmallRatio : null);
        }

        table.Add(name, "requests", "", Better.Lower, outcome.OriginRequests);
        if (outcome.BusiestUpload > 0)
        {
            table.Add(name, "busiest upload", "x", Better.Lower, outcome.BusiestUploads);
        }

        if (outcome.ProcessorSeconds > 0)
        {
            table.Add(name, "CPU", "s/GB", Better.Lower, outcome.SecondsPerGigabyte);
            table.Add(name, "peak RSS", "MiB", Better.Lower, outcome.PeakMemory / Mebi);
        }

        // They are within this process, and the same whatever they pull from.
        table.Add(name, "pullers' CPU", "s/GB", Better.Lower, outcome.PullersSecondsPerGigabyte);
        table.Add(name, "pullers' RSS", "MiB", Better.Lower, outcome.PullersMemory / Mebi);

        if (outcome.Crossed > 0)
        {
            table.Add(name, "crossed", "x", Better.Lower, outcome.Crossings, CrossedRatio);
        }

        table.Add(name, "machine busy", "%", Better.Lower, Percent * outcome.MachineBusy);
        plan.Progress(string.Create(
            CultureInfo.InvariantCulture,
            $"{name}: last node {outcome.Last:0.0} s, {Percent * bound / outcome.Last:0} % of the bound ({bound:0.0} s), amplification {outcome.Amplification:0.000}{(outcome.MachineBusy > BusyMachine ? ", THE PROCESSORS WERE THE LIMIT" : "")}{(outcome.Failed > 0 ? $", {outcome.Failed} FAILED" : "")}"));
    }

    private static async Task<double> CalibrateAsync(Lab lab, HerdSite site)
    {
        var layer = site.Image(site.Settings.Layers[^1]).Layers[0];
        var repository = $"herd/layers-{site.Settings.Layers[^1]}";
        await site.RegistryHost.LimitAsync(site.Settings.Rate);
        var curl = await site.NodeHosts[0].StartAsync(
            lab,
            "curl",
            "/usr/bin/curl",
            ["--silent", "--show-error", "--fail", "--range", $"0-{CalibrationSize - 1}", "--output", "/dev/null", "--write-out", "%{speed_download}", new Uri(site.Registry.Endpoint, $"v2/{repository}/blobs/{layer.Digest}").ToString()]);
        return await curl.WaitForExitAsync(TimeSpan.FromMinutes(5)) == 0
            ? double.Parse(curl.Output[0], CultureInfo.InvariantCulture) * 8 / site.Settings.Rate * Percent
            : throw new InvalidOperationException($"the registry cannot be read.\n{curl.Tail()}");
    }
}
