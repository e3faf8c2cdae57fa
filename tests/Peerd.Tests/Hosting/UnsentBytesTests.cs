using System.Net;
using System.Net.Sockets;
using Peerd.Node.Hosting;

namespace Peerd.Tests.Hosting;

public sealed class UnsentBytesTests
{
    [Fact]
    public async Task Limit_AcceptedConnections_HaveIt()
    {
        using var listening = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listening.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        UnsentBytes.Limit(listening);
        listening.Listen();
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(listening.LocalEndPoint!, TestContext.Current.CancellationToken);
        using var accepted = await listening.AcceptAsync(TestContext.Current.CancellationToken);

        Assert.Equal(UnsentBytes.Most, UnsentBytes.Of(accepted));
    }

    // The facade's clients read as fast as it writes.
    [Fact]
    public async Task Listeners_OfTheMeshAlone_HaveIt()
    {
        await using var mesh = await TestMesh.StartAsync();
        var listeners = mesh.Node.Get<Listeners>();
        await mesh.Node.StopAsync();

        using var ofMesh = listeners.Bind(listeners.Mesh);
        using var ofFacade = listeners.Bind(listeners.Facade);

        Assert.Equal(UnsentBytes.Most, UnsentBytes.Of(ofMesh));
        Assert.NotEqual(UnsentBytes.Most, UnsentBytes.Of(ofFacade));
    }
}
