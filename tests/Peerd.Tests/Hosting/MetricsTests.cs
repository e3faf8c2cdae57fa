using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Peerd.Node.Content;
using Peerd.Node.Facade;
using Peerd.Node.Storage;

namespace Peerd.Tests.Hosting;

/// <summary>The metrics of nodes, as Prometheus reads them.</summary>
public sealed partial class MetricsTests
{
    private const int MiB = 1024 * 1024;
    private const string Table = "| metric | type |\n| --- | --- |\n| `a_total` | counter | requests | `facade`, `code` | Of a. |\n| `c` | gauge | | | c: `d`. |";

    private static readonly string[] Conditional = ["peerd_mesh_certificate_expiry_timestamp_seconds", "peerd_events_dropped_total"];

    [Fact]
    public async Task Endpoint_AfterAPull_HasWhatIsDocumentedAndNothingElse()
    {
        // A page tells of all nodes within the process, and those of other tests may have certificates or write events.
        var pages = await PagesAfterAPullAsync();
        var exported = MetricsPage.Exported(pages)
            .Where(metric => metric.StartsWith("peerd_", StringComparison.Ordinal) && !Conditional.Contains(metric.Split(' ')[0]));

        Assert.Equal(MetricsPage.Documented(await DocumentAsync()).Order(StringComparer.Ordinal), exported.Order(StringComparer.Ordinal));
        Assert.DoesNotContain(MetricsPage.WithoutHelp(pages), name => name.StartsWith("peerd_", StringComparison.Ordinal));
    }

    // Status codes aside, which are many.
    [Fact]
    public async Task Endpoint_AfterAPull_HasTheValuesOfLabelsThatAreDocumented()
    {
        var pages = await PagesAfterAPullAsync();
        var documented = MetricsPage.DocumentedWords(await DocumentAsync());
        var exported = MetricsPage.ExportedValues(pages).Where(values => documented.ContainsKey(values.Key.Split(' ')[0]) && !values.Key.EndsWith(" version", StringComparison.Ordinal)).ToList();
        var undocumented = exported.SelectMany(values => values.Value
            .Where(value => !documented[values.Key.Split(' ')[0]].Contains(value) && !(values.Key.EndsWith(" code", StringComparison.Ordinal) && int.TryParse(value, CultureInfo.InvariantCulture, out _)))
            .Select(value => $"{values.Key} {value}"));

        Assert.Empty(undocumented);
        Assert.InRange(exported.Count, 15, 60);

        // All others count from 0 on, so that one that is documented and not there is none.
        var byCode = exported.Where(values => values.Key.EndsWith(" code", StringComparison.Ordinal)).Select(values => values.Key.Split(' ')[0]).ToHashSet(StringComparer.Ordinal);
        var told = exported.Where(values => !byCode.Contains(values.Key.Split(' ')[0])).ToLookup(values => values.Key.Split(' ')[0]);
        var labels = exported.Select(values => values.Key.Split(' ')[1]).ToHashSet();
        var missing = documented.SelectMany(metric => metric.Value
            .Where(word => ValueOfLabel().IsMatch(word) && !labels.Contains(word) && told.Contains(metric.Key) && !told[metric.Key].Any(values => values.Value.Contains(word)))
            .Select(word => $"{metric.Key} {word}"));
        Assert.Empty(missing);

        Assert.All(pages.SelectMany(page => page.Split('\n')).Where(line => line.StartsWith("peerd_", StringComparison.Ordinal)), line => Assert.Contains("otel_scope_name=\"Peerd\"", line, StringComparison.Ordinal));
    }

