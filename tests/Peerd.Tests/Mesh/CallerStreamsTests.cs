using System.Diagnostics.Metrics;
using System.Net;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Ring;
using Peerd.Tests.Hosting;
using Peerd.Tests.Membership;

namespace Peerd.Tests.Mesh;

public sealed class CallerStreamsTests
{
    [Fact]
    public async Task Enter_AMemberThatStartsAHundredImages_WaitsForNothing()
    {
        await using var setup = new PeersSetup("self", "other");
        await setup.StartAsync();
        var streams = new CallerStreams(setup.Rings, new MeshMetrics(setup.Meters), setup.Time);

        // Images of 20 layers, of which half have ended when the others begin.
        for (var i = 0; i < 2000; i++)
        {
            using var place = streams.Enter("other", isLookup: true);
            Assert.True(place.TakeAsync(CallerStreams.Opening, bytes: 0, CancellationToken.None).IsCompletedSuccessfully);
        }
    }

    [Fact]
    public async Task Enter_StreamsOpenedAndEndedAllTheTime_WaitsAndAnotherMemberDoesNot()
    {
        await using var setup = new PeersSetup("self", "other", "liar");
        await setup.StartAsync();
        var streams = new CallerStreams(setup.Rings, new MeshMetrics(setup.Meters), setup.Time);
        Assert.InRange(CountAtOnce("liar"), 2400, 2600);

        // What one has used up is not forgotten when all of its streams have ended, and somebody else comes.
        Assert.InRange(CountAtOnce("other"), 2400, 2600);
        Assert.InRange(CountAtOnce("liar"), 0, 1);
        setup.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.InRange(CountAtOnce("liar"), 450, 550);
        Assert.Equal(0, streams.Open);

        // Names that are no members share one rate.
        Assert.InRange(Enumerable.Range(0, 5000).Count(i => IsAtOnce($"stranger-{i}")), 2400, 2600);

        int CountAtOnce(string node) => Enumerable.Range(0, 5000).TakeWhile(_ => IsAtOnce(node)).Count();

        bool IsAtOnce(string node)
        {
            using var cancel = new CancellationTokenSource();
            using var place = streams.Enter(node, isLookup: true);
            var taking = place.TakeAsync(CallerStreams.Opening, bytes: 0, cancel.Token);
            cancel.Cancel();
            return taking.IsCompletedSuccessfully;
        }
    }

