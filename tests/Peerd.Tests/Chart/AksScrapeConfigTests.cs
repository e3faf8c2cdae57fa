using k8s.Models;

namespace Peerd.Tests.Chart;

/// <summary>The cluster's one ConfigMap of scrape jobs is made when there is none and replaced when it is as we made it; what others have put into ours stays, and theirs is left alone.</summary>
[Collection(nameof(OneAfterTheOther))]
public sealed class AksScrapeConfigTests
{
    private const string Name = "ama-metrics-prometheus-config";

    private const string On = "peerd.metrics.prometheus.aksAutoDiscovery=true";

    private const string Off = "peerd.metrics.prometheus.aksAutoDiscovery=false";

    [Theory]
    [InlineData("peerd", "peerd-ns", true)]
    [InlineData("peerd", "other", false)]
    [InlineData("other", "peerd-ns", false)]
    [InlineData("", "", false)]
    public async Task Template_OneIsThere_IsRenderedIfItIsOurs(string release, string ns, bool expected)
    {
        await using var cluster = await FakeCluster.StartAsync();
        cluster.AddConfigMap(await MadeAsync(), release, ns);

        Assert.Equal(expected, (await RenderedAsync(cluster, On)).Any());
    }

    [Theory]
    [InlineData("peerd", "peerd-ns", true)]
    [InlineData("peerd", "other", false)]
    [InlineData("other", "peerd-ns", false)]
    public async Task Template_SwitchedOffAfterARenderThatHadIt_IsRenderedIfItIsOurs(string release, string ns, bool expected)
    {
        await using var cluster = await FakeCluster.StartAsync();
        await AddLastAsync(cluster, On);
        cluster.AddConfigMap(await MadeAsync(), release, ns);

        Assert.Equal(expected, (await RenderedAsync(cluster, Off)).Any());
    }

