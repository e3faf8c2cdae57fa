using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using k8s.Models;

namespace Peerd.Tests.Chart;

/// <summary>The dashboard and the alert rules that the chart installs on demand.</summary>
[Collection(nameof(OneAfterTheOther))]
public sealed partial class MonitoringTests
{
    private const string Dashboard = "peerd.metrics.grafanaDashboard.enabled=true";
    private const string Rules = "peerd.metrics.prometheus.rules.enabled=true";

    [Fact]
    public async Task Template_Default_HasNeither()
    {
        var manifests = await Manifests.OfAsync();

        Assert.Empty(manifests.All.OfType<PrometheusRule>());
        Assert.DoesNotContain(manifests.All.OfType<V1ConfigMap>(), map => map.Metadata.Name == "peerd-dashboard");
    }

    [Fact]
    public async Task Template_Dashboard_IsTheFile()
    {
        var map = (await Manifests.OfAsync("--set", Dashboard)).Get<V1ConfigMap>("peerd-dashboard");

        Assert.Equal(("peerd-ns", "1"), (map.Metadata.NamespaceProperty, map.Metadata.Labels["grafana_dashboard"]));
        Assert.Equal(await ReadAsync("peerd.json"), map.Data["peerd.json"]);
    }

    [Fact]
    public async Task Template_OtherLabels_AreOnBoth()
    {
        var manifests = await Manifests.OfAsync("--set", $"{Dashboard},{Rules},peerd.metrics.grafanaDashboard.labels.team=a,peerd.metrics.prometheus.rules.labels.release=b");

        Assert.Equal("a", manifests.Get<V1ConfigMap>("peerd-dashboard").Metadata.Labels["team"]);
        Assert.Equal("b", manifests.Get<PrometheusRule>("peerd").Metadata.Labels["release"]);
    }

    [Fact]
    public async Task Template_Rules_AreTheFile()
    {
        var manifests = await Manifests.OfAsync("--set", Rules);
        var rules = manifests.Get<PrometheusRule>("peerd");

        Assert.Contains(string.Join('\n', (await ReadAsync("peerd-alerts.yaml")).TrimEnd().Split('\n').Select(line => "  " + line)), manifests.Text, StringComparison.Ordinal);
        var alerts = Assert.Single(rules.Spec.Groups).Rules;
        Assert.NotEmpty(alerts);
        Assert.All(alerts, alert =>
        {
            Assert.StartsWith("Peerd", alert.Alert, StringComparison.Ordinal);
            Assert.Contains(alert.Labels["severity"], (string[])["warning", "critical"]);
            Assert.NotEmpty(alert.Annotations["summary"]);
            Assert.NotEmpty(alert.Annotations["description"]);
        });
    }

    // Whoever looks at the dashboard when one of the two alerts fires sees which it is.
    [Fact]
    public async Task Dashboard_WrongBytes_AreToldApartAsByTheAlerts()
    {
        var (dashboard, alerts) = (JsonNode.Parse(await ReadAsync("peerd.json"))!, await ReadAsync("peerd-alerts.yaml"));
        var queries = dashboard["panels"]!.AsArray().SelectMany(panel => panel!["targets"]?.AsArray() ?? []).Select(target => target!["expr"]!.GetValue<string>()).Where(query => query.Contains("peerd_integrity_failures_total", StringComparison.Ordinal));

        string[] expected = ["source!=\"origin\"", "source=\"origin\""];
        Assert.Equal(expected, Source.Matches(string.Join('\n', queries)).Select(match => match.Value));
        Assert.Equal(expected, Source.Matches(string.Join('\n', alerts.Split('\n').Where(line => line.Contains("peerd_integrity_failures_total", StringComparison.Ordinal)))).Select(match => match.Value));
    }

    // What lies beside the chart for those without Helm.
    private static Task<string> ReadAsync(string file) => File.ReadAllTextAsync(Path.Combine(LayoutTests.RepositoryRoot(), "dashboards", file));

    [GeneratedRegex("source!?=\"[a-z]+\"", RegexOptions.None, 1000)]
    private static partial Regex Source { get; }
}
