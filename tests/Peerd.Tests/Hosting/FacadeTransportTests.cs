using Microsoft.AspNetCore.Connections;
using Peerd.Node.Hosting;

namespace Peerd.Tests.Hosting;

public sealed class FacadeTransportTests
{
    /// <summary>Before they have ports, all listeners of this node have the same address.</summary>
    [Fact]
    public async Task Listeners_OneAddress_OnlyTheFacadeHasSocketsOfItsOwn()
    {
        await using var mesh = await TestMesh.StartAsync();
        var listeners = mesh.Node.Get<Listeners>();

        // Kestrel asks the last one first.
        var transport = Assert.IsType<FacadeTransport>(mesh.Node.Get<IEnumerable<IConnectionListenerFactory>>().Last());

        Assert.Equal((true, false, false), (transport.CanBind(listeners.Facade), transport.CanBind(listeners.Mesh), transport.CanBind(listeners.Metrics)));
    }
}
