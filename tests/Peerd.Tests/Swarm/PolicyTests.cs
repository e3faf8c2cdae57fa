using Peerd.Contracts;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>What the constants of both sides promise each other.</summary>
public sealed class PolicyTests
{
    private static readonly CoordinatorPolicy Owner = new();
    private static readonly DownloaderPolicy Requester = new();

    /// <summary>Less would be a message for each segment, more is felt by everybody who waits for news.</summary>
    [Fact]
    public void Intervals_OfReportsAndPushes_AreFiveToTwentyMilliseconds()
    {
        var intervals = new[] { 1, 100, 1000, 5000 }.Select(Owner.PushInterval).Append(Requester.ReportInterval);

        Assert.All(intervals, interval => Assert.InRange(interval, TimeSpan.FromMilliseconds(5), TimeSpan.FromMilliseconds(20)));
        Assert.True(Owner.PushInterval(1) < Owner.PushInterval(5000));
    }

    /// <summary>
    /// As many uploads as downloads: with more, everybody crowds the few who have fresh segments while the links of others
    /// idle; with fewer, a holder turns away what its owner has assigned, or what a requester without an owner has chosen.
    /// An owner keeps to that by counting both with one number, which the holder must serve at its largest; without an owner
    /// it is the requester's own number against the holder's.
    /// </summary>
    [Fact]
    public void DownloadsOfARequester_AndUploadsOfAHolder_AreEquallyMany()
    {
        Assert.Equal(RangeServer.UploadsPerContent, Math.Max(Owner.CreditsOfShortSegments, Owner.Credits));
        Assert.Equal(RangeServer.UploadsPerContent, Requester.Requests);

        // All contents together have no fewer places than one.
        Assert.InRange(new MeshOptions().UploadsValue, RangeServer.UploadsPerContent, int.MaxValue);

        AssertOneNumber(new ContentLayout(64L << 20), Owner.CreditsOfShortSegments);
        AssertOneNumber(new ContentLayout(1L << 30), Owner.Credits);
    }

    /// <summary>What the simulations found best. Other tests take these from the policies, and hold whatever they are.</summary>
    [Fact]
    public void Constants_AreThoseThatTheSimulationsFoundBest()
    {
        // R = K, and the same for short segments and without an owner.
        Assert.Equal((8, 16, 16), (Owner.Credits, Owner.CreditsOfShortSegments, Requester.Requests));
        Assert.Equal((2, 4), (Owner.ChildrenOfOnlySegment, Owner.Children));
        Assert.Equal((8, 2), (Owner.Readers, Owner.GrantsPerAsker));
        Assert.InRange(Owner.HoldersLookedAt, 8, 16);
        Assert.InRange(Requester.Window, 128, int.MaxValue);

        // No time is shorter than twice what is usual, or it causes the trouble that it should cure.
        Assert.Equal((4, 4), (Owner.SlowFactor, Requester.SlowFactor));
        Assert.Equal((Seconds(1), Seconds(8), Seconds(1), Seconds(8)), (Owner.FirstBan, Owner.LongestBan, Requester.FirstBan, Requester.LongestBan));

        // Of all ranges 5 % at most are moved, and a few in any case.
        Assert.InRange(Requester.HedgeBudget, 0, 0.05);
        Assert.Equal(4, Requester.LeastHedges);
    }

    private static TimeSpan Seconds(int seconds) => TimeSpan.FromSeconds(seconds);

    /// <summary>What one asker fetches from many, and what many fetch from one holder.</summary>
    private static void AssertOneNumber(ContentLayout layout, int credits)
    {
        var one = new Herd(layout.Size);
        var many = new Herd(layout.Size);
        many.Hold("one", many.AllSegments);
        foreach (var i in Enumerable.Range(0, 40))
        {
            one.Hold($"h{i}", one.AllSegments);
            many.Ask($"a{i}");
        }

        one.Ask("one");
        one.Push();
        many.Push();

        Assert.Equal((credits, credits), (one.CountFetches(to: "one"), many.CountFetches(from: "one")));
    }
}
