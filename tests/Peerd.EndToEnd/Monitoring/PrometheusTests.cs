using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Monitoring;

/// <summary>Debian's Prometheus reads what nodes tell of themselves, and has data for all that we ask of it.</summary>
public sealed partial class PrometheusTests : LabTest
{
    private const int MatchTimeout = 2000;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private static string Dashboard => Path.Combine(Repository.Root, "dashboards/peerd.json");

    private static string Alerts => Path.Combine(Repository.Root, "dashboards/peerd-alerts.yaml");

    [Fact]
    public async Task Queries_AfterAPullWithAPeerHit_AllHaveData()
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 91, 3 << 20);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, "team/app", "v1");
        var nodes = PeerdNode.CreateMany(Lab, 3);
        await Task.WhenAll(nodes.Select(node =>
        {
            var configuration = node.Configure(nodes, registry.Upstream);
            configuration["Peerd"]!["Blobs"] = new JsonObject
            {
                ["Hosts"] = new JsonArray(registry.Endpoint.GetLeftPart(UriPartial.Authority)),
                ["AllowedNetworks"] = new JsonArray("127.0.0.0/8"),
            };
            return node.StartAsync(configuration);
        }));
        var prometheus = await Prometheus.StartAsync(Lab, Alerts, nodes);

        using var client = new HttpClient { Timeout = PullTimeout };
        var layer = image.Layers[0];
        foreach (var node in nodes)
        {
            Assert.Equal(layer.Size, (await client.GetByteArrayAsync(new Uri(node.Facade, $"v2/team/app/blobs/{layer.Digest}?ns={registry.Name}"))).Length);
            using var read = new HttpRequestMessage(HttpMethod.Get, new Uri(node.Facade, $"blobs/{registry.Endpoint}v2/team/app/blobs/{layer.Digest}"));
            read.Headers.Range = new(0, 65_535);
            using var answer = await client.SendAsync(read);
            Assert.Equal(65_536, (await answer.Content.ReadAsByteArrayAsync()).Length);
        }

        var rules = await prometheus.RulesAsync();
        Assert.NotEmpty(rules);
        var queries = DashboardQueries().Concat(rules.Select(rule => Bound().Replace(rule.Expression, string.Empty))).ToList();
        Assert.All(rules, rule => Assert.Matches(Bound(), rule.Expression));
        Assert.InRange(queries.Count, 40, 200);
        foreach (var query in queries)
        {
            await Wait.UntilAsync($"there are data for {query}", prometheus.Process, async () => (await prometheus.QueryAsync(query)).Length > 0, Patience);
        }

        Assert.All(await prometheus.RulesAsync(), rule => Assert.NotEqual("firing", rule.State));
        var all = nodes.Length * (layer.Size + 65_536);
        await Wait.UntilAsync(
            $"all {all} bytes that clients got are counted", prometheus.Process, async () => await prometheus.QueryAsync("sum(peerd_served_bytes_total)") is [var served] && served == all, Patience);
        Assert.InRange(Assert.Single(await prometheus.QueryAsync("sum(peerd_origin_bytes_total)")), layer.Size, 3 * layer.Size);
        Assert.InRange(Assert.Single(await prometheus.QueryAsync("sum(peerd_served_bytes_total{source=\"peer\"})")), 1, 2 * layer.Size);
    }

    [Fact]
    public async Task CheckRules_TheAlerts_AreRight() => await AssertPassesAsync("check", "rules", Alerts);

    [Fact]
    public async Task CheckMetrics_OfANode_AreRight()
    {
        var node = PeerdNode.CreateMany(Lab, 1);
        await PeerdNode.StartAllAsync(node, node);
        using var client = new HttpClient();
        var page = await client.GetStringAsync(new Uri(node[0].Metrics, "metrics/prometheus"));
        var file = Path.Combine(Lab.Folder, "metrics");

        // What the runtime tells is not ours to name.
        await File.WriteAllLinesAsync(file, page.Split('\n').Where(line => line.StartsWith("peerd_", StringComparison.Ordinal) || line.Contains(" peerd_", StringComparison.Ordinal)));

        Assert.Contains("peerd_ring_members", await File.ReadAllTextAsync(file), StringComparison.Ordinal);
        var process = await Lab.RunAsync("promtool", "/bin/sh", ["-c", $"/usr/bin/promtool check metrics < {file}"], Patience);
        Assert.True(process.ExitCode == 0, process.Tail());
    }

    [Fact]
    public async Task Metrics_OfANodeJustStarted_CountZeroOfWhatNeverHappened()
    {
        var nodes = PeerdNode.CreateMany(Lab, 1);
        await PeerdNode.StartAllAsync(nodes, nodes);
        using var client = new HttpClient();

        var lines = (await client.GetStringAsync(new Uri(nodes[0].Metrics, "metrics/prometheus"))).Split('\n').Select(line => line.Replace("otel_scope_name=\"Peerd\",", string.Empty, StringComparison.Ordinal)).ToList();

        Assert.All(
            [
                "peerd_hedges_total{outcome=\"moved\"}", "peerd_hedges_total{outcome=\"over_budget\"}", "peerd_integrity_failures_total{source=\"peer\"}",
                "peerd_integrity_failures_total{source=\"content\"}", "peerd_facade_failed_total{facade=\"v2\"}", "peerd_facade_failed_total{facade=\"blobs\"}",
                "peerd_peer_shed_total{result=\"redirected\"}", "peerd_peer_shed_total{result=\"refused\"}", "peerd_origin_requests_total{code=\"error\"}",
                "peerd_lookups_total{result=\"failed\"}", "peerd_served_bytes_total{source=\"peer\"}", "peerd_served_bytes_total{source=\"origin\"}",
            ],
            sample => Assert.Single(lines, line => line.StartsWith(sample + " 0 ", StringComparison.Ordinal) || line == sample + " 0"));
    }

    private async Task AssertPassesAsync(params string[] arguments)
    {
        var process = await Lab.RunAsync("promtool", "/usr/bin/promtool", arguments, Patience);
        Assert.True(process.ExitCode == 0, process.Tail());
    }

    /// <summary>The queries of all panels, with Grafana's variables filled in.</summary>
    private static IEnumerable<string> DashboardQueries() =>
        JsonNode.Parse(File.ReadAllText(Dashboard))!["panels"]!.AsArray()
            .SelectMany(panel => panel!["targets"]?.AsArray() ?? [])
            .Select(target => target!["expr"]!.GetValue<string>()
                .Replace("$__rate_interval", "1m", StringComparison.Ordinal)
                .Replace("$__range", "5m", StringComparison.Ordinal)
                .Replace("$instance", ".*", StringComparison.Ordinal));

    [GeneratedRegex(@" (>|<) [0-9.]+$", RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex Bound();
}
