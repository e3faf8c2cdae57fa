using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Membership;
using Peerd.Node.Ring;
using Peerd.Tests.Membership;

namespace Peerd.Tests.Ring;

public sealed class RingSourceTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task WatchAsync_ListChanges_TellsTheNewRing()
    {
        var membership = new TestMembership(TestMembership.ListOf("a"));
        using var source = new RingSource(membership, TimeProvider.System, NullLogger<RingSource>.Instance);
        using var timeout = new CancellationTokenSource(Patience);
        Assert.Same(HashRing.Empty, source.Current);
        await using var rings = source.WatchAsync(timeout.Token).GetAsyncEnumerator(timeout.Token);
        Assert.True(await rings.MoveNextAsync());
        Assert.Same(HashRing.Empty, rings.Current);

        await source.StartAsync(timeout.Token);
        Assert.True(await rings.MoveNextAsync());
        Assert.Equal(TestMembership.ListOf("a"), rings.Current.Members);

        membership.Tell("a", "b");
        Assert.True(await rings.MoveNextAsync());
        Assert.Equal(TestMembership.ListOf("a", "b"), rings.Current.Members);
        Assert.Same(rings.Current, source.Current);

        await source.StopAsync(timeout.Token);
        Assert.Equal(2, source.Current.Count);
    }

    [Fact]
    public async Task WatchAsync_OnlyAnAddressChanges_TellsARingOfTheSameVersion()
    {
        var old = TestMembership.MemberOf("a");
        var lists = new Latest<MemberList>(new MemberList([old]));
        using var source = new RingSource(new LatestMembership(lists), TimeProvider.System, NullLogger<RingSource>.Instance);
        using var timeout = new CancellationTokenSource(Patience);
        await source.StartAsync(timeout.Token);
        await using var rings = source.WatchAsync(timeout.Token).GetAsyncEnumerator(timeout.Token);
        await MoveUntilAsync(rings, ring => ring.Count == 1);
        var version = rings.Current.Version;

        lists.Publish(new MemberList([old with { Zone = "elsewhere" }]));
        await MoveUntilAsync(rings, ring => ring[0].Zone == "elsewhere");

        Assert.Equal(version, rings.Current.Version);
        await source.StopAsync(timeout.Token);
    }

    [Fact]
    public async Task HasChangedWithin_CountsFromTheChangeOfNamesOn()
    {
        var time = new FakeTimeProvider();
        var old = TestMembership.MemberOf("a");
        var lists = new Latest<MemberList>(new MemberList([old]));
        using var source = new RingSource(new LatestMembership(lists), time, NullLogger<RingSource>.Instance);
        using var timeout = new CancellationTokenSource(Patience);
        time.Advance(TimeSpan.FromHours(1));
        await source.StartAsync(timeout.Token);
        await using var rings = source.WatchAsync(timeout.Token).GetAsyncEnumerator(timeout.Token);
        await MoveUntilAsync(rings, ring => ring.Count == 1);
        Assert.True(source.HasChangedWithin(TimeSpan.FromSeconds(1)));

        time.Advance(TimeSpan.FromSeconds(2));
        lists.Publish(new MemberList([old with { Zone = "elsewhere" }]));
        await MoveUntilAsync(rings, ring => ring[0].Zone == "elsewhere");
        Assert.False(source.HasChangedWithin(TimeSpan.FromSeconds(1)));

        lists.Publish(new MemberList([old, TestMembership.MemberOf("b")]));
        await MoveUntilAsync(rings, ring => ring.Count == 2);
        Assert.True(source.HasChangedWithin(TimeSpan.FromSeconds(1)));
        await source.StopAsync(timeout.Token);
    }

    private static async Task MoveUntilAsync(IAsyncEnumerator<HashRing> rings, Func<HashRing, bool> condition)
    {
        do
        {
            Assert.True(await rings.MoveNextAsync());
        }
        while (!condition(rings.Current));
    }

    private sealed class LatestMembership(Latest<MemberList> lists) : IMembershipSource
    {
        public IAsyncEnumerable<MemberList> WatchAsync(CancellationToken cancellationToken) => lists.WatchAsync(cancellationToken);
    }
}
