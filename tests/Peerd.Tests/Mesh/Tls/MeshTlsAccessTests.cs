using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Authentication;
using Google.Protobuf.Reflection;
using Grpc.Core;
using Grpc.Health.V1;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.EndToEnd.Harness;
using Peerd.Node.Mesh;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Mesh.Tls;

/// <summary>Who gets an answer from a mesh with TLS, and whom its nodes believe.</summary>
public sealed class MeshTlsAccessTests
{
    private const int MiB = 1 << 20;

    private static readonly Digest Content = Digest.OfSha256("content"u8);

    private static readonly ServiceDescriptor[] Services =
        [PeerService.Descriptor, NodeService.Descriptor, Health.Descriptor, Grpc.Reflection.V1Alpha.ServerReflection.Descriptor, Grpc.Reflection.V1.ServerReflection.Descriptor];

    [Theory]
    [InlineData("node")]
    [InlineData("member")]
    public async Task Pull_ThreeNodes_ReadFromEachOther(string names)
    {
        await using var mesh = await TlsMesh.StartAsync(nodes: 3, names);
        var sample = mesh.Mesh.BlobOwnedBy((4 * MiB) + 5, "node-1", "node-2");

        foreach (var node in mesh.Mesh.Nodes)
        {
            (await node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        }

        var bytes = mesh.Mesh.Nodes.Sum(node => node.Get<MeshMetrics>().ReceivedBytes);
        Assert.Equal(2 * sample.Bytes.Length, bytes);
        Assert.Equal(sample.Bytes.Length, mesh.Mesh.Nodes.Sum(node => node.Get<Peerd.Node.Origin.OriginMetrics>().ReadBytes));
    }

    [Theory]
    [InlineData("member", HttpStatusCode.OK)]
    [InlineData("none", null)]
    [InlineData("foreign", null)]
    [InlineData("expired", null)]
    [InlineData("not yet", null)]
    [InlineData("of servers only", null)]
    [InlineData("other mesh", null)]
    [InlineData("wildcard", null)]
    [InlineData("no name", null)]
    [InlineData("shared", null)]
    [InlineData("TLS 1.2", null)]
    [InlineData("clear text", null)]
    public async Task AnyMethod_OfACaller_AnswersMembersOnly(string kind, HttpStatusCode? expected)
    {
        await using var mesh = await TlsMesh.StartAsync();
        using var foreign = new MeshAuthority();
        using var certificate = kind switch
        {
            "none" => null,
            "foreign" => foreign.Issue("node-1.peerd.mesh"),
            "expired" => mesh.Authority.Issue(TimeSpan.FromDays(-2), TimeSpan.FromMinutes(-1), "node-1.peerd.mesh"),
            "not yet" => mesh.Authority.Issue(TimeSpan.FromMinutes(10), TimeSpan.FromDays(2), "node-1.peerd.mesh"),
            "of servers only" => mesh.Authority.Issue([MeshAuthority.ServerAuthentication], "node-1.peerd.mesh"),
            "other mesh" => mesh.Authority.Issue("node-1.other.mesh", "node-1.peerd.mesh.evil", "xpeerd.mesh"),
            "wildcard" => mesh.Authority.Issue("*.peerd.mesh"),
            "no name" => mesh.Authority.Issue(),
            "shared" => mesh.Authority.Issue("peerd.mesh"),
            _ => mesh.Authority.Issue("node-1.peerd.mesh"),
        };
        using var client = TlsMesh.Stranger(certificate, kind == "TLS 1.2" ? SslProtocols.Tls12 : SslProtocols.None);
        var methods = Services.SelectMany(service => service.Methods).ToList();

        Assert.Equal(10, methods.Count);
        foreach (var method in methods)
        {
            Assert.Equal((method.FullName, expected), (method.FullName, await StatusAsync(client, kind == "clear text" ? "http" : "https", mesh.Node, method)));
        }
    }

    // The certificate is good for another hour.
    [Fact]
    public async Task AnyMethod_OfACallerWhoseAuthorityHasExpired_IsRefused()
    {
        using var expired = new MeshAuthority(until: TimeSpan.FromMinutes(-1));
        await using var mesh = await TlsMesh.StartAsync(settings: ["--Peerd:Mesh:Tls:Reload=100ms"]);
        MeshAuthority.Write(mesh.FolderOf("node-1"), mesh.Authority.Issue("node-1.peerd.mesh"), mesh.Authority.Pem + expired.Pem);
        mesh.Node.Get<Peerd.Node.Mesh.Tls.MeshTls>().Refresh();
        var method = NodeService.Descriptor.FindMethodByName("GetStatus");
        using var good = mesh.Authority.Issue("node-1.peerd.mesh");
        using var bad = expired.Issue("node-1.peerd.mesh");
        using var member = TlsMesh.Stranger(good);
        using var caller = TlsMesh.Stranger(bad);

        Assert.Equal(HttpStatusCode.OK, await StatusAsync(member, "https", mesh.Node, method));
        Assert.Null(await StatusAsync(caller, "https", mesh.Node, method));
    }

    [Theory]
    [InlineData("peerd.mesh", true)]
    [InlineData("any.thing.peerd.mesh", true)]
    [InlineData("other.mesh", false)]
    public async Task AnyMethod_CertificatesOfMembers_NeedNoNameOfANode(string name, bool expected)
    {
        await using var mesh = await TlsMesh.StartAsync(names: "member");
        using var certificate = mesh.Authority.Issue(name);
        using var client = TlsMesh.Stranger(certificate);

        Assert.Equal(expected, await StatusAsync(client, "https", mesh.Node, NodeService.Descriptor.FindMethodByName("GetStatus")) == HttpStatusCode.OK);
    }

    [Fact]
    public async Task Caller_SaysThatHeIsAnother_IsRefused()
    {
        await using var mesh = await TlsMesh.StartAsync();
        using var channel = TlsMesh.Channel(mesh.Node, mesh.MemberTls("node-2"), "node-1");
        var client = new PeerService.PeerServiceClient(channel);

        Assert.Equal(StatusCode.OK, await AnnounceAsync(client, "node-2"));
        Assert.Equal(StatusCode.PermissionDenied, await AnnounceAsync(client, "node-3"));
        Assert.Equal(StatusCode.OK, await LookupAsync(client, "node-2"));
        Assert.Equal(StatusCode.PermissionDenied, await LookupAsync(client, "node-3"));
        Assert.Equal(StatusCode.PermissionDenied, await LookupAsync(client, "node-2", "node-3"));
        Assert.Equal(StatusCode.OK, await FetchAsync(client, "node-2"));
        Assert.Equal(StatusCode.OK, await FetchAsync(client, null));
        Assert.Equal(StatusCode.PermissionDenied, await FetchAsync(client, "node-3"));
        Assert.Null(mesh.Node.Directory.Find(Content, "node-3"));
    }

    [Fact]
    public async Task Caller_WithTheCertificateOfAllMembers_MaySayWhatHeWants()
    {
        await using var mesh = await TlsMesh.StartAsync(names: "member");
        using var channel = TlsMesh.Channel(mesh.Node, mesh.MemberTls("node-2", "member"), "node-9");

        Assert.Equal(StatusCode.OK, await AnnounceAsync(new PeerService.PeerServiceClient(channel), "node-3"));
    }

    [Theory]
    [InlineData("node-1", true)]
    [InlineData("node-2", false)]
    public async Task Peer_AtTheAddressOfAnother_IsNotRead(string meant, bool isAsked)
    {
        await using var mesh = await TlsMesh.StartAsync();
        using var peer = new Peerd.Node.Mesh.Peer(
            new Peerd.Node.Membership.Member(meant, new DnsEndPoint("127.0.0.1", mesh.Node.MeshEndPoint.Port), string.Empty),
            "node-3",
            new MeshOptions(),
            new PeerTraffic.Counters(),
            mesh.Node.Get<MeshMetrics>(),
            mesh.MemberTls("node-3"),
            TimeProvider.System);
        var sample = TestMesh.NewSample(1000);

        var outcome = await peer.FetchAsync(new RangeRequest(sample.Digest, sample.Layout, sample.Layout.Segment(0)), new NoSink(), CancellationToken.None);

        Assert.Equal(isAsked ? RangeOutcomeKind.NotHeld : RangeOutcomeKind.Failed, outcome.Kind);
        Assert.Equal(!isAsked, outcome.Error.Contains("it lacks the DNS name node-2.peerd.mesh", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Node_OfAForeignAuthority_IsNotRead()
    {
        await using var mesh = await TlsMesh.StartAsync();
        using var foreign = new MeshAuthority();
        foreign.Write(mesh.FolderOf("stranger"), "stranger.peerd.mesh");
        using var channel = TlsMesh.Channel(mesh.Node, TlsMesh.Tls(mesh.FolderOf("stranger")));

        var thrown = await Assert.ThrowsAsync<RpcException>(async () => await new NodeService.NodeServiceClient(channel).GetStatusAsync(new GetStatusRequest()));

        Assert.Contains("does not lead to the authority of the mesh", thrown.Status.DebugException!.GetBaseException().Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Stranger_Refused_IsCountedAndLoggedOnce()
    {
        await using var mesh = await TlsMesh.StartAsync();
        using var metrics = new HttpClient();
        for (var i = 0; i < 3; i++)
        {
            using var client = TlsMesh.Stranger(certificate: null);
            Assert.Null(await StatusAsync(client, "https", mesh.Node, NodeService.Descriptor.FindMethodByName("GetStatus")));
        }

        var text = await metrics.GetStringAsync(new Uri(mesh.Node.Metrics, "/metrics/prometheus"));
        var lines = text.Split('\n').Where(line => line.StartsWith("peerd_mesh_tls_refused_total{", StringComparison.Ordinal) && line.Contains("side=\"caller\"", StringComparison.Ordinal));

        // Clients may try more than once. Other nodes of this process may be in the text, too.
        Assert.Contains(lines, line => int.Parse(line.Split("} ")[1].Split(' ')[0], CultureInfo.InvariantCulture) >= 3);
        Assert.Single(mesh.Node.Logs.GetSnapshot(), record => record.Message.Contains("The certificate of a caller was refused: there is none", StringComparison.Ordinal));
    }

    // Probes have no certificate.
    [Fact]
    public async Task Probes_WithoutACertificate_AreAnswered()
    {
        await using var mesh = await TlsMesh.StartAsync();

        Assert.Equal(HttpStatusCode.OK, await mesh.Node.ProbeAsync("/healthz"));
        await mesh.Node.WaitUntilReadyAsync();
    }

    [Fact]
    public async Task Start_InClearText_WarnsOnce()
    {
        await using var open = await TestMesh.StartAsync(settings: ["--Peerd:Mesh:Listen=0.0.0.0:0"]);
        await using var closed = await TlsMesh.StartAsync(settings: ["--Peerd:Mesh:Listen=0.0.0.0:0"]);

        Assert.Single(open.Node.Logs.GetSnapshot(), record => record.Message.StartsWith("The mesh speaks in clear text", StringComparison.Ordinal));
        Assert.DoesNotContain(closed.Node.Logs.GetSnapshot(), record => record.Message.StartsWith("The mesh speaks in clear text", StringComparison.Ordinal));
    }

    /// <summary>The answer to an empty message; null when there is none.</summary>
    private static async Task<HttpStatusCode?> StatusAsync(HttpClient client, string scheme, TestNode node, MethodDescriptor method)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"{scheme}://{node.MeshEndPoint}/{method.Service.FullName}/{method.Name}")
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent(new byte[5]) { Headers = { ContentType = new MediaTypeHeaderValue("application/grpc") } },
        };
        request.Headers.TryAddWithoutValidation("te", "trailers");
        try
        {
            using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
            return response.StatusCode;
        }
        catch (HttpRequestException)
        {
            return null;
        }
    }

    private static async Task<StatusCode> AnnounceAsync(PeerService.PeerServiceClient client, string node)
    {
        using var call = client.Announce();
        return await FirstAsync(call, new AnnounceRequest { Sequence = 1, Member = new Member { Node = node, Incarnation = 1 }, Contents = { new Availability { Digest = Content.ToString(), Size = 7, Complete = true } } });
    }

    /// <param name="client">Caller.</param>
    /// <param name="nodes">Who he says he is, in one message after the other.</param>
    private static async Task<StatusCode> LookupAsync(PeerService.PeerServiceClient client, params string[] nodes)
    {
        using var call = client.Lookup();
        try
        {
            foreach (var node in nodes)
            {
                await call.RequestStream.WriteAsync(new LookupRequest { Want = new Want { Member = new Member { Node = node, Incarnation = 1 }, Digest = Content.ToString(), Size = 7, CanReachOrigin = true } });
            }

            await call.RequestStream.CompleteAsync();
            await foreach (var response in call.ResponseStream.ReadAllAsync())
            {
                _ = response;
            }

            return StatusCode.OK;
        }
        catch (RpcException e)
        {
            return e.StatusCode;
        }
    }

    private static async Task<StatusCode> FetchAsync(PeerService.PeerServiceClient client, string? node)
    {
        using var call = client.FetchRange(node is null ? [] : new Metadata { { PeerServer.NodeHeader, node } });
        return await FirstAsync(call, new FetchRangeRequest { Range = new FetchRange { Id = 1, Digest = Content.ToString() } });
    }

    private static async Task<StatusCode> FirstAsync<TRequest, TResponse>(AsyncDuplexStreamingCall<TRequest, TResponse> call, TRequest request)
    {
        try
        {
            await call.RequestStream.WriteAsync(request);
        }
        catch (RpcException)
        {
            // The call may be over before that; the answer says why.
        }

        try
        {
            Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None));
            return StatusCode.OK;
        }
        catch (RpcException e)
        {
            return e.StatusCode;
        }
    }

    private sealed class NoSink : IRangeSink
    {
        public bool Accept(int frame, ReadOnlySpan<byte> data, ulong checksum) => throw new InvalidOperationException("there is nothing to be read");

        public void Told(string mediaType)
        {
        }

        public void Waiting()
        {
        }
    }
}
