using k8s.Models;

namespace Peerd.Tests.Chart;

/// <summary>The cluster's one ConfigMap of scrape jobs is made when there is none, replaced when it is as we made it, and else left alone.</summary>
[Collection(nameof(OneAfterTheOther))]
public sealed class AksScrapeConfigTests
{
    private const string Name = "ama-metrics-prometheus-config";

    private const string On = "peerd.metrics.prometheus.aksAutoDiscovery=true";

    [Theory]
    [InlineData("peerd", "peerd-ns", true)]
    [InlineData("peerd", "other", false)]
    [InlineData("other", "peerd-ns", false)]
    [InlineData("", "", false)]
    public async Task Template_OneIsThere_IsReplacedIfItIsOurs(string release, string ns, bool expected)
    {
        await using var cluster = await FakeCluster.StartAsync();
        cluster.AddConfigMap(await MadeAsync(), release, ns);

        Assert.Equal(expected, await MakesAsync(cluster));
    }

    [Fact]
    public async Task Template_NoneIsThere_MakesOne()
    {
        await using var cluster = await FakeCluster.StartAsync();

        Assert.True(await MakesAsync(cluster));
    }

    // Ours, and since then with jobs of others in it.
    [Theory]
    [InlineData("prometheus-config", "scrape_configs: [{job_name: mine}]\n")]
    [InlineData("debug-mode", "true")]
    public async Task Template_OursWasChangedByOthers_LeavesItAlone(string key, string value)
    {
        await using var cluster = await FakeCluster.StartAsync();
        var changed = await MadeAsync();
        changed.Data[key] = value;
        cluster.AddConfigMap(changed, "peerd", "peerd-ns");

        Assert.False(await MakesAsync(cluster));
    }

    // An older chart, or other values: what is there is not what is made now, but nobody else has changed it.
    [Fact]
    public async Task Template_OursOfOtherValues_IsReplaced()
    {
        await using var cluster = await FakeCluster.StartAsync();
        cluster.AddConfigMap(await MadeAsync("peerd.ports.metrics=31004"), "peerd", "peerd-ns");

        Assert.True(await MakesAsync(cluster));
    }

    // What is left out of an upgrade, and all that an uninstall deletes, Helm deletes with what others have put in.
    [Fact]
    public async Task Made_Always_IsKeptByHelm() =>
        Assert.Equal("keep", (await MadeAsync()).Metadata.Annotations["helm.sh/resource-policy"]);

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

    private static async Task<V1ConfigMap> MadeAsync(string set = On) => (await Manifests.OfAsync("--set", $"{On},{set}")).Get<V1ConfigMap>(Name);

    private static async Task<bool> MakesAsync(FakeCluster cluster)
    {
        var text = await ChartTool.TemplateAsync("--set", On, "--dry-run=server", "--disable-openapi-validation", "--kubeconfig", cluster.Kubeconfig);

        Assert.Contains(cluster.Requests, request => request.EndsWith($"/namespaces/kube-system/configmaps/{Name}", StringComparison.Ordinal));
        Assert.Contains("prometheus.io/scrape: \"true\"", text, StringComparison.Ordinal);
        return text.Contains($"name: {Name}\n", StringComparison.Ordinal);
    }
}
