using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Limits;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Mesh.Tls;
using Peerd.Node.Ring;
using Peerd.Tests.Hosting;
using Peerd.Tests.Membership;

namespace Peerd.Tests.Mesh;

public sealed class PeerConnectionsTests : IAsyncLifetime
{
    private readonly FakeTimeProvider _time = new();
    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private readonly TestMembership _membership = new(TestMembership.ListOf("self", "a"));
    private readonly RingSource _rings;
    private readonly Bandwidth _bandwidth;
    private readonly PeerConnections _peers;

    public PeerConnectionsTests()
    {
        _rings = new RingSource(_membership, _time, NullLogger<RingSource>.Instance);
        _bandwidth = new Bandwidth(Options.Create(new LimitOptions()), _time);
        _peers = new PeerConnections(
            _rings,
            new NodeIdentity("self", 1, string.Empty),
            Options.Create(new MeshOptions()),
            new PeerTraffic(),
            new MeshMetrics(_services.GetRequiredService<IMeterFactory>()),
            MeshTls.Off,
            _bandwidth,
            _time);
    }

    public async ValueTask InitializeAsync()
    {
        await _rings.StartAsync(CancellationToken.None);
        await Wait.UntilAsync(() => _rings.Current.Count == 2, "the first list is known");
    }

    public async ValueTask DisposeAsync()
    {
        await _rings.StopAsync(CancellationToken.None);
        _rings.Dispose();
        _peers.Dispose();
        _bandwidth.Dispose();
        await _services.DisposeAsync();
    }

    [Fact]
    public async Task FindSoon_OthersKnewTheMemberFirst_ItIsFoundAsSoonAsItIsListed()
    {
        Assert.Equal("a", (await _peers.FindSoonAsync("a", CancellationToken.None))!.Member.Name);
        var finding = _peers.FindSoonAsync("b", CancellationToken.None).AsTask();
        Assert.False(finding.IsCompleted);

        _membership.Tell("self", "a", "c");
        await Wait.UntilAsync(() => _rings.Current.Count == 3, "another member has come");
        Assert.False(finding.IsCompleted);
        _membership.Tell("self", "a", "b", "c");

        Assert.Equal("b", (await finding)!.Member.Name);
    }

    [Fact]
    public async Task Find_ThousandsOfMembers_KeepLittleUntilTheyAreUsed()
    {
        const int Members = 5000;
        const int MostBytesEach = 3000;
        _membership.Tell([.. Enumerable.Range(0, Members).Select(i => $"node-{i}")]);
        await Wait.UntilAsync(() => _rings.Current.Count == Members, "all members have come");
        var before = GC.GetAllocatedBytesForCurrentThread();

        Assert.Null(_peers.Find("nobody"));

        var bytes = (GC.GetAllocatedBytesForCurrentThread() - before) / Members;
        Assert.Equal(Members, _peers.All.Count);
        Assert.True(bytes < MostBytesEach, $"{bytes} bytes for each member");
    }

    [Fact]
    public async Task Announce_ToWhoIsNoMemberAnyMore_OpensNothing()
    {
        var left = _peers.Find("a")!;
        _membership.Tell("self", "b");
        await Wait.UntilAsync(() => _rings.Current.IndexOf("a") < 0, "the member is gone");
        Assert.NotNull(_peers.Find("b"));
        Assert.Null(_peers.Find("a"));

        Assert.Throws<ObjectDisposedException>(() => left.Announce(CancellationToken.None));
        Assert.False(await left.ServesAsync(TimeSpan.FromSeconds(1), CancellationToken.None));
    }

    [Fact]
    public async Task FindSoon_NobodyOfThatName_IsWaitedForNoLongerThanListsMayDiffer()
    {
        var finding = _peers.FindSoonAsync("b", CancellationToken.None).AsTask();
        _time.Advance(PeerConnections.ListsDiffer - TimeSpan.FromTicks(1));
        Assert.False(finding.IsCompleted);

        _time.Advance(TimeSpan.FromTicks(1));

        Assert.Null(await finding);
    }

    [Fact]
    public async Task FindSoon_Cancelled_WaitsNoMore()
    {
        using var cancel = new CancellationTokenSource();
        var finding = _peers.FindSoonAsync("b", cancel.Token).AsTask();

        await cancel.CancelAsync();

        Assert.Null(await finding);
    }

    [Fact]
    public async Task FindSoon_ThisNodeOrOneThatHasJustLeft_IsNotWaitedFor()
    {
        await TellAsync("self", "b", "c");
        await TellAsync("self", "c");
        await TellAsync("self", "d");

        foreach (var name in (string[])["b", "c", "self"])
        {
            var finding = _peers.FindSoonAsync(name, CancellationToken.None).AsTask();
            Assert.True(finding.IsCompleted);
            Assert.Null(await finding);
        }
    }

    [Fact]
    public async Task FindSoon_OneThatLeftIsBackAndGoneAgain_IsWaitedForWhenTheLastTimeIsLongAgo()
    {
        await TellAsync("self", "b");
        await TellAsync("self", "c");
        Assert.Null(await _peers.FindSoonAsync("b", CancellationToken.None));
        _time.Advance(TimeSpan.FromMinutes(1));

        var finding = _peers.FindSoonAsync("b", CancellationToken.None).AsTask();
        Assert.False(finding.IsCompleted);
        _membership.Tell("self", "b", "c");

        Assert.Equal("b", (await finding)!.Member.Name);
    }

    private async Task TellAsync(params string[] names)
    {
        _membership.Tell(names);
        await Wait.UntilAsync(() => _rings.Current.Count == names.Length && names.All(name => _rings.Current.IndexOf(name) >= 0), "the list has changed");
        Assert.NotNull(_peers.Find(names[^1]));
    }
}