    // Who installs peerd may have no rights in kube-system. And when an uninstall has left ours there, an install that takes it over
    // could not empty it: Helm takes out only what the last revision had.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Template_SwitchedOffAndNeverOn_AsksNothingOfItsNamespace(bool isUpgrade)
    {
        await using var cluster = await FakeCluster.StartAsync();
        if (isUpgrade)
        {
            await AddLastAsync(cluster, Off);
        }

        cluster.AddConfigMap(await MadeAsync(), "peerd", "peerd-ns");
        cluster.Forbidden = "kube-system";

        Assert.Empty(ScrapeConfigsOf(await ManifestsAsync(cluster, Off, isUpgrade)));
        Assert.Contains(cluster.Requests, request => request.EndsWith("/namespaces/peerd-ns/configmaps/peerd", StringComparison.Ordinal));
        Assert.DoesNotContain(cluster.Requests, request => request.Contains("kube-system", StringComparison.Ordinal));
        Assert.Contains("Forbidden", (await Assert.ThrowsAsync<InvalidOperationException>(() => ManifestsAsync(cluster, On, isUpgrade))).Message, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Template_NoneIsThere_MakesOneIfItIsSwitchedOn()
    {
        await using var cluster = await FakeCluster.StartAsync();

        Assert.Single(await RenderedAsync(cluster, On));
        await AddLastAsync(cluster, On);
        Assert.Empty(await RenderedAsync(cluster, Off));
    }

    // Ours, and since then with jobs of others in it: those stay, and the hash goes on telling that they are not ours.
    [Theory]
    [InlineData("prometheus-config", "scrape_configs: [{job_name: mine}]\n", On)]
    [InlineData("debug-mode", "true", On)]
    [InlineData("debug-mode", "true", Off)]
    public async Task Template_OursWasChangedByOthers_IsKeptAsItIs(string key, string value, string set)
    {
        await using var cluster = await FakeCluster.StartAsync();
        await AddLastAsync(cluster, On);
        var changed = await MadeAsync();
        changed.Data[key] = value;
        cluster.AddConfigMap(changed, "peerd", "peerd-ns");

        var rendered = Assert.Single(await RenderedAsync(cluster, set));

        Assert.Equal(changed.Data, rendered.Data);
        Assert.Equal(changed.Metadata.Annotations, rendered.Metadata.Annotations);
    }

    // Of a chart that wrote neither: Helm would delete what is not rendered, for nothing there says that it is kept. Nor did such a chart
    // say in its own ConfigMap that it had it, without which it is not looked for when it is switched off.
    [Theory]
    [InlineData(On, false)]
    [InlineData(On, true)]
    [InlineData(Off, true)]
    public async Task Template_OursWithoutHashAndPolicy_IsKeptAsItIs(string set, bool isMarked)
    {
        await using var cluster = await FakeCluster.StartAsync();
        await AddLastAsync(cluster, isMarked ? On : Off);
        var former = await MadeAsync();
        former.Metadata.Annotations.Clear();
        cluster.AddConfigMap(former, "peerd", "peerd-ns");

        var rendered = Assert.Single(await RenderedAsync(cluster, set));

        Assert.Equal(former.Data, rendered.Data);
        Assert.Equal([KeyValuePair.Create("helm.sh/resource-policy", "keep")], rendered.Metadata.Annotations);
    }

    // kubectl replace takes all annotations away; that the last render had it is written in the release's own ConfigMap.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Template_OursWasReplacedWhole_IsKeptIfTheReleaseHasIt(bool hasIt)
    {
        await using var cluster = await FakeCluster.StartAsync();
        await AddLastAsync(cluster, hasIt ? On : Off);
        var replaced = await MadeAsync();
        replaced.Metadata.Annotations.Clear();
        replaced.Data["prometheus-config"] = "scrape_configs: [{job_name: mine}]\n";
        cluster.AddConfigMap(replaced, release: "", ns: "");

        var rendered = await RenderedAsync(cluster, On);

        Assert.Equal(hasIt, rendered.Any());
        Assert.All(rendered, map => Assert.Equal((replaced.Data["prometheus-config"], "keep"), (map.Data["prometheus-config"], map.Metadata.Annotations["helm.sh/resource-policy"])));
    }

    // Helm cannot roll back to a revision with an object that the newest one left out and that is there.
    [Fact]
    public async Task Template_OursAndSwitchedOff_IsEmptied()
    {
        await using var cluster = await FakeCluster.StartAsync();
        await AddLastAsync(cluster, On);
        cluster.AddConfigMap(await MadeAsync(), "peerd", "peerd-ns");

        var off = Assert.Single(await RenderedAsync(cluster, Off));
        Assert.Empty(off.Data);

        // And it is as we made it when it is switched on again.
        cluster.AddConfigMap(off, "peerd", "peerd-ns");
        Assert.Equal((await MadeAsync()).Data, Assert.Single(await RenderedAsync(cluster, On)).Data);
    }

    // An older chart, or other values: what is there is not what is made now, but nobody else has changed it.
    [Fact]
    public async Task Template_OursOfOtherValues_IsReplaced()
    {
        await using var cluster = await FakeCluster.StartAsync();
        cluster.AddConfigMap(await MadeAsync("peerd.ports.metrics=31004"), "peerd", "peerd-ns");

        var (rendered, made) = (Assert.Single(await RenderedAsync(cluster, On)), await MadeAsync());
        Assert.Equal(made.Data, rendered.Data);
        Assert.Equal(made.Metadata.Annotations, rendered.Metadata.Annotations);
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
        Assert.Contains("names: [\"peerd-ns\"]", job, StringComparison.Ordinal);
        Assert.Equal("31004", manifests.Node.Spec.Template.Metadata.Annotations["prometheus.io/port"]);
        Assert.Contains("replacement: $1:31004", job, StringComparison.Ordinal);
    }

    private static async Task<V1ConfigMap> MadeAsync(string set = On) => (await Manifests.OfAsync("--set", $"{On},{set}")).Get<V1ConfigMap>(Name);

    /// <summary>The release's own ConfigMap, as the last render left it in the cluster.</summary>
    private static async Task AddLastAsync(FakeCluster cluster, string set) =>
        cluster.AddConfigMap((await Manifests.OfAsync("--set", set)).Get<V1ConfigMap>("peerd"), "peerd", "peerd-ns");

    /// <summary>The ConfigMap that an upgrade would leave in this cluster as part of the release, if there is one.</summary>
    private static async Task<IReadOnlyList<V1ConfigMap>> RenderedAsync(FakeCluster cluster, string set)
    {
        var manifests = await ManifestsAsync(cluster, set, isUpgrade: true);

        Assert.Contains(cluster.Requests, request => request.EndsWith($"/namespaces/kube-system/configmaps/{Name}", StringComparison.Ordinal));
        return ScrapeConfigsOf(manifests);
    }

    private static async Task<Manifests> ManifestsAsync(FakeCluster cluster, string set, bool isUpgrade)
    {
        string[] options = ["--set", set, "--dry-run=server", "--disable-openapi-validation", "--kubeconfig", cluster.Kubeconfig];
        var manifests = await Manifests.OfAsync(isUpgrade ? [.. options, "--is-upgrade"] : options);

        Assert.Equal(set == On, manifests.Node.Spec.Template.Metadata.Annotations.ContainsKey("prometheus.io/scrape"));
        return manifests;
    }

    private static IReadOnlyList<V1ConfigMap> ScrapeConfigsOf(Manifests manifests) => [.. manifests.All.OfType<V1ConfigMap>().Where(map => map.Metadata.Name == Name)];
}
