using System.Net;
using System.Net.Sockets;
using Grpc.Health.V1;
using Grpc.Net.Client;
using Peerd.Contracts.V1;
using Peerd.Node.Hosting;
using Peerd.Node.Mesh;

namespace Peerd.Tests.Hosting;

/// <summary>Listeners at <c>[::]</c>: on every address of the machine, of both families.</summary>
public sealed class EveryAddressTests
{
    private const int MiB = 1024 * 1024;

    private static readonly IPAddress[] Families = [IPAddress.Loopback, IPAddress.IPv6Loopback];

    private static string[] Listening(bool isShared) => ["--Peerd:Mesh:Listen=[::]:0", "--Peerd:Metrics:Listen=[::]:0", $"--Peerd:Handover:Enabled={isShared}"];

    [Theory]
    [InlineData("127.0.0.1", true)]
    [InlineData("127.0.0.1", false)]
    [InlineData("::1", true)]
    [InlineData("::1", false)]
    public async Task Mesh_MembersOfEitherFamily_ReadFromEachOther(string address, bool isShared)
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2, settings: Listening(isShared), reachedAt: IPAddress.Parse(address));
        var sample = mesh.BlobOwnedBy(MiB, "node-1");

        (await mesh.Nodes[0].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        (await mesh.Nodes[1].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        Assert.Equal(MiB, mesh.Nodes[1].Get<MeshMetrics>().ReceivedBytes);
        Assert.DoesNotContain(mesh.Node.Logs.GetSnapshot(), record => record.Message.Contains("no IPv6", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Node_CallersOfBothFamilies_AreAnswered(bool isShared)
    {
        await using var mesh = await TestMesh.StartAsync(settings: Listening(isShared), reachedAt: IPAddress.Loopback);
        using var client = new HttpClient();
        await Wait.UntilAsync(async () => (await client.GetAsync(new Uri($"http://127.0.0.1:{mesh.Node.Metrics.Port}/readyz"))).IsSuccessStatusCode, "the node is ready");

        foreach (var family in Families)
        {
            using var channel = GrpcChannel.ForAddress($"http://{new IPEndPoint(family, mesh.Node.MeshEndPoint.Port)}");
            Assert.Equal("node-1", (await new NodeService.NodeServiceClient(channel).GetStatusAsync(new GetStatusRequest())).Node);
            Assert.Equal(HealthCheckResponse.Types.ServingStatus.Serving, (await new Health.HealthClient(channel).CheckAsync(new HealthCheckRequest())).Status);
            foreach (var path in (string[])["healthz", "readyz", "metrics/prometheus"])
            {
                using var answer = await client.GetAsync(new Uri($"http://{new IPEndPoint(family, mesh.Node.Metrics.Port)}/{path}"));
                Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            }
        }
    }

    [Theory]
    [InlineData(SocketError.AddressFamilyNotSupported)]
    [InlineData(SocketError.ProtocolFamilyNotSupported)]
    [InlineData(SocketError.AddressNotAvailable)]
    public void Bind_MachineWithoutIPv6_TakesAllAddressesOfIPv4(SocketError error)
    {
        var told = new List<SocketError>();

        using var socket = EveryAddress.Bind(new IPEndPoint(IPAddress.IPv6Any, 0), WithoutIPv6(error), told.Add);

        Assert.Equal(IPAddress.Any, ((IPEndPoint)socket.LocalEndPoint!).Address);
        Assert.Equal([error], told);
    }

    // Whoever asks for one address means that one, and a port that is taken is so in either family.
    [Theory]
    [InlineData("::1", SocketError.AddressNotAvailable)]
    [InlineData("::1", SocketError.AddressFamilyNotSupported)]
    [InlineData("::", SocketError.AddressAlreadyInUse)]
    [InlineData("::", SocketError.AccessDenied)]
    public void Bind_AnyOtherFailure_IsTold(string address, SocketError error)
    {
        var told = new List<SocketError>();

        var thrown = Assert.Throws<SocketException>(() => EveryAddress.Bind(new IPEndPoint(IPAddress.Parse(address), 0), WithoutIPv6(error), told.Add));

        Assert.Equal(error, thrown.SocketErrorCode);
        Assert.Empty(told);
    }

    private static Func<IPEndPoint, Socket> WithoutIPv6(SocketError error) =>
        endPoint => endPoint.AddressFamily == AddressFamily.InterNetworkV6 ? throw new SocketException((int)error) : SharedPort.Bind(endPoint);
}
