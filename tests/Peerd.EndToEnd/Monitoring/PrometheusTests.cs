using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Monitoring;

/// <summary>Debian's Prometheus reads what nodes tell of themselves, and has data for all that we ask of it.</summary>
public sealed partial class PrometheusTests : LabTest
{
    private const int MatchTimeout = 2000;
    private const int Rounds = 6;
    private const int Read = 65_536;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private static string Dashboard => Path.Combine(Repository.Root, "dashboards/peerd.json");

    private static string AlertTests => Path.Combine(Repository.Root, "tests/Peerd.EndToEnd/Monitoring/peerd-alerts-tests.yaml");

    private static string Alerts => Path.Combine(Repository.Root, "dashboards/peerd-alerts.yaml");

    [Fact]
    public async Task Queries_AfterAPullWithAPeerHit_AllHaveData()
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 91, Enumerable.Repeat(2 << 20, Rounds).ToArray());
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

        for (var round = 0; round < Rounds; round++)
        {
            // Each node is the first of some: all of them read from the registry, and from each other.
            foreach (var node in nodes[(round % nodes.Length)..].Concat(nodes[..(round % nodes.Length)]))
            {
                await ReadAsync(node, registry, image.Layers[round]);
            }

            // A rate is known of what grows between two looks.
            await Task.Delay(TimeSpan.FromSeconds(2.5));
        }

        var rules = await prometheus.RulesAsync();
        Assert.NotEmpty(rules);
        var queries = DashboardQueries().Concat(rules.Select(rule => Bound().Replace(rule.Expression, string.Empty))).ToList();
        Assert.All(rules, rule => Assert.Matches(Bound(), rule.Expression));
        Assert.InRange(queries.Count, 40, 200);
        var without = new List<string>();
        foreach (var query in queries)
        {
            var values = await prometheus.QueryAsync(query);
            if (values.Length == 0 || !values.All(double.IsFinite))
            {
                without.Add($"{query}: {string.Join(", ", values)}");
            }
        }

        Assert.Empty(without);
        foreach (var node in nodes)
        {
            await AssertIsRightAsync(await PageAsync(node), node.Name);
        }

        Assert.All(await prometheus.RulesAsync(), rule => Assert.NotEqual("firing", rule.State));
        var image3 = nodes.Length * image.Layers.Sum(layer => layer.Size);
        var all = image3 + (nodes.Length * Rounds * Read);
        await Wait.UntilAsync(
            $"all {all} bytes that clients got are counted", prometheus.Process, async () => await prometheus.QueryAsync("sum(peerd_served_bytes_total)") is [var served] && served == all, Patience);
        Assert.InRange(Assert.Single(await prometheus.QueryAsync("sum(peerd_origin_bytes_total)")), image3 / nodes.Length, image3);
        Assert.InRange(Assert.Single(await prometheus.QueryAsync("sum(peerd_served_bytes_total{source=\"peer\"})")), 1, 2 * image3 / nodes.Length);
    }

    [Fact]
    public async Task TestRules_EachAlert_FiresWhenItShouldAndOnlyThen()
    {
        var tests = await File.ReadAllTextAsync(AlertTests);
        foreach (var alert in AlertName().Matches(await File.ReadAllTextAsync(Alerts)).Select(match => match.Groups["name"].Value))
        {
            Assert.Contains($"exp_samples: [{{labels: 'ALERTS{{alertname=\"{alert}\"", tests, StringComparison.Ordinal);
            Assert.Contains(tests.Split('\n'), line => line.Contains($"alertname=\"{alert}\"", StringComparison.Ordinal) && line.Contains("exp_samples: []", StringComparison.Ordinal));
        }

        await AssertPassesAsync("test", "rules", AlertTests);
    }

    // The tests of the rules are able to fail.
    [Theory]
    [InlineData("1e9")]
    [InlineData("-1")]
    public async Task TestRules_OtherBounds_AreFound(string bound)
    {
        var rules = Path.Combine(Lab.Folder, "rules.yaml");
        await File.WriteAllTextAsync(rules, BoundOfRule().Replace(await File.ReadAllTextAsync(Alerts), $" > {bound}"));
        var tests = Path.Combine(Lab.Folder, "tests.yaml");
        await File.WriteAllTextAsync(tests, RuleFiles().Replace(await File.ReadAllTextAsync(AlertTests), "rule_files: [rules.yaml]"));

        var process = await Lab.RunAsync("promtool", "/usr/bin/promtool", ["test", "rules", tests], Patience);

        Assert.NotEqual(0, process.ExitCode);
        Assert.All(
            AlertName().Matches(await File.ReadAllTextAsync(Alerts)).Select(match => match.Groups["name"].Value),
            alert => Assert.Contains(process.Output.Concat(process.Errors), line => line.Contains(alert, StringComparison.Ordinal)));
    }

    [Fact]
    public async Task CheckRules_TheAlerts_AreRight() => await AssertPassesAsync("check", "rules", Alerts);

    [Fact]
    public async Task CheckMetrics_OfANode_AreRight()
    {
        var node = PeerdNode.CreateMany(Lab, 1);
        await PeerdNode.StartAllAsync(node, node);
        var page = await PageAsync(node[0]);

        Assert.Contains("peerd_ring_members", page, StringComparison.Ordinal);
        Assert.Contains("dotnet_process_cpu_time_seconds_total", page, StringComparison.Ordinal);
        await AssertIsRightAsync(page, node[0].Name);
    }

    [Fact]
    public async Task Metrics_OfANodeJustStarted_CountZeroOfWhatNeverHappened()
    {
        var nodes = PeerdNode.CreateMany(Lab, 1);
        await PeerdNode.StartAllAsync(nodes, nodes);

        var lines = (await PageAsync(nodes[0])).Split('\n').Select(line => line.Replace("otel_scope_name=\"Peerd\",", string.Empty, StringComparison.Ordinal)).ToList();

        Assert.All(
            [
                "peerd_hedges_total{outcome=\"moved\"}", "peerd_hedges_total{outcome=\"over_budget\"}", "peerd_integrity_failures_total{source=\"peer\"}",
                "peerd_integrity_failures_total{source=\"content\"}", "peerd_integrity_failures_total{source=\"cache\"}", "peerd_integrity_failures_total{source=\"containerd\"}", "peerd_integrity_failures_total{source=\"origin\"}", "peerd_facade_failed_total{facade=\"v2\"}", "peerd_facade_failed_total{facade=\"blobs\"}",
                "peerd_peer_shed_total{result=\"redirected\"}", "peerd_peer_shed_total{result=\"refused\"}", "peerd_origin_requests_total{code=\"error\"}",
                "peerd_lookups_total{result=\"failed\"}", "peerd_served_bytes_total{source=\"peer\"}", "peerd_served_bytes_total{source=\"origin\"}",
            ],
            sample => Assert.Single(lines, line => line.StartsWith(sample + " 0 ", StringComparison.Ordinal) || line == sample + " 0"));
    }

    private static async Task ReadAsync(PeerdNode node, DockerRegistry registry, TestImage.Part layer)
    {
        using var client = new HttpClient { Timeout = PullTimeout };
        Assert.Equal(layer.Size, (await client.GetByteArrayAsync(new Uri(node.Facade, $"v2/team/app/blobs/{layer.Digest}?ns={registry.Name}"))).Length);
        using var read = new HttpRequestMessage(HttpMethod.Get, new Uri(node.Facade, $"blobs/{registry.Endpoint}v2/team/app/blobs/{layer.Digest}"));
        read.Headers.Range = new(0, Read - 1);
        using var answer = await client.SendAsync(read);
        Assert.Equal(Read, (await answer.Content.ReadAsByteArrayAsync()).Length);
    }

    private static async Task<string> PageAsync(PeerdNode node)
    {
        using var client = new HttpClient { Timeout = PullTimeout };
        return await client.GetStringAsync(new Uri(node.Metrics, "metrics/prometheus"));
    }

    private async Task AssertIsRightAsync(string page, string name)
    {
        var file = Path.Combine(Lab.Folder, $"metrics-of-{name}");
        await File.WriteAllTextAsync(file, page);
        var process = await Lab.RunAsync("promtool", "/bin/sh", ["-c", $"/usr/bin/promtool check metrics < {file}"], Patience);
        Assert.DoesNotContain(process.Output.Concat(process.Errors), line => line.Length > 0);
        Assert.Equal(0, process.ExitCode);
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

    [GeneratedRegex(@"(?<=expr: .*) > [0-9.]+$", RegexOptions.Multiline | RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex BoundOfRule();

    [GeneratedRegex("^rule_files:.*$", RegexOptions.Multiline | RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex RuleFiles();

    [GeneratedRegex(@"- alert: (?<name>\w+)", RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex AlertName();
}