    // Memory for series is bounded, and those of every answer of the facade have room.
    [Fact]
    public async Task Endpoint_MoreSeriesThanThereIsRoomFor_AreCountedInOne()
    {
        await using var mesh = await TestMesh.StartAsync();
        var unbounded = mesh.Node.Get<IMeterFactory>().Create(FacadeMetrics.MeterName).CreateCounter<long>("test.unbounded");
        for (var i = 0; i < 500; i++)
        {
            unbounded.Add(1, new KeyValuePair<string, object?>("label", i));
        }

        var facade = mesh.Node.Get<FacadeMetrics>();
        foreach (var source in Enum.GetValues<ByteSource>())
        {
            for (var code = 100; code < 600; code++)
            {
                facade.Answered(isBlob: false, source, code, TimeSpan.Zero, isOverload: true);
                facade.Answered(isBlob: true, source, code, TimeSpan.Zero, isOverload: true);
            }
        }

        using var client = new HttpClient();
        var lines = (await client.GetStringAsync(new Uri(mesh.Node.Metrics, "/metrics/prometheus"))).Split('\n');

        Assert.Contains(lines, line => line.StartsWith("test_unbounded_total{", StringComparison.Ordinal) && line.Contains("otel_metric_overflow=\"true\"", StringComparison.Ordinal));
        Assert.InRange(lines.Count(line => line.StartsWith("test_unbounded_total{", StringComparison.Ordinal)), 200, 260);
        Assert.Equal(200, lines.Count(line => line.StartsWith("peerd_facade_requests_total{", StringComparison.Ordinal)));
        Assert.DoesNotContain(lines, line => line.StartsWith("peerd_", StringComparison.Ordinal) && line.Contains("otel_metric_overflow", StringComparison.Ordinal));
    }

