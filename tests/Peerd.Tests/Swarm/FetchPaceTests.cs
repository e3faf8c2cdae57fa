using Peerd.Contracts;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>How many segments an asker fetches at a time, by how quickly they come.</summary>
public sealed class FetchPaceTests
{
    private const int Size = 64 << 20;

    private static readonly CoordinatorPolicy Policy = new();

    [Fact]
    public void TakePushes_NothingHasComeYet_AsManyAsShortSegmentsNeed()
    {
        var herd = NewHerd(Size, "a");

        Assert.Equal(Policy.CreditsOfShortSegments, herd.CountFetches(to: "a"));
    }

    [Fact]
    public void TakePushes_SegmentsComeSlowly_FewerAtATimeForAskersAndHolders()
    {
        var herd = NewHerd(Size, "a", "b");

        Fetch(herd, perSecond: 10, seconds: 3, "a", "b");

        Assert.Equal(Policy.Credits, herd.CountFetches(to: "a"));
        Assert.Equal(Policy.Credits, herd.CountFetches(to: "b"));
        herd.Ask("c");
        herd.Ask("d");
        herd.Push();
        Assert.Equal(Policy.Credits, herd.CountFetches(to: "c"));
        Assert.All(herd.Fetches.GroupBy(static fetch => fetch.From), static served => Assert.InRange(served.Count(), 1, Policy.Credits));
    }

    [Fact]
    public void TakePushes_SegmentsComeQuickly_AsManyAsAtFirst()
    {
        var herd = NewHerd(Size, "a");

        Fetch(herd, perSecond: 100, seconds: 2, "a");

        Assert.Equal(10, herd.CountFetches(to: "a"));
    }

    [Fact]
    public void TakePushes_SegmentsComeQuicklyAgain_MoreAgain()
    {
        var herd = NewHerd(Size, "a");
        Fetch(herd, perSecond: 10, seconds: 2, "a");
        Assert.Equal(Policy.Credits, herd.CountFetches(to: "a"));

        Fetch(herd, perSecond: 100, seconds: 2, "a");

        Assert.Equal(10, herd.CountFetches(to: "a"));
    }

    // The way is long: each takes 0.2 s, however many there are.
    [Fact]
    public void TakePushes_FewerAtATimeBringLess_AsManyAsAtFirstFromThenOn()
    {
        var herd = NewHerd(Size, "a");
        var fewest = Policy.CreditsOfShortSegments;

        for (var i = 0; i < 14; i++)
        {
            var asked = herd.Fetches.Select(static fetch => fetch.Segment).ToList();
            fewest = Math.Min(fewest, asked.Count);
            herd.Wait(TimeSpan.FromSeconds(0.2));
            herd.Hold("a", asked);
            herd.Push();
        }

        Assert.Equal((Policy.Credits, Policy.CreditsOfShortSegments), (fewest, herd.CountFetches(to: "a")));
    }

    [Fact]
    public void TakePushes_LongSegmentsComeSlowly_AsMany()
    {
        var herd = NewHerd(1L << 30, "a");

        Fetch(herd, perSecond: 1, seconds: 4, "a");

        Assert.Equal(Policy.Credits, herd.CountFetches(to: "a"));
    }

    // Who was found slow serves no more because others may, and is not taken for quick because others serve fewer.
    [Theory]
    [InlineData(16, false, 8, 16)]
    [InlineData(12, false, 8, 16)]
    [InlineData(3, false, 3, 3)]
    [InlineData(8, true, 4, 4)]
    [InlineData(4, true, 2, 2)]
    [InlineData(1, true, 1, 1)]
    public void SetCredits_HolderMayServeSoMany_NoMoreThanCreditsAndAsManyWhenItIsNotSlow(int before, bool isSlow, int fewer, int again)
    {
        var table = new SegmentTable(Policy, new ContentLayout(Size));
        var holder = new Participant("h", string.Empty);
        table.Enter(holder);
        (holder.Tokens, holder.HasBeenSlow) = (before, isSlow);

        table.SetCredits(8, [holder]);
        Assert.Equal((8, fewer), (table.Credits, holder.Tokens));
        Assert.Equal(!isSlow || fewer > Policy.TokensOfSlow, holder.CountsInZone);

        table.SetCredits(16, [holder]);
        Assert.Equal((16, again), (table.Credits, holder.Tokens));
    }

    private static Herd NewHerd(long size, params string[] askers)
    {
        var herd = new Herd(size, Policy);
        herd.Hold("h", herd.AllSegments);
        foreach (var other in askers)
        {
            herd.Hold($"h{other}", herd.AllSegments);
            herd.Ask(other);
        }

        herd.Push();
        return herd;
    }

    /// <summary>Each asker gets so many segments in a second.</summary>
    private static void Fetch(Herd herd, int perSecond, int seconds, params string[] askers)
    {
        for (var i = 0; i < perSecond * seconds; i++)
        {
            herd.Wait(TimeSpan.FromSeconds(1) / perSecond);
            foreach (var asker in askers)
            {
                herd.Hold(asker, herd.Fetches.Where(fetch => fetch.To == asker).Take(1).Select(static fetch => fetch.Segment).ToList());
            }
        }

        herd.Push();
    }
}
