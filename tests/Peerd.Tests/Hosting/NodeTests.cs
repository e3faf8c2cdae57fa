using System.Net;
using System.Text.Json;
using Grpc.Core;
using Grpc.Health.V1;
using Grpc.Reflection.V1Alpha;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Hosting;
using Peerd.Node.Ring;
using Peerd.Tests.Content;
using Peerd.Tests.Origin;

namespace Peerd.Tests.Hosting;

/// <summary>A node as its operator sees it.</summary>
public sealed class NodeTests
{
    private const int MiB = 1024 * 1024;

    [Fact]
    public async Task GetStatus_AfterAPull_TellsTheNumbers()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.BlobOwnedBy(MiB + 5, mesh.Nodes[0].Name);
        (await mesh.Nodes[0].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        (await mesh.Nodes[1].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        await Wait.UntilAsync(() => mesh.Nodes.TrueForAll(node => node.Downloads.Count == 0), "all downloads have ended");
        await Wait.UntilAsync(() => Client(mesh.Nodes[1]).GetStatus(new GetStatusRequest()).ConnectedPeers == 1, "the streams are up");

        var first = await Client(mesh.Nodes[0]).GetStatusAsync(new GetStatusRequest());
        var second = await Client(mesh.Nodes[1]).GetStatusAsync(new GetStatusRequest());

        Assert.Equal(("node-1", 2, 1, 0), (first.Node, first.Members, first.Contents, first.Downloads));
        Assert.Equal((sample.Bytes.Length, 0, sample.Bytes.Length), (first.OriginBytes, first.PeerReceivedBytes, first.PeerSentBytes));
        Assert.Equal((0, sample.Bytes.Length, 0), (second.OriginBytes, second.PeerReceivedBytes, second.PeerSentBytes));
        Assert.Equal(first.RingVersion, second.RingVersion);
        Assert.Equal(1, first.DirectoryContents);
        Assert.True(first.CacheWritable);
        Assert.InRange(first.CacheBytes, sample.Bytes.Length, sample.Bytes.Length * 2);
        Assert.Equal(20L << 30, first.CacheCapacityBytes);
        Assert.NotEmpty(first.Version);
    }

    [Fact]
    public async Task GetStatus_BlobsAreRefusedOrNotShared_TellsOfWhichHosts()
    {
        await using var mesh = await TestMesh.StartAsync();
        var digest = TestMesh.NewSample(10).Digest;
        foreach (var host in new[] { "https://other.test:444", "https://evil.test", "https://evil.test", "https://nobody.blob.core.windows.net:1" })
        {
            Assert.Equal(403, (await BlobClient.ReadAsync(mesh.Node, $"{host}/v2/r/blobs/{digest}?sig=S3cret", "bytes=0-0")).Status);
        }

        // The range is none, so that nobody goes there.
        Assert.Equal(416, (await BlobClient.ReadAsync(mesh.Node, $"https://storage.googleapis.com/bucket/containers/images/{digest}?sig=S3cret", "bytes=a-b")).Status);
        foreach (var url in new[]
        {
            $"https://account.blob.core.windows.net/v2/r/blobs/{digest}",
            $"https://other.blob.core.windows.net/docker/registry/v2/blobs/sha256/{digest.Hex[..2]}/{digest.Hex}/data?comp=blocklist",
            $"https://quay.io/r/blobs/{digest}",
            $"https://quay.io/other/blobs/{digest}",
            "https://europe-docker.pkg.dev/artifacts-downloads/S3cret",
            "https://cdn01.quay.io/S3cret",
            $"https://ghcr.io/v2/r/blobs/{digest}",
            $"https://shared.blob.core.windows.net/docker/registry/v2/blobs/sha256/{digest.Hex[..2]}/{digest.Hex}/data",
        })
        {
            Assert.Equal((url, 416), (url, (await BlobClient.ReadAsync(mesh.Node, url, "bytes=a-b")).Status));
        }

        var status = await Client(mesh.Node).GetStatusAsync(new GetStatusRequest());

        Assert.Equal(["evil.test", "nobody.blob.core.windows.net:1", "other.test:444"], status.RefusedBlobHosts);
        Assert.Equal(["storage.googleapis.com"], status.UnsharedBlobHosts);
        Assert.Equal(["account.blob.core.windows.net", "cdn01.quay.io", "europe-docker.pkg.dev", "other.blob.core.windows.net", "quay.io"], status.UnsharedUrlHosts);

        // Once each, with what is wrong, and nothing of a path that may be secret.
        string[] told = [.. mesh.Node.Logs.GetSnapshot().Where(record => record.Level == LogLevel.Warning).Select(record => record.Message)];
        Assert.Equal(5, told.Count(message => message.StartsWith("Some blobs of ", StringComparison.Ordinal)));
        Assert.Contains(told, message => message.Contains("https://quay.io ", StringComparison.Ordinal) && message.Contains("/v2/<name>/blobs/<digest>", StringComparison.Ordinal));
        Assert.Contains(told, message => message.Contains("https://other.blob.core.windows.net ", StringComparison.Ordinal) && message.Contains("comp", StringComparison.Ordinal));
        Assert.DoesNotContain(told, message => message.Contains("S3cret", StringComparison.Ordinal));
    }

    [Fact]
    public async Task GetRing_OfADigest_TellsMembersAndWhoIsResponsible()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 3);
        var sample = mesh.BlobOwnedBy(10, "node-3", "node-1");