    // The endpoint tells but bytes and seconds, in the name.
    [Fact]
    public async Task Instruments_OfANode_HaveTheUnitsThatAreDocumented()
    {
        await using var mesh = await TestMesh.StartAsync();
        var units = new ConcurrentDictionary<string, string>(StringComparer.Ordinal);
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, _) =>
            {
                if (instrument.Meter.Name == FacadeMetrics.MeterName)
                {
                    var (name, unit) = MetricsPage.Of(instrument);
                    units[name] = unit;
                }
            },
        };
        listener.Start();

        Assert.All(MetricsPage.DocumentedUnits(await DocumentAsync()), metric => Assert.Equal((metric.Key, metric.Value), (metric.Key, units[metric.Key])));
    }

    // The checks above are able to fail.
    [Fact]
    public void Exported_AnyPage_TellsNameTypeAndLabels() => Assert.Equal(
        ["a_total counter code,facade", "b_seconds histogram", "c gauge"],
        MetricsPage.Exported("""
            # TYPE a_total counter
            # HELP a_total Of a.
            a_total{otel_scope_name="Peerd",facade="v2",code="200"} 1 1700000000000
            # TYPE b_seconds histogram
            b_seconds_bucket{otel_scope_name="Peerd",le="0.1"} 0
            b_seconds_sum{otel_scope_name="Peerd"} 0
            # TYPE c gauge
            c 1
            # EOF
            """));

    [Fact]
    public void WithoutHelp_AnyPages_AreThoseWithoutALineOrAText() => Assert.Equal(
        ["b", "c"],
        MetricsPage.WithoutHelp("# TYPE a counter\n# HELP a Of a.\na 1\n# TYPE b gauge\n# HELP b \nb 1", "# TYPE a counter\na 2\n# TYPE c gauge\nc 1"));

    [Fact]
    public void Documented_AnyTable_TellsNameTypeAndLabels() => Assert.Equal(
        ["a_total counter code,facade", "c gauge"],
        MetricsPage.Documented(Table));

    [Fact]
    public void DocumentedUnits_AnyTable_AreThoseOfTheThirdColumn() =>
        Assert.Equal(new Dictionary<string, string> { ["a_total"] = "requests", ["c"] = "" }, MetricsPage.DocumentedUnits(Table));

    [Theory]
    [InlineData("a.b", "{request}", "a_b_total", "requests")]
    [InlineData("a.read", "By", "a_read_bytes_total", "bytes")]
    [InlineData("a.bytes", "By", "a_bytes_total", "bytes")]
    [InlineData("a.duration", "s", "a_duration_seconds_total", "seconds")]
    [InlineData("a", null, "a_total", "")]
    public void Of_AnyCounter_IsItsNameAtTheEndpointAndItsUnit(string name, string? unit, string expectedName, string expectedUnit)
    {
        using var meter = new Meter("test");
        Assert.Equal((expectedName, expectedUnit), MetricsPage.Of(meter.CreateCounter<long>(name, unit)));
    }

    [Fact]
    public async Task Served_ColdWarmAndFromThePeer_CountsEachByteOnceByItsSource()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.BlobOwnedBy(3 * MiB, "node-1");
        using var requests = Collect(mesh.Nodes[0], FacadeMetrics.RequestsName);
        using var lookups = Collect(mesh.Nodes[1], "peerd.lookups");

        (await mesh.Nodes[0].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        await Wait.UntilAsync(() => mesh.Nodes[0].Downloads.Count == 0, "the download is over");
        (await mesh.Nodes[0].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        (await mesh.Nodes[0].GetAsync(sample.Digest, "bytes=0-99")).ShouldBe(sample.Bytes.AsSpan(0, 100));
        (await mesh.Nodes[1].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        var (first, second) = (Served(mesh.Nodes[0]), Served(mesh.Nodes[1]));
        Assert.Equal(((3 * MiB) + 100, 0, 3 * MiB), (first["cache"], first["peer"], first["origin"]));
        Assert.Equal((0, 3 * MiB, 0), (second["cache"], second["peer"], second["origin"]));
        await Wait.UntilAsync(() => requests.GetMeasurementSnapshot().Count == 3, "all requests are over");
        Assert.Equal(["origin 200", "cache 200", "cache 206"], requests.GetMeasurementSnapshot().Select(request => $"{request.Tags["source"]} {request.Tags["code"]}"));
        Assert.Equal("peers", Assert.Single(lookups.GetMeasurementSnapshot()).Tags["result"]);
    }

    // Its type is found in its bytes, which are read for that before they are sent.
    [Fact]
    public async Task Served_ManifestWithoutType_CountsOnce()
    {
        await using var mesh = await TestMesh.StartAsync();
        var manifest = """{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[]}"""u8.ToArray();
        var digest = mesh.Registry.AddManifest(manifest, "application/octet-stream");

        using var answer = await mesh.Node.Client.GetAsync(new Uri($"/v2/library/test/manifests/{digest}?ns={TestNode.Registry}", UriKind.Relative));

        Assert.Equal(manifest, await answer.Content.ReadAsByteArrayAsync());
        Assert.Equal("application/vnd.oci.image.manifest.v1+json", answer.Content.Headers.ContentType!.MediaType);
        Assert.Equal(manifest.Length, Served(mesh.Node).Values.Sum());
    }

    [Fact]
    public async Task BlobReads_OneThatGoesOverToTheUrl_CountsOnce()
    {
        const int Chunk = 4 * MiB;
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Blobs:ReadAhead=0"]);
        var sample = mesh.Blob(9 * MiB);

        // Counted when all else of a request is over.
        using var requests = Collect(mesh.Node, FacadeMetrics.RequestsName);
        Assert.Equal(Chunk, (await ReadAsync(0, Chunk - 1)).Length);
        await requests.WaitForMeasurementsAsync(1, Wait.Longest);
        mesh.Registry.Intercept = context =>
        {
            // The mesh asks for whole frames.
            var isDirect = context.Request.Headers.Range == $"bytes={Chunk}-8999999";
            context.Response.StatusCode = 503;
            return Task.FromResult(!isDirect);
        };
        using var reads = Collect(mesh.Node, FacadeMetrics.BlobReadsName);

        var bytes = await ReadAsync(0, 8_999_999);

        Assert.True(sample.Bytes.AsSpan(0, 9_000_000).SequenceEqual(bytes));

        await requests.WaitForMeasurementsAsync(2, Wait.Longest);
        Assert.Equal("origin 1", Assert.Single(reads.GetMeasurementSnapshot().Select(read => $"{read.Tags["source"]} {read.Value}")));

        async Task<byte[]> ReadAsync(long first, long last)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"/blobs/{mesh.Registry.Url}/v2/library/test/blobs/{sample.Digest}");
            request.Headers.Range = new(first, last);
            using var answer = await mesh.Node.Client.SendAsync(request);
            return await answer.Content.ReadAsByteArrayAsync();
        }
    }

    // Whatever a host of blobs answers is passed on, and must not make a series of its own.
    [Fact]
    public async Task Requests_UnusualStatus_IsOther()
    {
        await using var mesh = await TestMesh.StartAsync();
        using var requests = Collect(mesh.Node, FacadeMetrics.RequestsName);
        mesh.Registry.AnswerWith((System.Net.HttpStatusCode)418);

        using var answer = await mesh.Node.Client.GetAsync(new Uri($"/blobs/{mesh.Registry.Url}/v2/library/test/blobs/nothing", UriKind.Relative));

        Assert.Equal(418, (int)answer.StatusCode);
        await requests.WaitForMeasurementsAsync(1, Wait.Longest);
        Assert.Equal("other", Assert.Single(requests.GetMeasurementSnapshot()).Tags["code"]);
    }

    [Fact]
    public async Task Failed_NoSource_IsCounted()
    {
        await using var mesh = await TestMesh.StartAsync();
        using var failed = Collect(mesh.Node, FacadeMetrics.FailedName);
        mesh.Registry.AnswerWith(System.Net.HttpStatusCode.InternalServerError);

        var answer = await mesh.Node.GetAsync(TestMesh.NewSample(1000).Digest);

        Assert.True((int)answer.Status >= 500);
        await Wait.UntilAsync(() => failed.GetMeasurementSnapshot().Count > 0, "the request is over");
        Assert.Equal("v2", Assert.Single(failed.GetMeasurementSnapshot()).Tags["facade"]);
    }

    [Fact]
    public async Task Endpoint_Always_TellsOfTheRuntimeAndTheProcess()
    {
        await using var mesh = await TestMesh.StartAsync();

        var exported = MetricsPage.Exported(await ReadAsync(mesh.Node));
        var names = exported.Select(metric => metric.Split(' ')[0]).ToHashSet();

        Assert.Superset(new HashSet<string> { "dotnet_process_cpu_time_seconds_total", "dotnet_process_memory_working_set_bytes", "dotnet_gc_collections_total", "peerd_open_files" }, names);
        Assert.DoesNotContain(exported, metric => metric.Contains("_count gauge", StringComparison.Ordinal));
    }

    [GeneratedRegex("^[a-z][a-z_]*$", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex ValueOfLabel();

    private static async Task<string[]> PagesAfterAPullAsync()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.BlobOwnedBy(MiB, "node-1");
        (await mesh.Nodes[0].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        (await mesh.Nodes[1].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        return [await ReadAsync(mesh.Nodes[0]), await ReadAsync(mesh.Nodes[1])];
    }

    private static Task<string> DocumentAsync() => File.ReadAllTextAsync(Path.Combine(LayoutTests.RepositoryRoot(), "docs/metrics.md"));

    private static async Task<string> ReadAsync(TestNode node)
    {
        // An answer is given again for 300 ms.
        await Task.Delay(TimeSpan.FromMilliseconds(400));
        using var client = new HttpClient();
        return await client.GetStringAsync(new Uri(node.Metrics, "/metrics/prometheus"));
    }

    // Of this node alone: what the endpoint tells is of all nodes within the process.
    private static MetricCollector<long> Collect(TestNode node, string name) => new(node.Get<IMeterFactory>(), FacadeMetrics.MeterName, name);

    private static Dictionary<string, long> Served(TestNode node)
    {
        using var served = Collect(node, ServedBytes.Name);
        served.RecordObservableInstruments();
        return served.GetMeasurementSnapshot().ToDictionary(bytes => (string)bytes.Tags["source"]!, bytes => bytes.Value);
    }
}
