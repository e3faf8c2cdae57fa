using Peerd.Node.Mesh;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Mesh;

public sealed class PeerConnectionsTests : IAsyncLifetime
{
    private readonly PeersSetup _setup = new("self", "a");

    private PeerConnections Peers => _setup.Peers;

    public async ValueTask InitializeAsync() => await _setup.StartAsync();

    public ValueTask DisposeAsync() => _setup.DisposeAsync();

    [Fact]
    public async Task FindSoon_OthersKnewTheMemberFirst_ItIsFoundAsSoonAsItIsListed()
    {
        Assert.Equal("a", (await Peers.FindSoonAsync("a", CancellationToken.None))!.Member.Name);
        var finding = Peers.FindSoonAsync("b", CancellationToken.None).AsTask();
        Assert.False(finding.IsCompleted);

        _setup.TellSoon("self", "a", "c");
        await Wait.UntilAsync(() => _setup.Rings.Current.Count == 3, "another member has come");
        Assert.False(finding.IsCompleted);
        _setup.TellSoon("self", "a", "b", "c");

        Assert.Equal("b", (await finding)!.Member.Name);
    }

    [Fact]
    public async Task Find_ThousandsOfMembers_KeepLittleUntilTheyAreUsed()
    {
        const int Members = 5000;
        const int MostBytesEach = 3000;
        _setup.TellSoon([.. Enumerable.Range(0, Members).Select(i => $"node-{i}")]);
        await Wait.UntilAsync(() => _setup.Rings.Current.Count == Members, "all members have come");
        var before = GC.GetAllocatedBytesForCurrentThread();

        Assert.Null(Peers.Find("nobody"));

        var bytes = (GC.GetAllocatedBytesForCurrentThread() - before) / Members;
        Assert.Equal(Members, Peers.All.Count);
        Assert.True(bytes < MostBytesEach, $"{bytes} bytes for each member");
    }

    [Fact]
    public async Task Announce_ToWhoIsNoMemberAnyMore_OpensNothing()
    {
        var left = Peers.Find("a")!;
        _setup.TellSoon("self", "b");
        await Wait.UntilAsync(() => _setup.Rings.Current.IndexOf("a") < 0, "the member is gone");
        Assert.NotNull(Peers.Find("b"));
        Assert.Null(Peers.Find("a"));

        Assert.Throws<ObjectDisposedException>(() => left.Announce(CancellationToken.None));
        Assert.False(await left.ServesAsync(TimeSpan.FromSeconds(1), CancellationToken.None));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Find_MemberHasLeft_ItsConnectionsAreClosedAMomentLaterOrWithAllOthers(bool isEnd)
    {
        Assert.NotNull(Peers.Find("a"));
        await _setup.TellAsync("self");
        Assert.True(_setup.Time.IsArmed(static due => due == PeerConnections.Farewell));

        if (isEnd)
        {
            Peers.Dispose();
        }
        else
        {
            _setup.Time.Advance(PeerConnections.Farewell);
        }

        Assert.False(_setup.Time.IsArmed(static due => due == PeerConnections.Farewell));
    }

    [Fact]
    public async Task FindSoon_NobodyOfThatName_IsWaitedForNoLongerThanListsMayDiffer()
    {
        var finding = Peers.FindSoonAsync("b", CancellationToken.None).AsTask();
        _setup.Time.Advance(PeerConnections.ListsDiffer - TimeSpan.FromTicks(1));
        Assert.False(finding.IsCompleted);

        _setup.Time.Advance(TimeSpan.FromTicks(1));

        Assert.Null(await finding);
    }

    [Fact]
    public async Task FindSoon_Cancelled_WaitsNoMore()
    {
        using var cancel = new CancellationTokenSource();
        var finding = Peers.FindSoonAsync("b", cancel.Token).AsTask();

        await cancel.CancelAsync();

        Assert.Null(await finding);
    }

    [Fact]
    public async Task FindSoon_ThisNodeOrOneThatHasJustLeft_IsNotWaitedFor()
    {
        await _setup.TellAsync("self", "b", "c");
        await _setup.TellAsync("self", "c");
        await _setup.TellAsync("self", "d");

        foreach (var name in (string[])["b", "c", "self"])
        {
            var finding = Peers.FindSoonAsync(name, CancellationToken.None).AsTask();
            Assert.True(finding.IsCompleted);
            Assert.Null(await finding);
        }
    }

    [Fact]
    public async Task FindSoon_OneThatLeftIsBackAndGoneAgain_IsWaitedForWhenTheLastTimeIsLongAgo()
    {
        await _setup.TellAsync("self", "b");
        await _setup.TellAsync("self", "c");
        Assert.Null(await Peers.FindSoonAsync("b", CancellationToken.None));
        _setup.Time.Advance(TimeSpan.FromMinutes(1));

        var finding = Peers.FindSoonAsync("b", CancellationToken.None).AsTask();
        Assert.False(finding.IsCompleted);
        _setup.TellSoon("self", "b", "c");

        Assert.Equal("b", (await finding)!.Member.Name);
    }
}