        var ring = await Client(mesh.Node).GetRingAsync(new GetRingRequest { Digest = sample.Digest.ToString() });

        Assert.Equal(["node-1", "node-2", "node-3"], ring.Members.Select(member => member.Node));
        Assert.Equal(mesh.Nodes.Select(node => node.MeshEndPoint.ToString()), ring.Members.Select(member => member.Address));
        Assert.Equal(["node-3", "node-1"], ring.Responsible);
        var refused = await Assert.ThrowsAsync<RpcException>(async () => await Client(mesh.Node).GetRingAsync(new GetRingRequest { Digest = "nonsense" }));
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
    }

    [Fact]
    public async Task ListPeers_AfterAPull_CountsBytesOnBothEnds()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2, dead: 1);
        var sample = mesh.BlobOwnedBy(MiB, "node-1");
        (await mesh.Nodes[0].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        (await mesh.Nodes[1].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        var first = await Client(mesh.Nodes[0]).ListPeersAsync(new ListPeersRequest());
        var second = await Client(mesh.Nodes[1]).ListPeersAsync(new ListPeersRequest());

        Assert.Equal([("dead-1", 0L), ("node-2", MiB)], first.Peers.Select(peer => (peer.Node, peer.SentBytes)));
        Assert.Equal([("dead-1", 0L), ("node-1", MiB)], second.Peers.Select(peer => (peer.Node, peer.ReceivedBytes)));
        Assert.False(second.Peers[0].Connected);
    }

    [Fact]
    public async Task Probes_OfARunningNode_Answer()
    {
        await using var mesh = await TestMesh.StartAsync();

        Assert.Equal(HttpStatusCode.OK, await mesh.Node.ProbeAsync("/healthz"));
        await mesh.Node.WaitUntilReadyAsync();
        Assert.Equal(HttpStatusCode.NotFound, await mesh.Node.ProbeAsync("/v2/"));
        var health = await new Health.HealthClient(mesh.Node.Channel).CheckAsync(new HealthCheckRequest());
        Assert.Equal(HealthCheckResponse.Types.ServingStatus.Serving, health.Status);
    }

    [Fact]
    public async Task Probes_OfANodeWithoutARing_TellThatItWouldNotServe()
    {
        await using var mesh = await TestMesh.StartAsync();
        mesh.Leave(mesh.Node.Name);
        await mesh.Node.WaitForMembersAsync(0);

        Assert.Equal(HttpStatusCode.OK, await mesh.Node.ProbeAsync("/healthz"));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await mesh.Node.ProbeAsync("/readyz"));
        var health = await new Health.HealthClient(mesh.Node.Channel).CheckAsync(new HealthCheckRequest());
        Assert.Equal(HealthCheckResponse.Types.ServingStatus.NotServing, health.Status);
    }

    [Theory]
    [InlineData("peerd_peer_received_bytes_total")]
    [InlineData("peerd_peer_sent_bytes_total")]
    [InlineData("peerd_peer_ranges_total")]
    [InlineData("peerd_origin_bytes_total")]
    [InlineData("peerd_origin_requests_total")]
    [InlineData("peerd_cache_bytes")]
    [InlineData("peerd_cache_capacity_bytes")]
    public async Task Metrics_AfterAPull_HaveThisOne(string name)
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.BlobOwnedBy(MiB, "node-1");
        (await mesh.Nodes[0].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        (await mesh.Nodes[1].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        using var client = new HttpClient();

        var texts = await Task.WhenAll(mesh.Nodes.Select(node => client.GetStringAsync(new Uri(node.Metrics, "/metrics/prometheus"))));

        Assert.Contains(texts, text => text.Split('\n').Any(line => line.StartsWith(name + "{", StringComparison.Ordinal)));
        Assert.DoesNotContain(texts, text => text.Contains(sample.Digest.ToString(), StringComparison.Ordinal) || text.Contains("node-1", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Reflection_ListServices_NamesAll()
    {
        await using var mesh = await TestMesh.StartAsync();
        using var call = new ServerReflection.ServerReflectionClient(mesh.Node.Channel).ServerReflectionInfo();
        await call.RequestStream.WriteAsync(new ServerReflectionRequest { ListServices = string.Empty });
        await call.RequestStream.WriteAsync(new ServerReflectionRequest { FileContainingSymbol = "peerd.v1.PeerService" });

        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None));
        var names = call.ResponseStream.Current.ListServicesResponse.Service.Select(service => service.Name).ToList();
        Assert.Contains("peerd.v1.PeerService", names);
        Assert.Contains("peerd.v1.NodeService", names);
        Assert.Contains("grpc.health.v1.Health", names);
        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None));
        Assert.NotEmpty(call.ResponseStream.Current.FileDescriptorResponse.FileDescriptorProto);
    }

    [Fact]
    public async Task Facade_OnOtherListeners_IsNotServed()
    {
        await using var mesh = await TestMesh.StartAsync();
        using var client = new HttpClient { DefaultRequestVersion = HttpVersion.Version20, DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact };

        using var overMesh = await client.GetAsync(new Uri($"http://{mesh.Node.MeshEndPoint}/v2/"));
        using var metricsOverFacade = await mesh.Node.Client.GetAsync("/metrics/prometheus");

        Assert.Equal(HttpStatusCode.NotFound, overMesh.StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, metricsOverFacade.StatusCode);
    }

    [Fact]
    public async Task Configuration_FileChanges_NewMemberJoinsWithoutRestart()
    {
        var folder = Directory.CreateTempSubdirectory("peerd-config-");
        await using var registry = await FakeRegistry.StartAsync();
        var nodes = new List<TestNode>();
        try
        {
            for (var i = 1; i <= 3; i++)
            {
                var file = new FileInfo(Path.Combine(folder.FullName, $"node-{i}.json"));
                await File.WriteAllTextAsync(file.FullName, "{}");
                nodes.Add(await TestNode.StartAsync(
                    $"node-{i}",
                    [$"--Peerd:Cache:Directory={Path.Combine(folder.FullName, $"cache-{i}")}", $"--Peerd:Origin:Registries:0:Endpoint={registry.Url}"],
                    file,
                    _ => { }));
            }

            await ListAsync(2);
            await Task.WhenAll(nodes.Take(2).Select(node => node.WaitForMembersAsync(2)));
            var sample = TestMesh.NewSample(MiB);
            registry.AddBlob(sample.Bytes);
            (await nodes[0].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

            await ListAsync(3);
            await Task.WhenAll(nodes.Select(node => node.WaitForMembersAsync(3)));

            // Whoever is responsible now has been told who holds it.
            var owner = nodes.Single(node => node.Name == OwnerOf(nodes[0].Get<RingSource>().Current, sample.Digest));
            await Wait.UntilAsync(() => owner.Directory.Find(sample.Digest, "node-1") is { Complete: true }, "the owner knows the holder");
            (await nodes[2].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
            Assert.Equal(MiB, registry.BytesOf(sample.Digest));

            // A broken file changes nothing.
            var configuration = nodes[0].Get<IConfiguration>();
            var isRead = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            using (configuration.GetReloadToken().RegisterChangeCallback(_ => isRead.TrySetResult(), null))
            {
                await File.WriteAllTextAsync(Path.Combine(folder.FullName, "node-1.json"), "{ broken");
                await isRead.Task.WaitAsync(Wait.Longest);
            }

            Assert.Equal("node-3", configuration["Peerd:Membership:Members:2:Name"]);
            (await nodes[0].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        }
        finally
        {
            foreach (var node in nodes)
            {
                await node.DisposeAsync();
            }

            folder.Delete(recursive: true);
        }

        static string OwnerOf(HashRing ring, Digest digest)
        {
            Span<int> found = stackalloc int[1];
            ring.FindResponsible(digest, found);
            return ring[found[0]].Name;
        }

        async Task ListAsync(int count)
        {
            var members = nodes.Take(count).Select(node => new Dictionary<string, string> { ["Name"] = node.Name, ["Address"] = node.MeshEndPoint.ToString() });
            var text = JsonSerializer.Serialize(new { Peerd = new { Membership = new { Members = members } } });
            for (var i = 1; i <= count; i++)
            {
                await File.WriteAllTextAsync(Path.Combine(folder.FullName, $"node-{i}.json"), text);
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Stop_DuringAPull_EndsWithinTenSeconds(bool isPeer)
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.BlobOwnedBy(4 * MiB, "node-1");
        using var held = mesh.Registry.HoldBodies();
        var pulls = mesh.Nodes.ConvertAll(node => node.GetAsync(sample.Digest));
        await Wait.UntilAsync(() => mesh.Nodes.TrueForAll(node => node.Cache.TryPeek(sample.Digest, out var content) && content.HoldsSomething), "both pulls have begun");

        await mesh.Nodes[isPeer ? 1 : 0].StopAsync().WaitAsync(TimeSpan.FromSeconds(10));

        held.Dispose();
        (await pulls[isPeer ? 0 : 1]).ShouldBe(sample.Bytes);
        var stopped = await pulls[isPeer ? 1 : 0];
        Assert.False(stopped.IsComplete && stopped.Bytes.Length != sample.Bytes.Length);
        Assert.Equal(stopped.Bytes.Length, sample.Bytes.AsSpan().CommonPrefixLength(stopped.Bytes));
    }

    [Fact]
    public async Task Stop_WithOpenStreams_TellsReadinessFirstAndEnds()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 3, peers: 1, silent: 1);
        var samples = Enumerable.Range(0, 8).Select(_ => mesh.Blob(100_000)).ToList();
        await Task.WhenAll(mesh.Nodes.Select(node => Task.WhenAll(samples.Select(async sample => (await node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes)))));
        using var idle = new Peerd.Tests.Mesh.RangeClient(mesh.Node);
        await idle.AskAsync(1, samples[0].Digest);
        await idle.ReadAsync(1);

        // What a download has told of itself on its way outlives the stop for a while, unless the node has told of the whole after that.
        var node = mesh.Node;
        var ring = node.Get<RingSource>().Current;
        await Wait.UntilAsync(
            () => node.Downloads.Count == 0 && mesh.Nodes.Skip(1).All(other => samples.TrueForAll(sample =>
                !ring.IsResponsible(sample.Digest, other.Name, ProtocolConstants.Replicas) || other.Directory.Find(sample.Digest, node.Name) is { Complete: true })),
            "the others know what it holds");

        // The host does this first, and closes the listeners after it.
        await node.Get<Handover>().StoppingAsync(TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await node.ProbeAsync("/readyz"));
        Assert.Equal(HttpStatusCode.OK, await node.ProbeAsync("/healthz"));
        Assert.Equal(HealthStatus.Unhealthy, (await node.Get<HealthCheckService>().CheckHealthAsync()).Status);

        await node.StopAsync().WaitAsync(TimeSpan.FromSeconds(10));

        Assert.All(mesh.Nodes.Skip(1), other => Assert.All(samples, sample => Assert.Null(other.Directory.Find(sample.Digest, node.Name))));
    }

    private static NodeService.NodeServiceClient Client(TestNode node) => new(node.Channel);
}
