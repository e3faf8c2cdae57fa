using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Peerd.Node.Hosting;

namespace Peerd.Tests.Chart;

[Collection(nameof(OneAfterTheOther))]
public sealed class ChartValuesTests
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    // What the chart sets itself, or what is different on each node: a value of its own or none.
    private static readonly string[] NotInSettings =
    [
        "Node:Name", "Node:Zone", "Facade:Listen", "Mesh:Listen", "Metrics:Listen", "Membership:Source", "Membership:Members:*:Name",
        "Membership:Members:*:Address", "Membership:Members:*:Zone", "Membership:StateFile", "Cache:Directory",
        "Cache:Capacity", "Mesh:Tls:Certificate", "Mesh:Tls:Key", "Mesh:Tls:Authority", "Mesh:Tls:Domain", "Mesh:Tls:Names", "Origin:CredentialsFile",
        "Events:Pod", "Events:Namespace", "Events:Uid", "Handover:Enabled", "Handover:DrainTime", "Handover:ProbeSocket", "Log:Level",
    ];

    private readonly ChartValues _values = ChartValues.Read();

    [Fact]
    public void Document_Table_IsMadeOfTheValues()
    {
        const string Begin = "<!-- values: made of charts/peerd/values.yaml -->\n";
        const string End = "<!-- end of values -->\n";
        var text = File.ReadAllText(Path.Combine(LayoutTests.RepositoryRoot(), "docs", "kubernetes.md"));
        var begin = text.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length;
        var end = text.IndexOf(End, StringComparison.Ordinal);

        Assert.True(begin >= Begin.Length && end >= begin, "docs/kubernetes.md has no place for the table of values");
        RenewedFile.AssertHolds($"{text[..begin]}\n{_values.ToMarkdown()}\n{text[end..]}", "docs", "kubernetes.md");
    }

    [Fact]
    public async Task Schema_Settings_AreTheKeysOfTheProgram()
    {
        var path = Path.Combine(ChartTool.Chart, "values.schema.json");
        var schema = JsonNode.Parse(await File.ReadAllTextAsync(path))!.AsObject();
        var keys = ConfigurationKeys.All.Except(NotInSettings, StringComparer.Ordinal).Select(key => key.Split(':')).ToArray();

        Assert.Empty(NotInSettings.Except(ConfigurationKeys.All, StringComparer.Ordinal));
        schema["properties"]!["peerd"]!["properties"]!["settings"] = SchemaOf(keys, depth: 0);
        RenewedFile.AssertHolds(schema.ToJsonString(Indented) + "\n", "charts", "peerd", "values.schema.json");
    }

    [Fact]
    public void Schema_Properties_AreTheValues()
    {
        var schema = JsonNode.Parse(File.ReadAllText(Path.Combine(ChartTool.Chart, "values.schema.json")))!;
        var paths = _values.Values.Select(value => value.Path).Concat(_values.Sections).ToList();

        foreach (var section in _values.Sections)
        {
            var node = section.Split('.').Aggregate(schema, (parent, key) => parent["properties"]![key]!);
            var below = paths.Where(path => path.StartsWith(section + ".", StringComparison.Ordinal)).Select(path => path[(section.Length + 1)..].Split('.')[0]);
            Assert.Equal(below.Distinct().Order(StringComparer.Ordinal), node["properties"]!.AsObject().Select(property => property.Key).Order(StringComparer.Ordinal));
        }
    }

    [Fact]
    public async Task Template_UnknownValueAnywhere_IsRefused()
    {
        var settings = ConfigurationKeys.All.Except(NotInSettings, StringComparer.Ordinal).Select(key => $"peerd.settings.{key.Split(':')[0]}").Distinct();
        foreach (var section in _values.Sections.Concat(settings).Append("peerd.settings").Append("peerd.resources").Append("peerd.affinity"))
        {
            await AssertRefusedAsync($"{section}.typo=1", "typo");
        }

        await AssertRefusedAsync("perd.logLevel=Debug", "perd");
    }

    [Theory]
    [InlineData("peerd.logLevel=Loud", "logLevel")]
    [InlineData("peerd.configureMirrors=yes", "configureMirrors")]
    [InlineData("peerd.image.ref=", "ref")]
    [InlineData("peerd.image.pullPolicy=Sometimes", "pullPolicy")]
    [InlineData("peerd.hosts[0]=https://ghcr.io/team", "hosts/0")]
    [InlineData("peerd.hosts=ghcr.io", "hosts")]
    [InlineData("peerd.hosts[0]=a..b", "hosts/0")]
    [InlineData("peerd.hosts[0]=ghcr.io:99999", "hosts/0")]
    [InlineData("peerd.hosts[0]=ghcr.io:0", "hosts/0")]
    [InlineData("peerd.hosts[0]=-ghcr.io", "hosts/0")]
    [InlineData("peerd.hosts[0]=ghcr.io-:443", "hosts/0")]
    [InlineData("peerd.hosts[0]=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.io", "hosts/0")]
    [InlineData("peerd.nodeSelector.a=b c", "nodeSelector")]
    [InlineData("peerd.nodeSelector.a=b-", "nodeSelector")]
    [InlineData("peerd.nodeSelector.a b=c", "nodeSelector': additional properties 'a b'")]
    [InlineData("peerd.nodeSelector.A/b/c=d", "nodeSelector': additional properties 'A/b/c'")]
    [InlineData("peerd.metrics.prometheus.podMonitor.labels.a=b c", "labels")]
    [InlineData("peerd.metrics.prometheus.rules.labels.a=b c", "labels")]
    [InlineData("peerd.metrics.grafanaDashboard.labels.a=b c", "labels")]
    [InlineData("peerd.priorityClassName=a..b", "priorityClassName")]
    [InlineData("peerd.image.pullSecrets[0].name=a b", "pullSecrets")]
    [InlineData("peerd.credentialsSecret=a..b", "credentialsSecret")]
    [InlineData("peerd.mesh.tls.domain=a..b", "domain")]
    [InlineData("peerd.mesh.tls.domain=a-.b", "domain")]
    [InlineData("peerd.mesh.tls.secret=a..b", "secret")]
    [InlineData("peerd.containerd.runFolder=/run/../etc", "runFolder")]
    [InlineData("peerd.cache.folder=/var/lib\n/peerd", "folder")]
    [InlineData("peerd.cache.capacity=99999999TiB", "more than 1048576TiB")]
    [InlineData("peerd.cache.capacity=99999999999999999999", "more than 1048576TiB")]
    [InlineData("peerd.listen=10.0.0.1", "listen")]
    [InlineData("peerd.ports.facade=0", "facade")]
    [InlineData("peerd.ports.mesh=70000", "mesh")]
    [InlineData("peerd.ports.metrics=null", "metrics")]
    [InlineData("peerd.cache.capacity=lots", "capacity")]
    [InlineData("peerd.cache.capacity=1KiB", "capacity")]
    [InlineData("peerd.cache.capacity=0.9MiB", "capacity")]
    [InlineData("peerd.hosts={ghcr.io,https://GHCR.io/}", "ghcr.io is there twice")]
    [InlineData("peerd.ports.mesh=30004", "ports")]
    [InlineData("peerd.ports.facade=30001", "ports")]
    [InlineData("peerd.cache.folder=var/lib", "folder")]
    [InlineData("peerd.maxSurge=0", "maxSurge")]
    [InlineData("peerd.tolerations[0].efect=NoSchedule", "efect")]
    [InlineData("peerd.tolerations[0].operator=Exist", "operator")]
    [InlineData("peerd.tolerations[0].effect=NoExecution", "effect")]
    [InlineData("peerd.resources.requests.cpus=1", "cpus")]
    [InlineData("peerd.resources.limits.memory=512MiB", "memory")]
    [InlineData("peerd.resources.limits.hugepages-2MB=1Gi", "hugepages-2MB")]
    [InlineData("peerd.affinity.nodeAffinity.requiredDuringScheduling.nodeSelectorTerms[0].matchFields[0].key=a", "requiredDuringScheduling")]
    [InlineData("peerd.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpression[0].key=a", "matchExpression")]
    [InlineData("peerd.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator=NotAt", "operator")]
    [InlineData("peerd.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].wieght=1", "wieght")]
    [InlineData("peerd.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKy=zone", "topologyKy")]
    [InlineData("peerd.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1000", "weight")]
    [InlineData("peerd.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector.matchLabel.app=a", "matchLabel")]
    [InlineData("peerd.cache.capacity=1MB", "less than 1MiB")]
    [InlineData("peerd.cache.capacity=1030KB", "less than 1MiB")]
    [InlineData("peerd.maxSurge=150%", "maxSurge")]
    [InlineData("peerd.mesh.tls.mode=secret", "secret")]
    [InlineData("peerd.mesh.tls.mode=certManager", "name")]
    [InlineData("peerd.mesh.tls.mode=on", "mode")]
    [InlineData("peerd.mesh.tls.domain=Peerd", "domain")]
    [InlineData("peerd.settings.Mesh.Tls.Key=/key", "Key")]
    [InlineData("peerd.settings.Facade.Listen=0.0.0.0:30000", "Listen")]
    [InlineData("peerd.settings.Node.Name=n1", "Node")]
    [InlineData("peerd.settings.Handover.Enabled=false", "Handover")]
    [InlineData("peerd.settings.Cache.Directory=/cache", "Directory")]
    [InlineData("peerd.settings.Origin.Registries[0].Nam=ghcr.io", "Nam")]
    public async Task Template_WrongValue_IsRefused(string set, string expected) => await AssertRefusedAsync(set, expected);

    [Theory]
    [InlineData("peerd.tolerations[0].operator=,peerd.tolerations[0].effect=")]
    [InlineData("peerd.tolerations[0].operator=Gt")]
    [InlineData("peerd.tolerations[0].operator=Lt")]
    [InlineData("peerd.resources.requests.cpu=+500m,peerd.resources.requests.memory=+.5Gi")]
    [InlineData("peerd.cache.capacity=1MiB,peerd.ports.facade=31000")]
    [InlineData("peerd.cache.capacity=1.5 TiB")]
    [InlineData("peerd.cache.capacity=2MB,peerd.maxSurge=100%")]
    [InlineData("peerd.cache.capacity=1048576TiB")]
    [InlineData("peerd.hosts={localhost:65535,10.0.0.1:5000,http://A-b.c1/}")]
    [InlineData(@"peerd.nodeSelector.gpu=,peerd.nodeSelector.example\.org/Pool_1=a.B-c_d")]
    [InlineData("peerd.cache.folder=/mnt/..peerd/a..b")]
    public async Task Template_UnusualValueOfKubernetes_IsTaken(string set)
    {
        var run = await ChartTool.HelmAsync("template", ChartTool.Chart, "--set", set);

        Assert.Equal((0, ""), (run.ExitCode, run.Error));
    }

    private static async Task AssertRefusedAsync(string set, string expected)
    {
        var run = await ChartTool.HelmAsync("template", ChartTool.Chart, "--set", set);

        Assert.True(run.ExitCode != 0, $"{set} was taken");
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
    }

    /// <summary>The schema of what lies under the keys; <c>*</c> is an entry of a list.</summary>
    private static JsonObject SchemaOf(string[][] keys, int depth)
    {
        if (keys.Any(key => key.Length == depth))
        {
            return new JsonObject { ["type"] = new JsonArray("string", "number", "boolean") };
        }

        var below = keys.GroupBy(key => key[depth]).ToDictionary(group => group.Key, group => SchemaOf([.. group], depth + 1));
        return below.TryGetValue("*", out var entry)
            ? new JsonObject { ["type"] = "array", ["items"] = entry }
            : new JsonObject
            {
                ["type"] = "object",
                ["additionalProperties"] = false,
                ["properties"] = new JsonObject(below.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)pair.Value))),
            };
    }
}
