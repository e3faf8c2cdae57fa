using k8s.Models;

namespace Peerd.Tests.Chart;

/// <summary>The cluster's one ConfigMap of scrape jobs is made when there is none, kept when it is ours and else left alone.</summary>
[Collection(nameof(OneAfterTheOther))]
public sealed class AksScrapeConfigTests
{
    private const string Name = "ama-metrics-prometheus-config";

    [Theory]
    [InlineData(null, null, true)]
    [InlineData("peerd", "peerd-ns", true)]
    [InlineData("peerd", "other", false)]
    [InlineData("other", "peerd-ns", false)]
    [InlineData("", "", false)]
    public async Task Template_OnACluster_NeverOverwrites(string? release, string? ns, bool expected)
    {
        await using var server = await FakeCluster.StartAsync(Name, release, ns);

        var text = await ChartTool.TemplateAsync("--set", "peerd.metrics.prometheus.aksAutoDiscovery=true", "--dry-run=server", "--disable-openapi-validation", "--kubeconfig", server.Kubeconfig);

        Assert.Contains(server.Requests, request => request.EndsWith($"/namespaces/kube-system/configmaps/{Name}", StringComparison.Ordinal));
        Assert.Equal(expected, text.Contains($"name: {Name}\n", StringComparison.Ordinal));
        Assert.Contains("prometheus.io/scrape: \"true\"", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Template_SwitchedOff_DoesNotTouchIt() =>
        Assert.DoesNotContain("prometheus", await ChartTool.TemplateAsync(), StringComparison.Ordinal);

    [Fact]
    public async Task Template_SwitchedOn_ScrapesThePortOfTheMetrics()
    {
        var manifests = await Manifests.OfAsync("--set", "peerd.metrics.prometheus.aksAutoDiscovery=true,peerd.ports.metrics=31004");
        var job = manifests.Get<V1ConfigMap>(Name).Data["prometheus-config"];

        Assert.Contains("metrics_path: /metrics/prometheus", job, StringComparison.Ordinal);
        Assert.Contains("names: [peerd-ns]", job, StringComparison.Ordinal);
        Assert.Equal("31004", manifests.Node.Spec.Template.Metadata.Annotations["prometheus.io/port"]);
        Assert.Contains("replacement: $1:31004", job, StringComparison.Ordinal);
    }
}
