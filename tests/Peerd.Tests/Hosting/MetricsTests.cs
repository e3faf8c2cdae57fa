
namespace Peerd.Tests.Hosting;

/// <summary>The metrics of nodes, as Prometheus reads them.</summary>
public sealed class MetricsTests
{
    private const int MiB = 1024 * 1024;

    [Fact]
    public async Task Endpoint_AfterAPull_HasWhatIsDocumentedAndNothingElse()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.BlobOwnedBy(MiB, "node-1");
        (await mesh.Nodes[0].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        (await mesh.Nodes[1].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        var exported = MetricsPage.Exported(await ReadAsync(mesh.Nodes[0]), await ReadAsync(mesh.Nodes[1])).Where(metric => metric.StartsWith("peerd_", StringComparison.Ordinal));

        var documented = MetricsPage.Documented(await File.ReadAllTextAsync(Path.Combine(LayoutTests.RepositoryRoot(), "docs/metrics.md")));
        Assert.Equal(documented.Order(StringComparer.Ordinal), exported.Order(StringComparer.Ordinal));
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
    public void Documented_AnyTable_TellsNameTypeAndLabels() => Assert.Equal(
        ["a_total counter code,facade", "c gauge"],
        MetricsPage.Documented("| metric | type |\n| --- | --- |\n| `a_total` | counter | requests | `facade`, `code` | Of a. |\n| `c` | gauge | | | c: `d`. |"));

    [Fact]
    public async Task Endpoint_JustStarted_CountsZeroOfWhatNeverHappened()
    {
        await using var mesh = await TestMesh.StartAsync();

        var page = await ReadAsync(mesh.Node);

        Assert.All(
            [
                "peerd_hedges_total{outcome=\"moved\"}", "peerd_hedges_total{outcome=\"over_budget\"}", "peerd_integrity_failures_total{source=\"peer\"}",
                "peerd_integrity_failures_total{source=\"content\"}", "peerd_facade_failed_total{facade=\"v2\"}", "peerd_facade_failed_total{facade=\"blobs\"}",
                "peerd_peer_shed_total{result=\"redirected\"}", "peerd_peer_shed_total{result=\"refused\"}", "peerd_origin_requests_total{code=\"error\"}",
                "peerd_lookups_total{result=\"failed\"}", "peerd_served_bytes_total{source=\"peer\"}", "peerd_served_bytes_total{source=\"origin\"}",
            ],
            sample => Assert.Equal(0, ValueOf(page, sample)));
    }

    [Fact]
    public async Task Served_ColdWarmAndFromThePeer_CountsEachByteOnceByItsSource()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.BlobOwnedBy(3 * MiB, "node-1");

        (await mesh.Nodes[0].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        await Wait.UntilAsync(() => mesh.Nodes[0].Downloads.Count == 0, "the download is over");
        (await mesh.Nodes[0].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        (await mesh.Nodes[0].GetAsync(sample.Digest, "bytes=0-99")).ShouldBe(sample.Bytes.AsSpan(0, 100));
        (await mesh.Nodes[1].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        var (first, second) = (await ReadAsync(mesh.Nodes[0]), await ReadAsync(mesh.Nodes[1]));
        Assert.Equal(3 * MiB, ValueOf(first, "peerd_served_bytes_total{source=\"origin\"}"));
        Assert.Equal((3 * MiB) + 100, ValueOf(first, "peerd_served_bytes_total{source=\"cache\"}"));
        Assert.Equal(0, ValueOf(first, "peerd_served_bytes_total{source=\"peer\"}"));
        Assert.Equal(3 * MiB, ValueOf(second, "peerd_served_bytes_total{source=\"peer\"}"));
        Assert.Equal(0, ValueOf(second, "peerd_served_bytes_total{source=\"origin\"}"));
        Assert.Equal(1, ValueOf(first, "peerd_facade_requests_total{facade=\"v2\",source=\"origin\",code=\"200\"}"));
        Assert.Equal(1, ValueOf(first, "peerd_facade_requests_total{facade=\"v2\",source=\"cache\",code=\"206\"}"));
        Assert.Equal(1, ValueOf(second, "peerd_facade_duration_seconds_count{facade=\"v2\",source=\"peer\"}"));
        Assert.Equal(1, ValueOf(second, "peerd_lookups_total{result=\"peers\"}"));
    }

    [Fact]
    public async Task Failed_NoSource_IsCounted()
    {
        await using var mesh = await TestMesh.StartAsync();
        mesh.Registry.AnswerWith(System.Net.HttpStatusCode.InternalServerError);

        var answer = await mesh.Node.GetAsync(TestMesh.NewSample(1000).Digest);

        Assert.True((int)answer.Status >= 500);
        Assert.Equal(1, ValueOf(await ReadAsync(mesh.Node), "peerd_facade_failed_total{facade=\"v2\"}"));
    }

    [Fact]
    public async Task Endpoint_Always_TellsOfTheRuntimeAndTheProcess()
    {
        await using var mesh = await TestMesh.StartAsync();

        var names = MetricsPage.Exported(await ReadAsync(mesh.Node)).Select(metric => metric.Split(' ')[0]).ToHashSet();

        Assert.Superset(new HashSet<string> { "dotnet_process_cpu_time_seconds_total", "dotnet_process_memory_working_set_bytes", "dotnet_gc_collections_total", "peerd_open_files" }, names);
    }

    private static async Task<string> ReadAsync(TestNode node)
    {
        // An answer is given again for 300 ms.
        await Task.Delay(TimeSpan.FromMilliseconds(400));
        using var client = new HttpClient();
        return await client.GetStringAsync(new Uri(node.Metrics, "/metrics/prometheus"));
    }

    private static double ValueOf(string page, string sample)
    {
        sample = sample.Replace("{", "{otel_scope_name=\"Peerd\",", StringComparison.Ordinal) + " ";
        var line = Assert.Single(page.Split('\n'), line => line.StartsWith(sample, StringComparison.Ordinal));
        return double.Parse(line[sample.Length..].Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture);
    }
}