    [Fact]
    public async Task Take_MoreBytesWaitThanMay_IsRefusedAndSmallMessagesAreNot()
    {
        await using var setup = new PeersSetup("self", "other", "liar");
        await setup.StartAsync();
        var streams = new CallerStreams(setup.Rings, new MeshMetrics(setup.Meters), setup.Time);
        using var cancel = new CancellationTokenSource();
        using var place = streams.Enter("liar", isLookup: true);
        await place.TakeAsync(CallerStreams.MessagesAtOnce, bytes: 0, cancel.Token);
        var half = (int)(CallerStreams.MaxWaitingBytes / 2);

        var waiting = new[] { Take(half), Take(half), Take((int)CallerStreams.SmallMessage - 1) };
        Assert.Equal(StatusCode.ResourceExhausted, (await Assert.ThrowsAsync<RpcException>(() => Take((int)CallerStreams.SmallMessage))).StatusCode);

        Assert.All(waiting, taking => Assert.False(taking.IsCompleted));
        using var others = streams.Enter("other", isLookup: true);
        Assert.True(others.TakeAsync(1, half, cancel.Token).IsCompletedSuccessfully);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => Task.WhenAll(waiting));
        using var again = new CancellationTokenSource();
        var more = place.TakeAsync(1, CallerStreams.MaxWaitingBytes, again.Token);
        Assert.False(more.IsCompleted);
        await again.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => more);

        Task Take(int bytes) => place.TakeAsync(1, bytes, cancel.Token);
    }

    [Fact]
    public async Task Take_ManyCallersHaveMuchThatWaits_IsBoundedInAll()
    {
        string[] liars = [.. Enumerable.Range(0, 5).Select(i => $"liar-{i}")];
        await using var setup = new PeersSetup(["self", "honest", .. liars]);
        await setup.StartAsync();
        var streams = new CallerStreams(setup.Rings, new MeshMetrics(setup.Meters), setup.Time);
        using var cancel = new CancellationTokenSource();
        var waiting = new List<Task>();
        foreach (var liar in liars)
        {
            var place = streams.Enter(liar, isLookup: true);
            await place.TakeAsync(CallerStreams.MessagesAtOnce, bytes: 0, cancel.Token);
            waiting.Add(place.TakeAsync(1, CallerStreams.MaxWaitingBytes, cancel.Token));
        }

        Assert.Equal([false, false, false, false, true], waiting.Select(taking => taking.IsFaulted));

        // Who need not wait is none of them.
        using var honest = streams.Enter("honest", isLookup: true);
        Assert.True(honest.TakeAsync(1, CallerStreams.MaxWaitingBytes, cancel.Token).IsCompletedSuccessfully);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => Task.WhenAll(waiting));
    }

    // In clear text anybody can say that he is a member, and would use up what that member may do.
    [Fact]
    public async Task Enter_NamesOfMembersClaimedFromAnotherAddress_TakeNothingFromThem()
    {
        await using var setup = new PeersSetup(new Member("other", new DnsEndPoint("10.0.0.1", 1), string.Empty), new Member("third", new DnsEndPoint("10.0.0.2", 1), string.Empty));
        await setup.StartAsync();
        var streams = new CallerStreams(setup.Rings, new MeshMetrics(setup.Meters), setup.Time);
        for (var i = 0; i < CallerStreams.MaxLookups; i++)
        {
            streams.Enter("other", isLookup: true, IPAddress.Parse("::ffff:10.0.0.9"));
        }

        Assert.Equal(StatusCode.ResourceExhausted, Assert.Throws<RpcException>(() => streams.Enter("other", isLookup: true, IPAddress.Parse("10.0.0.9"))).StatusCode);

        // Nodes may be behind one address.
        streams.Enter("third", isLookup: true, IPAddress.Parse("10.0.0.9")).Dispose();

        // The members themselves, whose name is proven, or whose address it is, and a member that has another address besides.
        streams.Enter("other", isLookup: true).Dispose();
        streams.Enter("other", isLookup: true, IPAddress.Parse("10.0.0.1")).Dispose();
        streams.Enter("third", isLookup: true, IPAddress.Parse("10.0.0.3")).Dispose();
        streams.Enter("third", isLookup: true, IPAddress.Loopback).Dispose();

        // Names that are no members share what one has, wherever they call from.
        for (var i = 0; i < CallerStreams.MaxLookups; i++)
        {
            streams.Enter($"stranger-{i}", isLookup: true, IPAddress.Parse($"10.1.0.{i % 200}"));
        }

        Assert.Throws<RpcException>(() => streams.Enter("stranger", isLookup: true, IPAddress.Parse("10.2.0.1")));
    }

    // Nodes may have all their addresses in one network of IPv6, and a host as many as it likes.
    [Theory]
    [InlineData("other", "fd00:1::2", "fd00:1::2")]
    [InlineData("other", "fd00:1::3", "fd00:1::")]
    [InlineData("stranger", "fd00:1::2", "fd00:1::")]
    [InlineData(null, "fd00:1:0:0:5::2", "fd00:1::")]
    [InlineData(null, "::ffff:10.0.0.1", "10.0.0.1")]
    [InlineData(null, "10.0.0.1", "10.0.0.1")]
    [InlineData(null, "::1", "::1")]
    public async Task CountedAs_AddressOfACaller_IsThatOfTheMemberOrTheNetwork(string? node, string address, string expected)
    {
        using var rings = new RingSource(new TestMembership(new MemberList([new Member("other", new DnsEndPoint("fd00:1::2", 1), string.Empty)])), TimeProvider.System, NullLogger<RingSource>.Instance);
        await rings.StartAsync(TestContext.Current.CancellationToken);
        await Wait.UntilAsync(() => rings.Current.Count == 1, "the list is known");
        using var meters = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var streams = new CallerStreams(rings, new MeshMetrics(meters.GetRequiredService<IMeterFactory>()), TimeProvider.System);

        Assert.Equal(IPAddress.Parse(expected), streams.CountedAs(node, IPAddress.Parse(address)));
        await rings.StopAsync(TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task Enter_MoreThanThereMayBe_IsResourceExhausted()
    {
        await using var setup = new PeersSetup("self", "other");
        await setup.StartAsync();
        var streams = new CallerStreams(setup.Rings, new MeshMetrics(setup.Meters), setup.Time);
        var places = Enumerable.Range(0, CallerStreams.MaxAnnounces).Select(_ => streams.Enter("other", isLookup: false)).ToList();

        Assert.Equal(StatusCode.ResourceExhausted, Assert.Throws<RpcException>(() => streams.Enter("other", isLookup: false)).StatusCode);
        places[0].Dispose();
        streams.Enter("other", isLookup: false).Dispose();
        Assert.Equal(CallerStreams.MaxAnnounces - 1, streams.Open);
    }
}
