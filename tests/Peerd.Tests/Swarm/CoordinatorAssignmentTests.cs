using Peerd.Contracts.V1;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>Who is to fetch what from whom.</summary>
public sealed class CoordinatorAssignmentTests
{
    private const int KiB64 = 64 * 1024;

    /// <summary>40 segments of one piece.</summary>
    private const long Small = 40 * KiB64;

    /// <summary>256 segments of two pieces.</summary>
    private const long Large = 512L << 20;

    /// <summary>Segments of sixteen pieces.</summary>
    private const long Huge = 8L << 30;

    public static TheoryData<long> Sizes => [Small, Large];

    /// <summary>More uploads than downloads are the worst single mistake: receivers crowd the few who have fresh segments.</summary>
    [Theory]
    [InlineData(Small, 16)]
    [InlineData(Large, 8)]
    public void Push_OneAskerOrOneHolder_OneNumberLimitsDownloadsAndUploads(long size, int credits)
    {
        var download = new Herd(size);
        Nodes("h", 30).ForEach(node => download.Hold(node, download.AllSegments));
        download.Ask("a");
        download.Push();
        var upload = new Herd(size);
        upload.Hold("h", upload.AllSegments);
        Nodes("a", 30).ForEach(node => upload.Ask(node));
        upload.Push();

        Assert.Equal(credits, download.CountFetches(to: "a"));
        Assert.Equal(credits, upload.CountFetches(from: "h"));
        Assert.Equal(download.CountFetches(), download.Told["a"].Assigned.Count);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Push_OneHolder_HalfIsInOrderAndHalfIsNot(long size)
    {
        var herd = new Herd(size);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a");
        herd.Push();

        var assigned = herd.Told["a"].Assigned.Keys.ToList();
        var half = assigned.Count / 2;
        Assert.Equal(Enumerable.Range(0, half), assigned.Take(half));
        Assert.NotEqual(Enumerable.Range(half, half), assigned.Skip(half));
    }

    [Fact]
    public void Push_SomebodyReads_WhatIsOnItsWayToItIsFetchedFromIt()
    {
        var herd = new Herd(Small);
        herd.Ask("a", canReachOrigin: true);
        herd.Ask("b");
        herd.Push();

        Assert.NotEmpty(herd.GrantedTo("a"));
        Assert.Equal(herd.GrantedTo("a"), herd.Told["b"].Assigned.Keys);
        Assert.All(herd.Told["b"].Assigned.Values, node => Assert.Equal("a", node));
    }

    [Fact]
    public void Push_SegmentArrives_TheNextIsAssigned()
    {
        var herd = new Herd(Small);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a");
        for (var round = 0; round < 40 && !herd.AllSegments.All(segment => herd.Holds("a", segment)); round++)
        {
            herd.Push();
            Assert.Equal(Math.Min(16, 40 - (4 * round)), herd.CountFetches(to: "a"));
            herd.Hold("a", herd.Fetches.Select(fetch => fetch.Segment).Order().Take(4).ToList());
        }

        herd.Push();
        Assert.Empty(herd.Fetches);
        Assert.Equal(herd.AllSegments, herd.Told["a"].Assigned.Keys);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Push_ContentOfOneSegment_AllGetItAtOnceInATreeOfTwoChildren(bool isRead)
    {
        var herd = new Herd(KiB64 - 1);
        if (!isRead)
        {
            herd.Hold("h", 0);
        }

        var askers = Nodes("a", 50);
        askers.ForEach(node => herd.Ask(node, canReachOrigin: isRead));
        herd.Push();

        var root = isRead ? Assert.Single(herd.Owner.Grants).Value : "h";
        Assert.Equal(askers.Where(node => node != root), herd.Fetches.Select(fetch => fetch.To).Order(StringComparer.Ordinal));
        Assert.All(herd.Fetches.GroupBy(fetch => fetch.From), children => Assert.InRange(children.Count(), 1, 2));
        FetchRules.Check(herd.Owner, herd.Policy, herd.Layout);

        // Two children per node need five levels at least.
        var parents = herd.Fetches.ToDictionary(fetch => fetch.To, fetch => fetch.From, StringComparer.Ordinal);
        Assert.InRange(askers.Max(node => Depth(node)), 5, 10);

        int Depth(string node) => parents.TryGetValue(node, out var parent) ? 1 + Depth(parent) : 0;
    }

    [Fact]
    public void Push_AllSegmentsCanBeServedAtOnce_WhoReadsThemServesEachToOne()
    {
        var herd = new Herd(16 * 64 * 1024);
        herd.Ask("reader", canReachOrigin: true);
        herd.Push();
        for (var i = 0; i < 20; i++)
        {
            herd.Ask($"a{i}");
        }

        herd.Push();

        Assert.Equal(herd.AllSegments, herd.Fetches.Where(fetch => fetch.From == "reader").Select(fetch => fetch.Segment).Order());
        Assert.Equal(20 * 16, herd.Fetches.Count);
    }

    [Fact]
    public void Push_FewSegments_EachHasFourChildrenAtMost()
    {
        var herd = new Herd(2 * KiB64);
        herd.Hold("h", herd.AllSegments);
        Nodes("a", 20).ForEach(node => herd.Ask(node));
        herd.Push();

        Assert.Equal(40, herd.CountFetches());
        FetchRules.Check(herd.Owner, herd.Policy, herd.Layout);
    }

    [Fact]
    public void Left_ReaderThatHoldsNothing_WhoFetchesFromItIsServedAnotherWay()
    {
        var herd = new Herd(Small);
        herd.Ask("a", canReachOrigin: true);
        herd.Push();
        herd.Ask("b", canReachOrigin: true);
        herd.Push();
        Assert.Equal(16, herd.CountFetches("b", "a"));

        herd.Leave("a");
        herd.Push();

        Assert.Empty(herd.Fetches);
        Assert.Equal(herd.AllSegments, herd.GrantedTo("b"));
    }

    [Fact]
    public void Left_WhoHoldsSomething_ServesOn()
    {
        var herd = new Herd(Small);
        herd.Ask("a");
        herd.Hold("a", 0, 1, 2);
        herd.Leave("a");
        herd.Ask("b");
        herd.Push();

        Assert.Equal([0, 1, 2], herd.Told["b"].Assigned.Keys);
        Assert.Equal(3, herd.CountFetches("b", "a"));
    }

    [Fact]
    public void HolderChanged_HolderIsGone_WhatWasFetchedFromItIsAssignedAnew()
    {
        var herd = new Herd(Small);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a");
        herd.Push();
        herd.Hold("g", herd.AllSegments);

        herd.Lose("h");
        herd.Push();

        Assert.Equal(16, herd.CountFetches("a", "g"));
        Assert.All(herd.Fetches, fetch => Assert.Equal("g", herd.Told["a"].Assigned[fetch.Segment]));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void Push_SeveralZones_EachSegmentCrossesIntoEachOnce(int zones)
    {
        var herd = new Herd(Small, zoneOf: Zone);
        herd.Hold("0h", herd.AllSegments);
        var askers = Enumerable.Range(0, zones * 5).Select(i => $"{i % zones}a{i}").ToList();
        askers.ForEach(node => herd.Ask(node));
        var crossed = new List<(string Zone, int Segment)>();
        var known = new HashSet<(string, string, int)>();
        herd.Push();
        while (herd.Fetches.Count > 0)
        {
            FetchRules.Check(herd.Owner, herd.Policy, herd.Layout);
            crossed.AddRange(herd.Fetches.Where(known.Add).Where(fetch => Zone(fetch.From) != Zone(fetch.To)).Select(fetch => (Zone(fetch.To), fetch.Segment)));

            // Those arrive whose parents hold them.
            foreach (var fetch in herd.Fetches.Where(fetch => herd.Holds(fetch.From, fetch.Segment)).ToList())
            {
                herd.Hold(fetch.To, fetch.Segment);
            }

            herd.Push();
        }

        Assert.All(askers, node => Assert.All(herd.AllSegments, segment => Assert.True(herd.Holds(node, segment))));
        Assert.Equal((zones - 1) * 40, crossed.Count);
        Assert.Equal(crossed.Count, crossed.Distinct().Count());
    }

    [Fact]
    public void Push_WhoServesTheZoneIsBanned_Crosses()
    {
        var policy = new CoordinatorPolicy { FirstBan = TimeSpan.FromMinutes(1), LongestBan = TimeSpan.FromMinutes(1) };
        var herd = new Herd(Small, policy, Zone);
        herd.Hold("0h", herd.AllSegments);
        herd.Hold("1h", herd.AllSegments);
        herd.Ask("1a");
        herd.Push();
        Assert.Equal(16, herd.CountFetches("1a", "1h"));

        herd.FailAll("1a", "1h", FetchFailure.Unreachable);
        herd.Wait(policy.LongestFailurePause);

        Assert.Equal(16, herd.CountFetches("1a", "0h"));
    }

    [Fact]
    public void Push_OnlyHolderOfTheZoneHasNoRoom_CrossesAfterAWhile()
    {
        var herd = new Herd(Small, new CoordinatorPolicy { CreditsOfShortSegments = 1 }, Zone);
        herd.Hold("1h", herd.AllSegments);
        herd.Ask("1b", new Want { Wanted = { new PieceRun { First = 0, Count = 1 } } });
        herd.Push();
        Assert.Equal(("1b", "1h", 0), Assert.Single(herd.Fetches));
        herd.Hold("0h", herd.AllSegments);
        herd.Hold("1a", 0);
        herd.Ask("1a");

        herd.Wait(herd.Policy.ZonePatience - TimeSpan.FromMilliseconds(50));
        Assert.Equal(0, herd.CountFetches("1a"));
        herd.Wait(TimeSpan.FromMilliseconds(100));

        Assert.Equal(1, herd.CountFetches("1a", "0h"));
    }

    [Fact]
    public void Reported_OnlyHolderOfTheZoneIsSlow_WhatItHasCrosses()
    {
        var herd = new Herd(Small, zoneOf: Zone);
        herd.Hold("0h", herd.AllSegments);
        herd.Hold("1h", herd.AllSegments);
        herd.Ask("1a");
        herd.Push();
        Assert.Equal(16, herd.CountFetches("1a", "1h"));

        for (var i = 0; i < 4; i++)
        {
            herd.FailAll("1a", "1h", FetchFailure.Slow);
            herd.Wait(herd.Policy.LongestFailurePause);
            herd.Push();
        }

        Assert.InRange(herd.CountFetches("1a", "1h"), 0, herd.Policy.TokensOfSlow);
        Assert.InRange(herd.CountFetches("1a", "0h"), 1, 16);
    }

    [Fact]
    public void Reported_UnreachableForOneOfSeveral_OthersFetchOn()
    {
        var herd = new Herd(Small);
        herd.Hold("h", herd.AllSegments);
        Array.ForEach(["a", "b", "c", "d"], node => herd.Ask(node));
        herd.Push();

        var before = herd.CountFetches("b", "h");
        Assert.InRange(before, 1, 15);

        herd.FailAll("a", "h", FetchFailure.Unreachable);
        herd.FailAll("b", "a", FetchFailure.Starved);
        herd.Push();

        Assert.InRange(herd.CountFetches("b", "h"), before + 1, 16);
    }

    [Theory]
    [InlineData((int)FetchFailure.Unreachable)]
    [InlineData((int)FetchFailure.Corrupt)]
    public void Reported_FailsForTwo_IsBannedAndWhatOnlyItHoldsIsReadAgain(int reason)
    {
        var herd = new Herd(Small);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a", canReachOrigin: true);
        herd.Ask("b");
        herd.Hold("b", 0, 1, 2);
        herd.Push();
        herd.FailAll("a", "h", (FetchFailure)reason);
        herd.Push();
        Assert.Empty(herd.Owner.Grants);

        herd.FailAll("b", "h", (FetchFailure)reason);
        herd.Fetches.ForEach(fetch => herd.Fail(fetch, FetchFailure.Starved));
        herd.Push();

        Assert.Equal(0, herd.CountFetches(from: "h"));
        Assert.Equal(Enumerable.Range(3, 8), herd.GrantedTo("a"));
    }

    [Fact]
    public void Reported_FailsDuringTheBanForTwo_OneIsNotEnoughForTheNext()
    {
        var herd = new Herd(Small, new CoordinatorPolicy { PaceInterval = TimeSpan.FromHours(1) });
        herd.Hold("h", herd.AllSegments);
        Array.ForEach(["a", "b", "c", "d"], node => herd.Ask(node));
        herd.Push();
        Fail("a");
        Fail("b");
        herd.FailAll("a", "h", FetchFailure.Unreachable);
        herd.FailAll("b", "h", FetchFailure.Unreachable);
        herd.Wait(2 * herd.Policy.LongestFailurePause);
        var fetches = herd.CountFetches(from: "h");
        Assert.NotEqual(0, fetches);

        Fail("a");
        herd.Wait(herd.Policy.LongestFailurePause);

        Assert.Equal(fetches, herd.CountFetches(from: "h"));

        void Fail(string node) => herd.Fail(herd.Fetches.First(fetch => fetch.To == node && fetch.From == "h"), FetchFailure.Unreachable);
    }

    [Fact]
    public void Reported_UnreachableForTheOnlyAsker_IsBanned()
    {
        var herd = new Herd(Small);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a", canReachOrigin: true);
        herd.Push();

        herd.Fail(herd.Fetches[0], FetchFailure.Unreachable);
        herd.Push();

        Assert.NotEmpty(herd.GrantedTo("a"));
    }

    [Fact]
    public void Tick_BanIsOver_IsAskedAgainAndBannedForTwiceAsLong()
    {
        var herd = new Herd(Small);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a");
        var bans = new List<double>();
        for (var round = 0; round < 6; round++)
        {
            herd.Push();
            var start = herd.Now;
            herd.FailAll("a", "h", FetchFailure.Unreachable);
            while (herd.CountFetches() == 0)
            {
                herd.Wait(TimeSpan.FromMilliseconds(100));
            }

            bans.Add((herd.Now - start).TotalSeconds);
        }

        Assert.Equal([1, 2, 4, 8, 8, 8], bans.Select(seconds => Math.Round(seconds)));
    }

    [Fact]
    public void Reported_Starved_NobodyIsPunished()
    {
        var herd = new Herd(Small);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a", canReachOrigin: true);
        for (var round = 0; round < 20; round++)
        {
            herd.Push();
            Assert.Equal(16, herd.CountFetches("a", "h"));
            herd.FailAll("a", "h", FetchFailure.Starved);
        }

        Assert.Empty(herd.Owner.Grants);
    }

    [Fact]
    public void Reported_SlowByTheOnlyOne_ServesHalfAsManyAndOneInTheEnd()
    {
        var herd = new Herd(Small);
        herd.Hold("h", herd.AllSegments);
        foreach (var expected in new[] { 16, 8, 4, 2, 1, 1 })
        {
            // A new session each time: nothing of the former is under way.
            herd.Ask("a");
            herd.Push();
            Assert.Equal(expected, herd.CountFetches(from: "h"));
            herd.Fetches.Take(1).ToList().ForEach(fetch => herd.Fail(fetch, FetchFailure.Slow));
            herd.Leave("a");
        }
    }

    [Fact]
    public void Hold_SlowHolderServes_MayServeMoreAgain()
    {
        var herd = new Herd(Large);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a");
        herd.Push();
        herd.Fetches.Take(2).ToList().ForEach(fetch => herd.Fail(fetch, FetchFailure.Slow));
        herd.Hold("a", herd.Fetches.Select(fetch => fetch.Segment).ToList());
        herd.Push();

        // From 8 by two halvings to 2, and one more for each of the six that came.
        Assert.Equal(8, herd.CountFetches(from: "h"));
    }

    [Fact]
    public void Reported_Busy_IsLeftAloneForAMomentAndAskedForLess()
    {
        var herd = new Herd(Small);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a");
        herd.Push();
        herd.FailAll("a", "h", FetchFailure.Busy);
        herd.Wait(herd.Policy.BusyPause - TimeSpan.FromTicks(1));
        Assert.Empty(herd.Fetches);

        herd.Wait(herd.Policy.LongestFailurePause);

        Assert.Equal(1, herd.CountFetches("a", "h"));
    }

    // Of what it reads it may never have a segment as a whole.
    [Theory]
    [InlineData((int)FetchFailure.Busy, 8)]
    [InlineData((int)FetchFailure.Slow, 1)]
    public void Reported_PiecesOfWhoReadsBitByBit_HolderThatWasBusyServesMoreAgain(int reason, int expected)
    {
        var herd = new Herd(Huge);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a", BitByBit(herd));
        herd.Push();
        herd.FailAll("a", "h", (FetchFailure)reason);
        herd.Wait(herd.Policy.FirstFailurePause + herd.Policy.BusyPause);
        Assert.Equal(1, herd.CountFetches("a", "h"));
        for (var round = 0; round < 10; round++)
        {
            herd.HoldPiece("a", herd.Fetches[0].Segment);
            herd.FailAll("a", "h", FetchFailure.Starved);
            herd.Push();
        }

        Assert.Equal(expected, herd.CountFetches("a", "h"));
    }

    [Fact]
    public void Reported_BusyWhileItServesOthers_TheseCountAsAllThatItCan()
    {
        var herd = new Herd(Large);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a");
        herd.Push();
        herd.Fail(herd.Fetches[0], FetchFailure.Busy);
        herd.Fail(herd.Fetches[0], FetchFailure.Busy);
        herd.Ask("b");
        herd.Wait(TimeSpan.FromSeconds(2));

        Assert.Equal(6, herd.CountFetches(from: "h"));
    }

    [Fact]
    public void Reported_NotHeld_IsReadAgainAndNotAskedForThere()
    {
        var herd = new Herd(Small);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a", canReachOrigin: true);
        herd.Ask("b");
        herd.Push();
        var fetch = herd.Fetches.First(fetch => fetch.From == "h");

        herd.Fail(fetch, FetchFailure.NotHeld);
        herd.Push();
        Assert.DoesNotContain(herd.Fetches, other => other == fetch);
        foreach (var child in herd.Fetches.Where(child => child.Segment == fetch.Segment).ToList())
        {
            herd.Fail(child, FetchFailure.Starved);
        }

        herd.Push();

        Assert.Equal([fetch.Segment], herd.GrantedTo("a"));
    }

    // A member that announces what it lacks would be asked for each segment once.
    [Fact]
    public void Reported_AHolderOfTheWholeHasNothing_IsBannedAndReadByWhoCan()
    {
        var herd = new Herd(Large);
        herd.Hold("liar", herd.AllSegments);
        herd.Ask("a", canReachOrigin: true);
        herd.Push();
        Assert.Empty(herd.GrantedTo("a"));
        var asked = 0;
        while (herd.Now < TimeSpan.FromSeconds(60))
        {
            asked += herd.CountFetches(from: "liar");
            herd.FailAll("a", "liar", FetchFailure.NotHeld);
            herd.Hold("a", herd.GrantedTo("a").Take(1));
            herd.Wait(TimeSpan.FromMilliseconds(50));
        }

        Assert.InRange(asked, herd.Policy.DenialsToComplain, 100);
        Assert.True(herd.AllSegments.All(segment => herd.Holds("a", segment)), "not all was read");
    }

    // What comes from elsewhere says nothing for it.
    [Fact]
    public void Reported_AHolderOfTheWholeHasNothing_IsBannedThoughPiecesArriveFromElsewhere()
    {
        var herd = new Herd(Huge);
        herd.Hold("liar", herd.AllSegments);
        herd.Ask("a", BitByBit(herd));
        herd.Push();
        var asked = 0;
        while (herd.Now < TimeSpan.FromSeconds(60))
        {
            foreach (var fetch in herd.Fetches.Take(1))
            {
                asked++;
                herd.HoldPiece("a", fetch.Segment);
                herd.Fail(fetch, FetchFailure.NotHeld);
            }

            herd.Wait(TimeSpan.FromMilliseconds(50));
        }

        Assert.InRange(asked, herd.Policy.DenialsToComplain, 100);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Reported_AHolderOfTheWholeHasLostAFew_ServesOn(bool isWhole)
    {
        var herd = new Herd(Huge);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a", isWhole ? new Want() : BitByBit(herd));
        herd.Push();
        for (var round = 0; round < 20; round++)
        {
            herd.Fail(herd.Fetches[0], FetchFailure.NotHeld);
            herd.Wait(herd.Policy.FirstFailurePause);
            Arrive(herd, isWhole);
            herd.Push();
            Assert.NotEmpty(herd.Fetches);
        }
    }

    [Fact]
    public void Reported_OfAFetchThatWasTakenBack_IsWithoutEffect()
    {
        var herd = new Herd(Small);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a");
        herd.Push();
        var before = herd.Fetches;

        herd.Fail(before[0] with { From = "g" }, FetchFailure.Corrupt);
        herd.Fail(("a", "h", herd.AllSegments.First(segment => before.TrueForAll(fetch => fetch.Segment != segment))), FetchFailure.Corrupt);
        herd.Fail(before[0] with { To = "stranger" }, FetchFailure.Corrupt);
        herd.Push();

        Assert.Equal(before, herd.Fetches);
    }

    [Fact]
    public void Reported_FailedFetch_AnotherHolderIsPreferred()
    {
        var herd = new Herd(KiB64);
        herd.Hold("g", 0);
        herd.Hold("h", 0);
        herd.Ask("a");
        herd.Push();
        for (var round = 0; round < 20; round++)
        {
            var fetch = Assert.Single(herd.Fetches);
            herd.Fail(fetch, FetchFailure.Starved);
            herd.Push();
            Assert.NotEqual(fetch.From, Assert.Single(herd.Fetches).From);
        }
    }

    /// <summary>Failures that come back at once must not go round and round between owner and asker.</summary>
    [Theory]
    [InlineData((int)FetchFailure.Unreachable)]
    [InlineData((int)FetchFailure.Corrupt)]
    [InlineData((int)FetchFailure.Busy)]
    [InlineData((int)FetchFailure.NotHeld)]
    public void Reported_EverythingFailsAtOnce_TheAskerIsAssignedLessAndLess(int reason)
    {
        var herd = new Herd(Large);
        Nodes("h", 30).ForEach(node => herd.Hold(node, herd.AllSegments));
        herd.Ask("a");
        herd.Ask("idle", new Want { Wanted = { new PieceRun() } });
        var assigned = 0;
        while (herd.Now < TimeSpan.FromSeconds(10))
        {
            herd.Push();
            assigned += herd.CountFetches();
            herd.Fetches.ForEach(fetch => herd.Fail(fetch, (FetchFailure)reason));
            herd.Wait(TimeSpan.FromMilliseconds(1));
        }

        // Seven rounds until there is a second between them, and one in each of those that are left, with all credits each.
        Assert.InRange(assigned, 8 * 10, 8 * 17);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Reported_OneFailure_PausesForAMomentAndSuccessForgetsIt(bool isWhole)
    {
        var herd = new Herd(Huge);
        Nodes("h", 5).ForEach(node => herd.Hold(node, herd.AllSegments));
        herd.Ask("a", isWhole ? new Want() : BitByBit(herd));
        herd.Push();
        for (var round = 0; round < 5; round++)
        {
            var fetch = herd.Fetches[0];
            herd.Fail(fetch, FetchFailure.NotHeld);
            herd.Push();
            Assert.Equal(7, herd.CountFetches());
            herd.Wait(herd.Policy.FirstFailurePause);
            Assert.Equal(8, herd.CountFetches());
            Arrive(herd, isWhole);
            herd.Push();
        }
    }

    /// <summary>Everything was fetched from those who die: that is one misfortune, not as many as there were fetches.</summary>
    [Fact]
    public void Reported_AllThatIsUnderWayFails_PausesAsAfterOneFailure()
    {
        var herd = new Herd(Large);
        var dead = Nodes("d", 8);
        dead.ForEach(node => herd.Hold(node, herd.AllSegments));
        herd.Ask("a");
        herd.Ask("idle", new Want { Wanted = { new PieceRun() } });
        herd.Push();
        Nodes("h", 8).ForEach(node => herd.Hold(node, herd.AllSegments));
        dead.ForEach(node => herd.FailAll("a", node, FetchFailure.Unreachable));
        dead.ForEach(herd.Lose);
        herd.Push();
        Assert.Empty(herd.Fetches);

        herd.Wait(herd.Policy.FirstFailurePause);

        Assert.Equal(8, herd.CountFetches("a"));
    }

    private static Want BitByBit(Herd herd) => new() { Wanted = { new PieceRun { Count = (uint)herd.Layout.PieceCount } } };

    /// <summary>The first that is fetched has arrived, or as much of it as is needed.</summary>
    private static void Arrive(Herd herd, bool isWhole)
    {
        var fetch = herd.Fetches[0];
        if (isWhole)
        {
            herd.Hold("a", fetch.Segment);
        }
        else
        {
            herd.HoldPiece("a", fetch.Segment);
            herd.Fail(fetch, FetchFailure.Starved);
        }
    }

    private static string Zone(string node) => node[..1];

    private static List<string> Nodes(string prefix, int count) => [.. Enumerable.Range(0, count).Select(i => $"{prefix}{i:d2}")];
}
