using k8s.Models;

namespace Peerd.Tests.Chart;

/// <summary>The dashboard and the alert rules that the chart installs on demand.</summary>
[Collection(nameof(OneAfterTheOther))]
public sealed class MonitoringTests
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

    // What lies beside the chart for those without Helm.
    private static Task<string> ReadAsync(string file) => File.ReadAllTextAsync(Path.Combine(LayoutTests.RepositoryRoot(), "dashboards", file));
}
