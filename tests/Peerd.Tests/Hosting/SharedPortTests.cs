using System.Net;
using System.Net.Sockets;
using Peerd.Node.Hosting;

namespace Peerd.Tests.Hosting;

public sealed class SharedPortTests
{
    private const int Connections = 50;

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("::1")]
    public async Task Listen_TwoSockets_TheNewestGetsAllConnections(string address)
    {
        using var first = SharedPort.Bind(new IPEndPoint(IPAddress.Parse(address), 0));
        var endPoint = (IPEndPoint)first.LocalEndPoint!;
        first.Listen(2 * Connections);
        SharedPort.PreferTheNewest(first);
        await ConnectAsync(endPoint);
        Assert.Equal(Connections, Accepted(first));

        var second = SharedPort.Bind(endPoint);
        second.Listen(2 * Connections);
        await ConnectAsync(endPoint);
        Assert.Equal((0, Connections), (Accepted(first), Accepted(second)));

        // It is gone: the other one has all again; and one that comes later is the newest then.
        Close(second);
        await ConnectAsync(endPoint);
        Assert.Equal(Connections, Accepted(first));
        using var third = SharedPort.Bind(endPoint);
        third.Listen(2 * Connections);
        Close(first);
        using var fourth = SharedPort.Bind(endPoint);
        fourth.Listen(2 * Connections);
        await ConnectAsync(endPoint);
        Assert.Equal((0, Connections), (Accepted(third), Accepted(fourth)));
    }

    // As the chart has it.
    [Fact]
    public async Task Listen_TwoSocketsAtEveryAddress_TheNewestGetsAllConnectionsOfBothFamilies()
    {
        using var first = SharedPort.Bind(new IPEndPoint(IPAddress.IPv6Any, 0));
        var everywhere = (IPEndPoint)first.LocalEndPoint!;
        IPEndPoint[] families = [new(IPAddress.Loopback, everywhere.Port), new(IPAddress.IPv6Loopback, everywhere.Port)];
        first.Listen(2 * Connections);
        SharedPort.PreferTheNewest(first);
        foreach (var endPoint in families)
        {
            await ConnectAsync(endPoint);
            Assert.Equal(Connections, Accepted(first));
        }

        using var second = SharedPort.Bind(everywhere);
        second.Listen(2 * Connections);
        foreach (var endPoint in families)
        {
            await ConnectAsync(endPoint);
            Assert.Equal((0, Connections), (Accepted(first), Accepted(second)));
        }
    }

    // An upgrade from 0.0.0.0 to every address: the kernel prefers a socket of 0.0.0.0 for IPv4, whichever is the newest.
    [Fact]
    public async Task Listen_EveryAddressBesideThoseOfIPv4_GetsIPv4OnlyWhenTheOtherIsGone()
    {
        using var first = SharedPort.Bind(new IPEndPoint(IPAddress.Any, 0));
        var port = ((IPEndPoint)first.LocalEndPoint!).Port;
        first.Listen(2 * Connections);
        SharedPort.PreferTheNewest(first);

        using var second = SharedPort.Bind(new IPEndPoint(IPAddress.IPv6Any, port));
        second.Listen(2 * Connections);
        SharedPort.PreferTheNewest(second);
        await ConnectAsync(new IPEndPoint(IPAddress.Loopback, port));
        Assert.Equal((Connections, 0), (Accepted(first), Accepted(second)));
        await ConnectAsync(new IPEndPoint(IPAddress.IPv6Loopback, port));
        Assert.Equal((0, Connections), (Accepted(first), Accepted(second)));

        Close(first);
        await ConnectAsync(new IPEndPoint(IPAddress.Loopback, port));
        Assert.Equal(Connections, Accepted(second));
        await ConnectAsync(new IPEndPoint(IPAddress.IPv6Loopback, port));
        Assert.Equal(Connections, Accepted(second));
    }

    [Fact]
    public void Bind_SocketOfAProgramThatDoesNotShare_IsRefused()
    {
        using var other = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        other.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        other.Listen();

        Assert.Equal(SocketError.AddressAlreadyInUse, Assert.Throws<SocketException>(() => SharedPort.Bind((IPEndPoint)other.LocalEndPoint!)).SocketErrorCode);
    }

    // A process that another test starts at this moment has the socket, too, until it is what it becomes: closed is not enough.
    private static void Close(Socket listening)
    {
        listening.Shutdown(SocketShutdown.Both);
        listening.Dispose();
    }

    private static async Task ConnectAsync(IPEndPoint endPoint)
    {
        for (var i = 0; i < Connections; i++)
        {
            using var client = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            await client.ConnectAsync(endPoint);
        }
    }

    // A connection is in the queue once it was made.
    private static int Accepted(Socket listening)
    {
        var count = 0;
        while (listening.Poll(0, SelectMode.SelectRead))
        {
            listening.Accept().Dispose();
            count++;
        }

        return count;
    }
}
