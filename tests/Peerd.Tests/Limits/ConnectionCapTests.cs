using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Peerd.Node.Limits;
using Peerd.Node.Membership;
using Peerd.Node.Ring;
using Peerd.Tests.Hosting;
using Peerd.Tests.Membership;

namespace Peerd.Tests.Limits;

/// <summary>Connections without end, to each listener that others reach.</summary>
public sealed class ConnectionCapTests
{
    private static readonly IPAddress Greedy = IPAddress.Parse("10.0.0.1");
    private static readonly IPAddress Modest = IPAddress.Parse("10.0.0.2");

    [Fact]
    public void TryEnter_OneAddressWantsEverything_OthersStillComeIn()
    {
        var cap = new ConnectionCap(total: 10, perAddress: 4, perNetwork: 4, CallerAddress.Network);

        var places = Enumerable.Range(0, 100).Select(_ => cap.TryEnter(Greedy)).OfType<ConnectionCap.Place>().ToList();
        Assert.Equal(4, places.Count);
        Assert.NotNull(cap.TryEnter(Modest));
        Assert.Equal(5, cap.Open);

        cap.Leave(places[0]);
        Assert.NotNull(cap.TryEnter(Greedy));
        Assert.Null(cap.TryEnter(Greedy));
    }

    [Fact]
    public void TryEnter_ThisMachine_IsHeldToTheTotalOnly()
    {
        var cap = new ConnectionCap(total: 10, perAddress: 4, perNetwork: 4, CallerAddress.Network);

        Assert.Equal(10, Enumerable.Range(0, 100).Count(_ => cap.TryEnter(IPAddress.Loopback) is not null));
        Assert.Null(cap.TryEnter(Modest));
    }

    // As a listener of both families shows addresses of IPv4.
    [Fact]
    public void TryEnter_AddressInTheFormOfIPv6_IsTheSame()
    {
        var cap = new ConnectionCap(total: 10, perAddress: 4, perNetwork: 4, CallerAddress.Network);
        var mapped = Greedy.MapToIPv6();

        var places = Enumerable.Range(0, 100).Select(i => cap.TryEnter(i % 2 == 0 ? Greedy : mapped)).OfType<ConnectionCap.Place>().ToList();
        Assert.Equal(4, places.Count);
        cap.Leave(places[1]);
        Assert.NotNull(cap.TryEnter(Greedy));
        Assert.Equal(6, Enumerable.Range(0, 100).Count(_ => cap.TryEnter(IPAddress.Parse("::ffff:127.0.0.2")) is not null));
    }

    [Fact]
    public async Task TryEnter_OneNetworkOfIPv6WantsEverything_HasItsShareAndAMemberInItItsOwn()
    {
        using var rings = new RingSource(
            new TestMembership(new MemberList([new Member("other", new DnsEndPoint("2001:db8:0:1::5", 1), string.Empty)])), TimeProvider.System, NullLogger<RingSource>.Instance);
        var cap = new ConnectionCap(total: 30, perAddress: 4, perNetwork: 6, rings.CountedAs);
        var greedy = Enumerable.Range(6, 100).Select(i => IPAddress.Parse($"2001:db8:0:1::{i:x}")).ToList();

        // Until it is known who the members are, each of them may be one.
        var early = greedy.Take(8).Select(cap.TryEnter).OfType<ConnectionCap.Place>().ToList();
        Assert.Equal(8, early.Count);
        await rings.StartAsync(TestContext.Current.CancellationToken);
        await Wait.UntilAsync(() => rings.Current.Count == 1, "the list is known");
        early.ForEach(cap.Leave);

        var places = greedy.Select(cap.TryEnter).OfType<ConnectionCap.Place>().ToList();
        Assert.Equal(6, places.Count);
        Assert.Equal(4, Count(_ => "2001:db8:0:1::5"));
        Assert.Equal(4, Count(_ => "2001:db8:0:2::1"));
        Assert.Equal(2, Count(i => $"2001:db8:0:2::{i + 2:x}"));
        Assert.NotNull(cap.TryEnter(Modest));

        cap.Leave(places[0]);
        Assert.NotNull(cap.TryEnter(greedy[50]));
        Assert.Null(cap.TryEnter(greedy[51]));
        await rings.StopAsync(TestContext.Current.CancellationToken);

        int Count(Func<int, string> address) => Enumerable.Range(0, 100).Count(i => cap.TryEnter(IPAddress.Parse(address(i))) is not null);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Listener_MoreConnectionsThanAllowed_AreClosedAndAPullGoesOn(bool isMesh)
    {
        const int Most = 8;
        await using var mesh = await TestMesh.StartAsync(settings: [$"--Peerd:Limits:{(isMesh ? "Mesh" : "Metrics")}Connections={Most}"]);
        var endPoint = isMesh ? mesh.Node.MeshEndPoint : new IPEndPoint(IPAddress.Loopback, mesh.Node.Metrics.Port);
        var sockets = new List<Socket>();
        try
        {
            for (var i = 0; i < 10 * Most; i++)
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                try
                {
                    await socket.ConnectAsync(endPoint, TestContext.Current.CancellationToken);
                    sockets.Add(socket);
                }
                catch (SocketException)
                {
                    // Closed by the node before this end knew that it was open.
                    socket.Dispose();
                }
            }

            await Wait.UntilAsync(() => sockets.Count(socket => !IsClosed(socket)) <= Most, "connections that are too many are closed");
            Assert.Equal(Most, sockets.Count(socket => !IsClosed(socket)));
            var sample = mesh.Blob(200_000);
            (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        }
        finally
        {
            sockets.ForEach(socket => socket.Dispose());
        }
    }

    [Fact]
    public async Task Streams_OfOneConnection_AreAsManyAsConfigured()
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Limits:StreamsPerConnection=33"]);

        Assert.Equal(33, mesh.Node.Get<IOptions<KestrelServerOptions>>().Value.Limits.Http2.MaxStreamsPerConnection);
    }

    private static bool IsClosed(Socket socket)
    {
        if (!socket.Poll(0, SelectMode.SelectRead))
        {
            return false;
        }

        try
        {
            // Kestrel begins an HTTP/2 connection with its settings.
            var received = new byte[1024];
            while (socket.Available > 0)
            {
                socket.Receive(received);
            }

            return socket.Poll(0, SelectMode.SelectRead) && socket.Available == 0;
        }
        catch (SocketException)
        {
            return true;
        }
    }
}
