using Microsoft.Extensions.Logging.Abstractions;
using Peerd.Node.Swarm;
using Peerd.Tests.Mesh;

namespace Peerd.Tests.Swarm;

public sealed class CoordinationMeshTests : IAsyncLifetime
{
    private readonly PeersSetup _setup = new("self");

    public async ValueTask InitializeAsync() => await _setup.StartAsync();

    public ValueTask DisposeAsync() => _setup.DisposeAsync();

    [Fact]
    public async Task HasMovedLately_AnotherHasBecomeTheOwner_ForAWhileAndAsLongAsItIsNotSilent()
    {
        var mesh = new CoordinationMesh(_setup.Rings, _setup.Self, _setup.Peers, NullLogger<CoordinationMesh>.Instance);
        var (moved, stayed) = (PeersSetup.ContentNearerTo("other", than: "self"), PeersSetup.ContentNearerTo("self", than: "other"));
        Assert.False(mesh.HasMovedLately(moved));

        await _setup.TellAsync("self", "other");
        Assert.True(mesh.HasMovedLately(moved));
        Assert.False(mesh.HasMovedLately(stayed));

        _setup.Peers.Find("other")!.IsSilent = true;
        Assert.False(mesh.HasMovedLately(moved));
        _setup.Peers.Find("other")!.IsSilent = false;
        Assert.True(mesh.HasMovedLately(moved));

        _setup.Time.Advance(TimeSpan.FromSeconds(30));
        Assert.False(mesh.HasMovedLately(moved));
    }
}
