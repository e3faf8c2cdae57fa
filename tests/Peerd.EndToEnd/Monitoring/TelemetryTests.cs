using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Peerd.EndToEnd.Faults;
using Peerd.EndToEnd.Harness;
using Peerd.EndToEnd.Harness.Otlp;

namespace Peerd.EndToEnd.Monitoring;

/// <summary>What nodes send to a collector, and that they do without one that is of no use.</summary>
public sealed class TelemetryTests : LabTest
{
    private async Task RunWithoutCollectorAsync(bool isDead, string protocol)
    {
        // Bound, the port is nobody else's; the system takes connections only for a socket that listens.
        using var silent = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        silent.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        if (!isDead)
        {
            silent.Listen();
        }

        var (image, registry, nodes) = await PrepareAsync(seed: 304);
        var node = nodes[0];
        await node.StartAsync(With(node.Configure(nodes[..1], registry.Upstream), new Uri($"http://{silent.LocalEndPoint}"), protocol));
        using var client = new HttpClient { Timeout = PullTimeout };
        await PullAsync(node, registry, image.Layers[0], NewTrace());

        // Far more spans than may wait. Kept, at nearly a kilobyte each, they would be twice what is allowed; that is more than
        // what is in use, for what was let go of may not be collected yet.
        await AskManyTimesAsync(150_000);

        var heap = (await NodeMetrics.ReadAsync(node, null, CancellationToken.None)).Sum("dotnet_gc_last_collection_heap_size_bytes");
        Assert.InRange(heap, 1, 64 << 20);
        await PullAsync(node, registry, image.Layers[1], NewTrace());
        var started = Stopwatch.GetTimestamp();
        Assert.Equal(0, await node.Process.StopAsync(TimeSpan.FromSeconds(20)));
        Assert.InRange(Stopwatch.GetElapsedTime(started), TimeSpan.Zero, TimeSpan.FromSeconds(6));

        async Task AskManyTimesAsync(int times)
        {
            for (var i = 0; i < times; i++)
            {
                using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(node.Facade, "v2/"));
                request.Headers.TryAddWithoutValidation("traceparent", NewTrace().Header);
                using var answer = await client.SendAsync(request);
                Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            }
        }
    }

    private const string Secret = TestOutput.SecretMarker;

    // Logs have paths, which are no secrets by themselves; what is exported has none.
    private const string Hidden = "OnlyInLogs";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Pull_ThroughThreeNodes_IsOneTraceWithSpansOfAll()
    {
        await using var collector = await OtlpReceiver.StartAsync();
        var (image, registry, nodes) = await PrepareAsync(seed: 301);
        await Task.WhenAll(nodes.Select(node => node.StartAsync(With(node.Configure(nodes, registry.Upstream), collector.Grpc, "grpc"))));
        var layer = image.Layers[0];
        var owner = PeerdNode.FindOwner(nodes, layer.Digest);
        var (holder, reader) = (nodes.First(node => node != owner), nodes.Last(node => node != owner));
        var (cold, warm) = (NewTrace(), NewTrace());

        await PullAsync(holder, registry, layer, cold);
        await PullAsync(reader, registry, layer, warm);

        await Wait.UntilAsync(
            "the spans of all nodes have come", nodes[0].Process, () => Task.FromResult(Named(collector, cold, "download").Any() && Named(collector, warm, "download").Any() && Named(collector, warm, "serve").Any() && Named(collector, warm, "lookup").Count() == 2), Patience);
        Assert.Equal(
            new HashSet<string> { $"{holder.Name} facade v2", $"{holder.Name} download", $"{holder.Name} lookup", $"{owner.Name} lookup", $"{holder.Name} read", $"{holder.Name} origin" },
            Of(collector, cold).Select(span => $"{span.Node} {span.Span.Name}").ToHashSet());
        Assert.Equal(
            new HashSet<string> { $"{reader.Name} facade v2", $"{reader.Name} download", $"{reader.Name} lookup", $"{owner.Name} lookup", $"{reader.Name} fetch", $"{holder.Name} serve" },
            Of(collector, warm).Select(span => $"{span.Node} {span.Span.Name}").ToHashSet());

        // Each span but the first is a part of another of its trace.
        foreach (var trace in new[] { cold, warm })
        {
            var spans = Of(collector, trace).ToList();
            var ids = spans.Select(span => span.Id).Append(trace.Span).ToHashSet(StringComparer.Ordinal);
            Assert.Equal(spans.Count + 1, ids.Count);
            Assert.All(spans, span => Assert.Contains(span.Parent, ids));
            Assert.Equal(trace.Span, Assert.Single(spans, span => span.Span.Name == "facade v2").Parent);
        }
    }

    // Of many requests: for manifests, the configuration and layers.
    [Fact]
    public async Task Fetch_OfAnImage_IsOneTraceAcrossNodes()
    {
        await using var collector = await OtlpReceiver.StartAsync();
        var (image, registry, nodes) = await PrepareAsync(seed: 306);
        await Task.WhenAll(nodes.Select(node => node.StartAsync(With(node.Configure(nodes, registry.Upstream), collector.Grpc, "grpc"))));
        foreach (var node in nodes[..2])
        {
            await PeerdCommand.RunJsonAsync(Lab, "fetch", $"{registry.Name}/team/app:v1", "--facade", node.Facade.GetLeftPart(UriPartial.Authority), "--json");
        }

        // The manifests, the configuration and each layer at least.
        var requests = image.Layers.Count + 3;
        await Wait.UntilAsync(
            "the spans of both have come", nodes[0].Process, () => Task.FromResult(nodes[..2].All(node => OfFacade(node).Count() >= requests) && Served().Any()), Patience);
        var traces = nodes[..2].Select(node => Assert.Single(OfFacade(node).Distinct())).ToList();
        Assert.NotEqual(traces[0], traces[1]);
        Assert.All(Served(), span => Assert.NotEqual(nodes[1].Name, span.Node));

        IEnumerable<string> OfFacade(PeerdNode node) => collector.Spans.Where(span => span.Node == node.Name && span.Span.Name == "facade v2").Select(span => span.Trace);

        // What other nodes sent to the one that pulled later.
        IEnumerable<ReceivedSpan> Served() => collector.Spans.Where(span => span.Span.Name == "serve" && OfFacade(nodes[1]).Contains(span.Trace));
    }

    [Theory]
    [InlineData("grpc")]
    [InlineData("http")]
    public async Task Metrics_AfterAPull_ComeFromEachNode(string protocol)
    {
        await using var collector = await OtlpReceiver.StartAsync();
        var (image, registry, nodes) = await PrepareAsync(seed: 302);
        await Task.WhenAll(nodes.Select(node => node.StartAsync(With(node.Configure(nodes, registry.Upstream), protocol == "grpc" ? collector.Grpc : collector.Http, protocol))));

        var trace = NewTrace();
        await PullAsync(nodes[0], registry, image.Layers[0], trace);

        await Wait.UntilAsync("the bytes that were pulled are told", nodes[0].Process, () => Task.FromResult(Told(collector, nodes[0], "peerd.served") == image.Layers[0].Size), Patience);
        await Wait.UntilAsync("all nodes tell", nodes[0].Process, () => Task.FromResult(nodes.All(node => collector.Metrics.Any(told => told.Node == node.Name && told.Metric.Name == "peerd.ring.members"))), Patience);
        await Wait.UntilAsync("spans come, too", nodes[0].Process, () => Task.FromResult(Named(collector, trace, "facade v2").Any()), Patience);
    }

    // But the header that the collector asks for, which is documented as an environment variable.
    [Fact]
    public async Task Export_OfRequestsWithSecrets_HasNoneOfThem()
    {
        await using var collector = await OtlpReceiver.StartAsync();
        var (image, registry, nodes) = await PrepareAsync(seed: 303);
        var node = nodes[0];
        var configuration = With(node.Configure(nodes[..1], registry.Upstream), collector.Http, "http");
        configuration["Peerd"]!["Blobs"] = new JsonObject { ["Hosts"] = new JsonArray("http://127.0.0.1:9", registry.Endpoint.GetLeftPart(UriPartial.Authority)), ["AllowedNetworks"] = new JsonArray("127.0.0.0/8") };
        configuration["OTEL_EXPORTER_OTLP_HEADERS"] = "x-collector-key=open";
        await node.StartAsync(configuration);
        var trace = NewTrace();
        foreach (var target in new[]
        {
            $"v2/team/app/blobs/{image.Layers[0].Digest}?ns={registry.Name}&key={Secret}",
            $"v2/team/app/manifests/v1?ns={registry.Name}&key={Secret}",
            $"v2/team/app/manifests/nowhere?ns={registry.Name}&key={Secret}",
            $"blobs/{registry.Endpoint}v2/team/app/blobs/{image.Layers[0].Digest}?sig={Secret}",
            $"blobs/http://127.0.0.1:9/{Hidden}?sig={Secret}",
        })
        {
            using var client = new HttpClient { Timeout = PullTimeout };
            using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(node.Facade, target));
            request.Headers.TryAddWithoutValidation("traceparent", trace.Header);
            request.Headers.TryAddWithoutValidation("Authorization", $"Bearer {Secret}");
            request.Headers.TryAddWithoutValidation("Range", "bytes=0-99");
            using var answer = await client.SendAsync(request);
            await answer.Content.ReadAsByteArrayAsync();
        }

        await Wait.UntilAsync("all spans have come", node.Process, () => Task.FromResult(Of(collector, trace).Count(span => span.Span.Name.StartsWith("facade", StringComparison.Ordinal)) == 5), Patience);
        Assert.NotEmpty(collector.Metrics);
        Assert.NotEmpty(Named(collector, trace, "origin"));
        Assert.All(collector.Raw, sent => Assert.Equal("open", sent.Headers.GetValueOrDefault("x-collector-key")));
        foreach (var word in new[] { Secret, Hidden })
        {
            Assert.All(collector.Raw, sent => Assert.DoesNotContain(word, Encoding.Latin1.GetString(sent.Body) + string.Join(' ', sent.Headers.Values), StringComparison.OrdinalIgnoreCase));
        }
    }

    [Fact]
    public Task Collector_Silent_HarmsNothing() => RunWithoutCollectorAsync(isDead: false, "grpc");

    [Theory]
    [InlineData(true, "grpc")]
    [InlineData(false, "http")]
    [Trait(FaultTraits.Length, FaultTraits.Long)]
    public Task Collector_DeadOrSilent_HarmsNothing(bool isDead, string protocol) => RunWithoutCollectorAsync(isDead, protocol);

    [Fact]
    public async Task Stop_RightAfterAPull_SendsWhatIsLeft()
    {
        await using var collector = await OtlpReceiver.StartAsync();
        var (image, registry, nodes) = await PrepareAsync(seed: 305);
        var configuration = With(nodes[0].Configure(nodes[..1], registry.Upstream), collector.Grpc, "grpc");
        configuration["Peerd"]!["Telemetry"]!["MetricsInterval"] = "1h";
        await nodes[0].StartAsync(configuration);
        var trace = NewTrace();
        await PullAsync(nodes[0], registry, image.Layers[0], trace);

        Assert.Equal(0, await nodes[0].Process.StopAsync(TimeSpan.FromSeconds(20)));

        Assert.NotEmpty(Named(collector, trace, "facade v2"));
        Assert.NotEmpty(Named(collector, trace, "download"));
        Assert.Equal(image.Layers[0].Size, Told(collector, nodes[0], "peerd.served"));
    }

    private async Task<(TestImage Image, DockerRegistry Registry, PeerdNode[] Nodes)> PrepareAsync(int seed)
    {
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed, 3 << 20, 1 << 20);
        var registry = await DockerRegistry.StartAsync(Lab);
        await registry.PushAsync(image, "team/app", "v1");
        return (image, registry, PeerdNode.CreateMany(Lab, 3));
    }

    private static JsonObject With(JsonObject configuration, Uri collector, string protocol)
    {
        configuration["Peerd"]!["Telemetry"] = new JsonObject
        {
            ["OtlpEndpoint"] = collector.GetLeftPart(UriPartial.Authority),
            ["OtlpProtocol"] = protocol,
            ["SamplingRatio"] = "0",
            ["MetricsInterval"] = "1s",
        };
        return configuration;
    }

    private static async Task PullAsync(PeerdNode node, DockerRegistry registry, TestImage.Part layer, Trace trace)
    {
        using var client = new HttpClient { Timeout = PullTimeout };
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(node.Facade, $"v2/team/app/blobs/{layer.Digest}?ns={registry.Name}"));
        request.Headers.TryAddWithoutValidation("traceparent", trace.Header);
        using var answer = await client.SendAsync(request);
        Assert.Equal(layer.Size, (await answer.Content.ReadAsByteArrayAsync()).Length);
    }

    private static IEnumerable<ReceivedSpan> Of(OtlpReceiver collector, Trace trace) => collector.Spans.Where(span => span.Trace == trace.Id);

    private static IEnumerable<ReceivedSpan> Named(OtlpReceiver collector, Trace trace, string name) => Of(collector, trace).Where(span => span.Span.Name == name);

    /// <summary>The last value of a counter that a node has told, all attributes together.</summary>
    private static long Told(OtlpReceiver collector, PeerdNode node, string metric) =>
        collector.Metrics.LastOrDefault(told => told.Node == node.Name && told.Metric.Name == metric).Metric?.Sum?.DataPoints.Sum(point => point.AsInt) ?? 0;

    private static Trace NewTrace() => new(Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16)), Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8)));

    /// <summary>What a client of the nodes traces.</summary>
    private sealed record Trace(string Id, string Span)
    {
        public string Header => $"00-{Id}-{Span}-01";
    }
}
