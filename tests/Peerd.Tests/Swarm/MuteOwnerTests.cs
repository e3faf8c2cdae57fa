using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Peerd.Contracts;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;
using Peerd.Tests.Hosting;
using Peerd.Tests.Membership;
using Peerd.Tests.Mesh;

namespace Peerd.Tests.Swarm;

/// <summary>The process of an owner hangs: its machine takes connections and what is sent over them, and nothing comes back.</summary>
public sealed class MuteOwnerTests : IAsyncLifetime
{
    private readonly TcpListener _mute = new(IPAddress.Loopback, 0);
    private readonly MeshDrain _drain;
    private readonly PeersSetup _setup;
    private readonly Digest _content = PeersSetup.ContentNearerTo("mute", than: "self");

    public MuteOwnerTests()
    {
        _mute.Start();
        var address = new DnsEndPoint("127.0.0.1", ((IPEndPoint)_mute.LocalEndpoint).Port);
        _setup = new PeersSetup(TestMembership.MemberOf("self"), new Member("mute", address, "zone"));
        _drain = new MeshDrain(_setup.Time);
    }

    public async ValueTask InitializeAsync() => await _setup.StartAsync();

    public async ValueTask DisposeAsync()
    {
        await _setup.DisposeAsync();
        _drain.Dispose();
        _mute.Dispose();
    }

    [Fact]
    public async Task AskedOnce_WhoAsksNextAsksElsewhereAtOnce()
    {
        var first = new ListeningOwner();
        await using (Ask(first))
        {
            await _setup.Time.ArmedAsync(OwnerLink.FirstPushTimeout);
            Assert.Equal(0, first.Sessions);
            _setup.Time.Advance(OwnerLink.FirstPushTimeout);
            await Wait.UntilAsync(() => first.Sessions == 1, "the replica is asked, which is this node itself");
        }

        Assert.True(_setup.Peers.Find("mute")!.IsSilent);

        var next = new ListeningOwner();
        await using (Ask(next))
        {
            await Wait.UntilAsync(() => next.Sessions == 1, "nobody waits for the owner again");
        }
    }

    private OwnerLink Ask(ListeningOwner local) =>
        new(_content, new SilentUser(_content), _setup.Rings, _setup.Self, _setup.Peers, local, _drain, new LookupMetrics(_setup.Meters), _setup.Time, NullLogger.Instance);
}
