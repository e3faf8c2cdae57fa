using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>What an owner grants, and what it tells of the content as a whole.</summary>
public sealed class CoordinatorTests
{
    private const int KiB64 = 64 * 1024;

    private const long GiB = 1L << 30;

    /// <summary>A content of 40 pieces, each a segment of its own; the first 16 begin within the first MiB.</summary>
    private const long Size = 40 * KiB64;

    private static readonly CoordinatorPolicy Policy = new() { Readers = 3, LeastOpenGrants = 1, HolderSample = 4, Lease = TimeSpan.FromSeconds(2) };

    private readonly Coordinator _coordinator = new(Policy, seed: 1);
    private readonly ToldNodes _told;

    public CoordinatorTests() => _told = new ToldNodes(_coordinator);

    [Fact]
    public void Asked_LoneAsker_IsGrantedEverythingAtOnce()
    {
        _coordinator.SizeKnown(Size, "application/octet-stream", Seconds(0));
        _coordinator.SizeKnown(Size, "a/type", Seconds(0));
        Ask("a");

        var push = Assert.Single(Take()).Push;
        Assert.Equal(new SegmentRun { First = 0, Count = 40 }, Assert.Single(push.Granted));
        Assert.Equal((Size, "a/type", LookupState.Available), (push.Size, push.MediaType, push.State));
    }

    [Fact]
    public void Asked_SeveralAskers_SegmentsAreDealtInOrderToAFewReaders()
    {
        AskAll("a", "b", "c", "d", "e");
        Take();
        var prober = Assert.Single(Grantees());
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Take();

        // Three readers with two grants each: the probe of 16 segments, five of 256 KiB.
        Assert.Equal(Enumerable.Range(0, 36), _coordinator.Grants.Select(pair => pair.Key).Order());
        Assert.Equal(3, Grantees().Count);
        Assert.All(Grantees(), node => Assert.Equal(node == prober ? 20 : 8, _told[node].Granted.Count));

        Arrived(prober, Enumerable.Range(0, 16));
        Take();

        Assert.Equal(Enumerable.Range(16, 24), _coordinator.Grants.Select(pair => pair.Key).Order());
        Assert.Equal(Enumerable.Range(36, 4), _told[prober].Granted.Where(segment => segment >= 36));
    }

    [Fact]
    public void Asked_SeveralAskersAndLongSegments_EachGrantIsOneSegmentAndTheNextComesWhenHalfOfItIsThere()
    {
        _coordinator.SizeKnown(GiB, string.Empty, Seconds(0));
        AskAll("a", "b", "c", "d");
        Take();

        Assert.Equal(Enumerable.Range(0, 3), _coordinator.Grants.Select(pair => pair.Key).Order());
        Assert.Equal(3, Grantees().Count);
        var reader = _coordinator.Grants.Single(pair => pair.Key == 1).Value;
        for (var piece = 1; piece <= 4; piece++)
        {
            // Pieces 4 to 7 are segment 1.
            var held = new PieceSet(new ContentLayout(GiB).PieceCount);
            held.AddRun(4, piece);
            _coordinator.HolderChanged(reader, complete: false, held, Seconds(0));
            Take();
            Assert.Equal(piece < 2 ? [1] : [1, 3], _told[reader].Granted);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void Asked_ManyShortSegments_NoMoreGrantsInASecond(int askers)
    {
        // Each grant one segment; a lone reader gets only what others do not hold, which is every other one.
        var herd = new Herd(64L << 20, new CoordinatorPolicy { GrantsPerSecond = 20, LeastGrant = 1, Readers = 100, GrantsPerAsker = 100, ReadingPatience = TimeSpan.FromHours(1) });
        herd.Hold("holder", herd.AllSegments.Where(segment => segment % 2 == 1));
        var nodes = Enumerable.Range(0, askers).Select(asker => $"{asker}").ToList();
        nodes.ForEach(node => herd.Ask(node, canReachOrigin: true));
        var granted = 0;
        for (var end = TimeSpan.FromSeconds(2); herd.Now < end; herd.Wait(TimeSpan.FromMilliseconds(10)))
        {
            foreach (var node in nodes)
            {
                // All that is granted is there at once.
                var segments = herd.GrantedTo(node).ToList();
                granted += segments.Count;
                herd.Hold(node, segments);
            }

            Assert.InRange(granted, 0, 20 + (20 * herd.Now.TotalSeconds));
        }

        Assert.InRange(granted, 50, 60);
    }

    [Fact]
    public void Asked_LoneAsker_OneGrantOfTheWholeIsOneRequest()
    {
        var herd = new Herd(64L << 20, new CoordinatorPolicy { GrantsPerSecond = 1 });
        herd.Ask("a", canReachOrigin: true);

        herd.Push();

        Assert.Equal(herd.AllSegments, herd.GrantedTo("a"));
    }

    [Theory]
    [InlineData(2, 8)]
    [InlineData(3, 6)]
    [InlineData(8, 2)]
    public void Asked_FewAskersAndShortSegments_MoreGrantsEach(int askers, int grants)
    {
        var herd = new Herd(64L << 20, new CoordinatorPolicy());
        Assert.Equal(herd.Policy.ShortSegment, herd.Layout.SegmentSize);
        for (var asker = 0; asker < askers; asker++)
        {
            herd.Ask($"{asker}", canReachOrigin: true);
        }

        // Half of each grant is there before the next.
        for (var i = 0; i < 100; i++)
        {
            herd.Push();
            foreach (var (segment, node) in herd.Owner.Grants.ToList())
            {
                var held = new PieceSet(herd.Layout.PieceCount);
                herd.Owner.Grants.Where(pair => pair.Value == node).ToList().ForEach(pair => held.AddRun(pair.Key * herd.Layout.PiecesPerSegment, herd.Layout.PiecesPerSegment / 2));
                herd.Owner.HolderChanged(node, complete: false, held, herd.Now);
            }
        }

        Assert.All(Enumerable.Range(0, askers), asker => Assert.Equal(grants, herd.Owner.CountGrants($"{asker}")));
    }

    [Fact]
    public void Asked_FarBehindWhileOthersRead_IsGrantedNothing()
    {
        var herd = new Herd(GiB);
        foreach (var (node, index) in new[] { "a", "b", "c", "behind" }.Select((node, index) => (node, index)))
        {
            herd.Ask(node, canReachOrigin: true);
            herd.Hold(node, Enumerable.Range(20 * index, node == "behind" ? 3 : 20));
        }

        herd.Push();
        Assert.Empty(herd.GrantedTo("behind"));
        Assert.All(["a", "b", "c"], node => Assert.NotEmpty(herd.GrantedTo(node)));

        // Two may be too few for the origin.
        herd.Leave("c");
        herd.Push();

        Assert.NotEmpty(herd.GrantedTo("behind"));
    }

    [Fact]
    public void Tick_FarBehindAndReadsMuchSlowerThanUsual_AnotherReadsAndServes()
    {
        var herd = new Herd(GiB);
        string[] all = ["a", "b", "thin"];
        foreach (var node in all)
        {
            herd.Ask(node, canReachOrigin: true);
        }

        herd.Push();
        var slow = herd.GrantedTo("thin").ToList();
        Assert.NotEmpty(slow);
        Assert.Contains(herd.Fetches, fetch => fetch.From == "thin");

        // The others read on, each segment in 100 ms, and give each other what they have.
        void OthersReadOn(int times)
        {
            for (var i = 0; i < times; i++)
            {
                herd.Wait(TimeSpan.FromMilliseconds(100));
                var read = herd.GrantedTo("a").Concat(herd.GrantedTo("b")).ToList();
                herd.Hold("a", read);
                herd.Hold("b", read);
                herd.Owner.Reported("thin", new GrantReport { Reading = { SegmentRuns.Of(herd.GrantedTo("thin")) } }, herd.Now);
                herd.Push();
            }
        }

        OthersReadOn(2);
        Assert.Equal(slow, herd.GrantedTo("thin"));
        OthersReadOn(20);

        // Bytes arrived all the time: the lease alone would have left it the segments.
        Assert.Empty(herd.GrantedTo("thin").Intersect(slow));
        Assert.Superset(slow.ToHashSet(), herd.Told["thin"].Revoked.ToHashSet());
        Assert.All(slow, segment => Assert.True(herd.Holds("a", segment) && herd.Holds("b", segment), $"{segment} is still waited for"));
        Assert.DoesNotContain(herd.Fetches, fetch => fetch.From == "thin");
    }

    [Fact]
    public void Tick_AlmostAllReadMuchSlowerThanUsual_LittleIsTakenFromThem()
    {
        var herd = new Herd(GiB);
        string[] slow = ["b", "c", "d", "e", "f", "g"];
        foreach (var node in slow.Prepend("quick"))
        {
            herd.Ask(node, canReachOrigin: true);
        }

        for (var i = 0; i < 150; i++)
        {
            herd.Wait(TimeSpan.FromMilliseconds(100));
            herd.Hold("quick", herd.GrantedTo("quick"));
            foreach (var node in slow)
            {
                // Bytes arrive all the time.
                herd.Owner.Reported(node, new GrantReport { Reading = { SegmentRuns.Of(herd.GrantedTo(node)) } }, herd.Now);
            }

            herd.Push();
        }

        var taken = slow.Sum(node => herd.Told[node].Revoked.Count);
        var held = herd.AllSegments.Count(segment => herd.Holds("quick", segment));
        Assert.InRange(taken, 1, Math.Max(4, held / 32) + 1);
    }

    [Fact]
    public void Tick_OneOfTwoReadsSlowlyAndIsNotBehind_ReadsOn()
    {
        var herd = new Herd(GiB);
        herd.Ask("a", canReachOrigin: true);
        herd.Ask("b", canReachOrigin: true);
        herd.Push();
        var first = herd.GrantedTo("b").ToList();
        for (var i = 0; i < 6; i++)
        {
            herd.Wait(TimeSpan.FromMilliseconds(100));
            herd.Hold("a", herd.GrantedTo("a"));
            herd.Owner.Reported("b", new GrantReport { Reading = { SegmentRuns.Of(first) } }, herd.Now);
            herd.Push();
        }

        Assert.Superset(first.ToHashSet(), herd.GrantedTo("b").ToHashSet());
    }

    [Fact]
    public void Asked_ShownToBeSlowToServe_IsGrantedNothingWhileOthersRead()
    {
        var herd = new Herd(GiB);
        foreach (var node in new[] { "slow", "a", "b" })
        {
            herd.Ask(node, canReachOrigin: true);
        }

        herd.Push();
        herd.Hold("slow", herd.GrantedTo("slow"));
        foreach (var _ in Enumerable.Range(0, 3))
        {
            herd.FailAll("a", "slow", FetchFailure.Slow);
            herd.FailAll("b", "slow", FetchFailure.Slow);
            herd.Wait(TimeSpan.FromSeconds(1));
        }

        foreach (var _ in Enumerable.Range(0, 10))
        {
            herd.Hold("a", herd.GrantedTo("a"));
            herd.Hold("b", herd.GrantedTo("b"));
            herd.Push();
            Assert.Empty(herd.GrantedTo("slow"));
        }

        herd.Leave("a");
        herd.Leave("b");
        herd.Wait(TimeSpan.FromSeconds(10));
        Assert.NotEmpty(herd.GrantedTo("slow"));
    }

    [Fact]
    public void Reported_OnlyHolderIsSlow_TheOriginIsReadBitByBit()
    {
        var herd = new Herd(GiB);
        herd.Hold("slow", herd.AllSegments);
        herd.Ask("a", canReachOrigin: true);
        herd.Push();
        Assert.Empty(herd.GrantedTo("a"));

        herd.FailAll("a", "slow", FetchFailure.Slow);
        herd.Wait(TimeSpan.FromMilliseconds(300));

        // It may have had a bad moment only.
        Assert.InRange(herd.GrantedTo("a").Count(), 1, herd.Layout.SegmentCount / 16);
    }

    [Fact]
    public void Reported_OnlyHolderIsSlowForAMoment_NothingIsRead()
    {
        var herd = new Herd(GiB);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a", canReachOrigin: true);
        herd.Push();

        // Two of eight: it may serve two from then on, and one more for each that comes.
        herd.Fetches.Take(2).ToList().ForEach(fetch => herd.Fail(fetch, FetchFailure.Slow));
        herd.Push();

        Assert.Empty(herd.GrantedTo("a"));
    }

    // It may serve one then, as slow ones do, and is not slow for that.
    [Fact]
    public void Reported_OnlyHolderIsBusyLongAfterItWasSlow_NothingIsRead()
    {
        var herd = new Herd(GiB);
        herd.Hold("h", herd.AllSegments);
        herd.Ask("a", canReachOrigin: true);
        herd.Push();
        herd.Fetches.Take(2).ToList().ForEach(fetch => herd.Fail(fetch, FetchFailure.Slow));
        herd.Hold("a", herd.Fetches.Select(fetch => fetch.Segment).ToList());
        herd.Push();
        Assert.Equal(herd.Policy.Credits, herd.CountFetches(from: "h"));

        herd.FailAll("a", "h", FetchFailure.Busy);
        herd.Wait(TimeSpan.FromSeconds(2));

        Assert.Equal(1, herd.CountFetches(from: "h"));
        Assert.Empty(herd.GrantedTo("a"));
    }

    [Fact]
    public void Reported_SlowHolderIsNotTheOnlyOne_NothingIsReadAgain()
    {
        var herd = new Herd(GiB);
        herd.Hold("slow", herd.AllSegments);
        herd.Hold("quick", herd.AllSegments);
        herd.Ask("a", canReachOrigin: true);
        herd.Ask("b", canReachOrigin: true);
        herd.Push();
        herd.FailAll("a", "slow", FetchFailure.Slow);
        herd.FailAll("b", "slow", FetchFailure.Slow);

        herd.Wait(TimeSpan.FromSeconds(2));

        Assert.Empty(herd.Owner.Grants);
    }

    [Fact]
    public void Asked_HolderIsFarBehindAndFetchesTheSegmentItself_OthersServeIt()
    {
        var herd = new Herd(GiB);
        herd.Hold("origin", Enumerable.Range(0, 100));
        herd.Ask("behind");
        herd.Push();
        Assert.NotEmpty(herd.Fetches);

        herd.Hold("asker", Enumerable.Range(40, 60));
        herd.Ask("asker");
        herd.Push();
        Assert.All(herd.Fetches.Where(fetch => fetch.To == "asker"), fetch => Assert.Equal("origin", fetch.From));
    }

    [Fact]
    public void Asked_FarBehindBecauseItWantsLittle_IsGrantedWhatItWants()
    {
        var herd = new Herd(GiB);
        foreach (var node in new[] { "a", "b", "c" })
        {
            herd.Ask(node, canReachOrigin: true);
            herd.Hold(node, Enumerable.Range(0, 30));
        }

        herd.Ask("part", new Want { CanReachOrigin = true, Wanted = { new PieceRun { First = (uint)(200 * herd.Layout.PiecesPerSegment), Count = 1 } } });
        herd.Push();

        Assert.Equal([200], herd.GrantedTo("part"));
    }

    [Fact]
    public void Asked_WantsPartsAndHasReadOnlyABitOfItsGrants_IsGrantedTheOthersAllTheSame()
    {
        // What a reader went away from is not read to the end.
        var herd = new Herd(GiB);
        herd.Ask("whole");
        foreach (var segment in Enumerable.Range(0, 20))
        {
            herd.Ask("part", new Want { CanReachOrigin = true, Wanted = { new PieceRun { First = (uint)(segment * herd.Layout.PiecesPerSegment), Count = 1 } } });
            herd.Push();
            Assert.Contains(segment, herd.GrantedTo("part"));
        }

        // Not its fault: it is granted more.
        herd.Wait(TimeSpan.FromSeconds(4));
        herd.Ask("part", new Want { CanReachOrigin = true, Wanted = { new PieceRun { First = (uint)(30 * herd.Layout.PiecesPerSegment), Count = 1 } } });
        herd.Push();
        Assert.Contains(30, herd.GrantedTo("part"));
    }

    [Fact]
    public void SizeKnown_LoneReaderOfPartsWhoseProbeReadLessThanASegment_IsGrantedTheRestAtOnce()
    {
        Ask("a", wanted: [new PieceRun()]);
        Take();
        var held = new PieceSet(new ContentLayout(GiB).PieceCount);
        held.AddRun(0, 1);
        _coordinator.SizeKnown(GiB, string.Empty, Seconds(0));
        _coordinator.HolderChanged("a", complete: false, held, Seconds(0));
        Take();

        Ask("a", wanted: [new PieceRun { First = 800, Count = 1 }]);
        Take();

        Assert.Contains(200, _told["a"].Granted);
    }

    [Fact]
    public void Asked_SomebodyWantsNothing_TheOtherIsAlone()
    {
        var herd = new Herd(GiB);
        herd.Ask("idle", new Want { CanReachOrigin = true, Wanted = { new PieceRun() } });
        herd.Ask("reader", canReachOrigin: true);
        herd.Push();
        Assert.Equal(herd.Layout.SegmentCount, herd.GrantedTo("reader").Count());

        // And nobody else could take over what is slow to begin.
        herd.Wait(TimeSpan.FromSeconds(20));
        Assert.Equal(herd.Layout.SegmentCount, herd.GrantedTo("reader").Count());
    }

    [Fact]
    public void Asked_OnePieceIsWantedFirst_ItsSegmentIsDealtBeforeThoseInOrder()
    {
        var herd = new Herd(GiB);
        herd.Ask("whole");
        herd.Ask("part", new Want { CanReachOrigin = true, Wanted = { new PieceRun { First = 800, Count = 1 }, new PieceRun { First = 0, Count = 900 } } });
        herd.Push();

        Assert.Contains(200, herd.GrantedTo("part"));
    }

    [Fact]
    public void Asked_NodesThatCannotReachTheOrigin_GetNoGrant()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("deaf", canReachOrigin: false);
        Take();
        Assert.Empty(_coordinator.Grants);
        Assert.Equal(LookupState.Unavailable, _told["deaf"].State);

        Ask("able");
        Take();

        Assert.Equal(["able"], Grantees());
        Assert.Equal(LookupState.Available, _told["deaf"].State);
        Assert.Empty(_told["deaf"].Granted);
    }

    [Fact]
    public void Asked_SizeUnknown_ExactlyOneProbes()
    {
        AskAll("a", "b", "c");
        Take();

        var (segment, prober) = Assert.Single(_coordinator.Grants);
        Assert.Equal(0, segment);
        Assert.Equal([prober], _told.All.Where(pair => pair.Value.Granted.Count > 0).Select(pair => pair.Key));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(15, 15)]
    [InlineData(16, 16)]
    [InlineData(17, 16)]
    [InlineData(40, 16)]
    public void SizeKnown_ProbeUnderWay_ItCoversWhatBeginsInTheFirstMebibyte(int segments, int covered)
    {
        AskAll("a", "b");
        Take();
        var prober = Assert.Single(Grantees());

        _coordinator.SizeKnown(segments * KiB64, string.Empty, Seconds(0));
        Assert.Equal(Enumerable.Range(0, covered).Select(segment => KeyValuePair.Create(segment, prober)), _coordinator.Grants.OrderBy(pair => pair.Key));
        Take();

        Assert.Equal(Enumerable.Range(0, covered), _told[prober].Granted.Where(segment => segment < 16));
    }

    [Fact]
    public void SizeKnown_LargeSegments_ProbeCoversOne()
    {
        AskAll("a", "b", "c");
        Take();
        var prober = Assert.Single(Grantees());

        _coordinator.SizeKnown(GiB, string.Empty, Seconds(0));
        Take();

        Assert.Equal(4, new ContentLayout(GiB).PiecesPerSegment);
        Assert.Equal(prober, _coordinator.Grants.Single(pair => pair.Key == 0).Value);
        Assert.NotEqual(prober, _coordinator.Grants.Single(pair => pair.Key == 1).Value);
    }

    [Fact]
    public void Tick_ProberIsSilent_AnotherProbes()
    {
        AskAll("a", "b");
        Take();
        var prober = Assert.Single(Grantees());

        _coordinator.Tick(2 * Policy.Lease);
        Assert.Equal([prober], Grantees());
        _coordinator.Tick((2 * Policy.Lease) + TimeSpan.FromTicks(1));
        Take(5);

        Assert.NotEqual(prober, Assert.Single(Grantees()));
        Assert.Empty(_told[prober].Granted);
    }

    [Fact]
    public void SizeKnown_Twice_TheFirstWordCounts()
    {
        Ask("a");
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.SizeKnown(2 * Size, "a/late", Seconds(0));
        Take();

        Assert.Equal((Size, Size, "a/late"), (_coordinator.Size, _told["a"].Size, _told["a"].MediaType));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(HolderDirectory.MaxSize + 1)]
    [InlineData(long.MaxValue)]
    public void SizeKnown_NoSizeOfAContent_IsNotBelieved(long size)
    {
        Ask("a");

        _coordinator.SizeKnown(size, string.Empty, Seconds(0));

        Assert.Null(_coordinator.Size);
    }

    [Fact]
    public void SizeKnown_Nothing_NobodyReads()
    {
        AskAll("a", "b");
        _coordinator.SizeKnown(0, string.Empty, Seconds(0));
        Take();

        Assert.Empty(_coordinator.Grants);
        Assert.Equal(LookupState.Available, _told["a"].State);
        _coordinator.Tick(Seconds(100));
        Assert.Empty(Take(100));
    }

    [Fact]
    public void Asked_HugeContentWithAllChecksumsKnown_ThePushFitsInAMessage()
    {
        var layout = new ContentLayout(100 * GiB);
        _coordinator.SizeKnown(layout.Size, string.Empty, Seconds(0));
        Ask("reader");
        _ = _coordinator.TakePushes(Seconds(0)).Count();
        for (var piece = 0; piece < layout.PieceCount; piece++)
        {
            _coordinator.ChecksumsKnown("reader", piece, [.. Enumerable.Repeat(ulong.MaxValue, layout.FramesIn(piece))]);
        }

        Ask("a");
        var pushes = _coordinator.TakePushes(Seconds(1)).ToList();
        Assert.All(["a", "reader"], node => Assert.NotEmpty(pushes.Single(push => push.Node == node).Push.Checksums));
        Assert.All(pushes, push => Assert.InRange(push.Push.CalculateSize(), 1, 4 << 20));
    }

    [Fact]
    public void Reported_BytesArriveSlowly_TheLeaseLivesOn()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("a");
        Take();

        _coordinator.Reported("a", new GrantReport { Reading = { new SegmentRun { First = 0, Count = 1 } } }, Policy.Lease);
        _coordinator.Tick(Policy.Lease + TimeSpan.FromTicks(1));
        Take(Policy.Lease.TotalSeconds);

        Assert.Empty(_told["a"].Revoked);
    }

    [Fact]
    public void Tick_NoProgressForTheLease_AnotherReads()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("a");
        Take();
        Ask("b");
        Take();
        Assert.Equal(40, _told["a"].Granted.Count);

        _coordinator.Tick(Policy.Lease);
        Assert.Empty(Take(Policy.Lease.TotalSeconds));
        _coordinator.Tick(Policy.Lease + TimeSpan.FromTicks(1));
        Take(2.1);

        Assert.Equal(40, _told["a"].Revoked.Count);
        Assert.Empty(_told["a"].Granted);
        Assert.Equal(["b"], Grantees());

        // What it waited for at the stalled reader it reads itself, without having to say that it starves.
        Assert.Contains(0, _told["b"].Granted);
    }

    [Fact]
    public void Tick_OneLeaseAfterTheOtherExpires_TheyBecomeLonger()
    {
        var herd = new Herd(1);
        herd.Ask("a", canReachOrigin: true);
        herd.Push();
        herd.Ask("b", canReachOrigin: true);
        herd.Ask("c", canReachOrigin: true);
        herd.Push();
        var (reader, since) = (herd.Owner.Grants.Single().Value, TimeSpan.Zero);
        var leases = new List<double>();
        while (leases.Count < 5)
        {
            herd.Wait(TimeSpan.FromMilliseconds(100));
            herd.Fetches.ForEach(fetch => herd.Fail(fetch, FetchFailure.Starved));
            herd.Push();
            if (herd.Owner.Grants.Single().Value is var next && next != reader)
            {
                leases.Add(Math.Round((herd.Now - since).TotalSeconds));
                (reader, since) = (next, herd.Now);
            }
        }

        Assert.Equal([3, 6, 12, 12, 12], leases);
    }

    [Fact]
    public void Tick_OnlyReaderStallsAndItsLeasesEndAtDifferentTimes_AnotherReads()
    {
        var herd = new Herd(40 * KiB64, new CoordinatorPolicy { Readers = 1, GrantsPerAsker = 4, Lease = TimeSpan.FromSeconds(12) });
        herd.Ask("a", canReachOrigin: true);
        herd.Ask("b", canReachOrigin: true);
        herd.Wait(herd.Policy.Settling);
        var silent = herd.Owner.Grants.Select(grant => grant.Value).Distinct().Single();
        herd.Wait(TimeSpan.FromSeconds(11));
        herd.Owner.Reported(silent, new GrantReport { Reading = { new SegmentRun { First = (uint)herd.GrantedTo(silent).First(), Count = 1 } } }, herd.Now);

        herd.Wait(TimeSpan.FromSeconds(16));

        Assert.DoesNotContain(silent, herd.Owner.Grants.Select(grant => grant.Value));
        Assert.NotEmpty(herd.Owner.Grants);
    }

    [Fact]
    public void Tick_LoneAskerStalls_ItGoesOn()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("a");
        Take();

        _coordinator.Tick(Seconds(30));

        Assert.Empty(Take(30));
        Assert.Equal(40, _told["a"].Granted.Count);
    }

    [Fact]
    public void Tick_LeaseExpires_ItReadsAgainOnlyWhenNobodyElseCan()
    {
        _coordinator.SizeKnown(GiB, string.Empty, Seconds(0));
        AskAll("a", "b");
        Take();
        _coordinator.Reported("b", new GrantReport { Reading = { new SegmentRun { Count = 100 } } }, Seconds(2));
        _coordinator.Tick(Seconds(2.1));
        Take(2.1);
        Assert.Equal(["b"], Grantees());

        _coordinator.Left("b", Seconds(2.2));
        Take(2.2);

        Assert.Equal(["a"], Grantees());
    }

    [Fact]
    public void HolderChanged_PieceByPiece_KeepsTheLease()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("a");
        Take();
        Ask("b");
        for (var piece = 0; piece < 40; piece++)
        {
            Arrived("a", Enumerable.Range(0, piece + 1), piece);
            _coordinator.Tick(Seconds(piece));
            Take(piece);
            Assert.Empty(_told["a"].Revoked);
            Assert.Equal(39 - piece, _coordinator.Grants.Count());
        }
    }

    [Fact]
    public void HolderChanged_PiecesOfALargeSegmentOneByOne_KeepsTheLease()
    {
        var layout = new ContentLayout(GiB);
        _coordinator.SizeKnown(GiB, string.Empty, Seconds(0));
        Ask("a");
        Take();
        Ask("b");
        for (var piece = 0; piece < 12; piece++)
        {
            var held = new PieceSet(layout.PieceCount);
            held.AddRun(0, piece + 1);
            _coordinator.HolderChanged("a", complete: false, held, Seconds(piece * 1.5));
            _coordinator.Tick(Seconds(piece * 1.5));
            Assert.Equal(layout.SegmentCount - ((piece + 1) / 4), _coordinator.Grants.Count());
        }

        Take(20);
        Assert.Empty(_told["a"].Revoked);
    }

    [Fact]
    public void HolderChanged_SameNewsAgain_IsNoProgress()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("a");
        Take();
        Ask("b");
        Arrived("a", [0]);
        Arrived("a", [0], 1.5);
        _coordinator.Tick(Seconds(2.5));
        Take(2.5);

        Assert.Equal(39, _told["a"].Revoked.Count);
    }

    [Fact]
    public void Reported_OriginFailed_NoGrantUntilItAsksAnew()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        AskAll("a", "b");
        Take();
        var first = Grantees()[0];

        GiveBack(first, Enumerable.Range(0, 40), originFailed: true);
        for (var second = 0; second < 100; second++)
        {
            _coordinator.Tick(Seconds(second));
            Take(second);
            Assert.DoesNotContain(first, Grantees());
        }

        _coordinator.Left(first == "a" ? "b" : "a", Seconds(100));
        Take(100);
        Assert.Empty(_coordinator.Grants);
        Assert.Equal(LookupState.Unavailable, _told[first].State);

        Ask(first, at: 101);
        Take(101);
        Assert.Equal([first], Grantees());
        Assert.Equal(LookupState.Available, _told[first].State);
    }

    [Fact]
    public void Reported_ProbeFailsEverywhere_AllAreToldThatItIsUnavailableAfterAFewRounds()
    {
        var nodes = Enumerable.Range(0, 8).Select(node => $"{node}").ToArray();
        AskAll(nodes);
        Take();
        var probed = new HashSet<string>(StringComparer.Ordinal);
        var rounds = new List<int>();
        for (; _coordinator.Grants.Any(); Take())
        {
            var probers = _coordinator.Grants.Select(static grant => grant.Value).ToList();
            Assert.Equal(probers.Order(), _told.All.Where(pair => pair.Value.Granted.Count > 0).Select(static pair => pair.Key).Order());
            rounds.Add(probers.Count);
            foreach (var prober in probers)
            {
                Assert.True(probed.Add(prober));
                _told[prober].Granted.Clear();
                GiveBack(prober, [0], originFailed: true);
            }
        }

        // One, for the first may have lacked a token only one more, and when that has failed as many as may read.
        Assert.Equal([1, 1, 3, 3], rounds);
        Assert.All(nodes, node => Assert.Equal(LookupState.Unavailable, _told[node].State));
    }

    [Fact]
    public void Reported_ProbeIsPausedOrGivenBack_OneProbesAsBefore()
    {
        AskAll("a", "b", "c", "d");
        Take();
        GiveBack(Assert.Single(_coordinator.Grants).Value, [0], originFailed: false);
        Take();
        Pause(Assert.Single(_coordinator.Grants).Value, 1000);
        Take();
        Assert.Empty(_coordinator.Grants);

        _coordinator.Tick(Seconds(1));
        Take(1);

        Assert.Single(_coordinator.Grants);
    }

    [Fact]
    public void Asked_ProbeHasFailedAndOneComesWhoMayKnowAnotherWay_OneProbes()
    {
        AskAll("a");
        Take();
        GiveBack("a", [0], originFailed: true);
        Take();
        AskAll("a", "b", "c");
        Take();

        Assert.Single(_coordinator.Grants);
    }

    [Fact]
    public void SizeKnown_SeveralProbe_WhoFoundItOutReadsOnAndTheOthersNeedNot()
    {
        AskAll("a", "b", "c", "d", "e");
        FailTwoProbes();
        var probers = Grantees();
        Assert.Equal(3, probers.Count);

        _coordinator.SizeKnown(Size, string.Empty, Seconds(0), probers[1]);

        Assert.Equal(Enumerable.Range(0, 16).Select(segment => KeyValuePair.Create(segment, probers[1])), _coordinator.Grants.OrderBy(pair => pair.Key));
        Take();
        Assert.Equal(Enumerable.Range(0, 16), _told[probers[1]].Granted.Where(segment => segment < 16));
        Assert.All([probers[0], probers[2]], node => Assert.DoesNotContain(0, _told[node].Granted));
    }

    [Fact]
    public void Tick_SomeOfSeveralProbersLeaveOrAreSilent_OthersProbe()
    {
        AskAll("a", "b", "c", "d", "e", "f", "g");
        FailTwoProbes();
        var probers = Grantees();

        _coordinator.Left(probers[0], Seconds(1));
        Take(1);
        Assert.Equal(3, Grantees().Count);
        Assert.DoesNotContain(probers[0], Grantees());
        _coordinator.Tick((2 * Policy.Lease) + TimeSpan.FromTicks(1));
        Take(5);

        Assert.Equal(3, Grantees().Count);
        Assert.Contains(0, _told[probers[1]].Revoked);
    }

    [Fact]
    public void Reported_NumbersBeyondTheContent_AreHarmless()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("a");
        Take();
        var beyond = new SegmentRun { First = uint.MaxValue, Count = uint.MaxValue };

        _coordinator.Reported(
            "a",
            new GrantReport
            {
                GivenBack = { beyond },
                Reading = { beyond },
                Failed = { new FailedFetch { Segment = uint.MaxValue, Node = "b", Reason = FetchFailure.Corrupt }, new FailedFetch { Segment = 40, Node = "a" } },
            },
            Seconds(0));
        GiveBack("stranger", Enumerable.Range(0, 40), originFailed: true);
        Take();

        Assert.Equal(40, _coordinator.Grants.Count());
    }

    [Fact]
    public void Reported_OriginAsksForAPause_NobodyReadsBeforeItIsOver()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        AskAll("a", "b", "c");
        Take();
        var readers = Grantees();
        foreach (var reader in readers)
        {
            _coordinator.Reported(
                reader,
                new GrantReport { GivenBack = { SegmentRuns.Of(_told[reader].Granted) }, OriginFailed = true, OriginPauseMs = 3000 },
                Seconds(1));
            _told[reader].Granted.Clear();
        }

        Take(1);
        Assert.All(["a", "b", "c"], node => Assert.Equal(3000U, _told[node].OriginPauseMs));
        for (var at = 1.0; at < 3.9; at += 0.1)
        {
            _coordinator.Tick(Seconds(at));
            Take(at);
            Assert.Empty(_coordinator.Grants);
            // It is not that nobody could: who takes it for unavailable goes straight to the origin when the pause is over.
            Assert.All(["a", "b", "c"], node => Assert.Equal(LookupState.Available, _told[node].State));
        }

        Ask("d", at: 3.9);
        Take(3.9);
        Assert.Equal(100U, _told["d"].OriginPauseMs);
        Assert.Empty(_coordinator.Grants);
        _coordinator.Tick(Seconds(4));
        Take(4);
        Assert.Equal(3, Grantees().Count);
    }

    [Fact]
    public void Reported_ManyPauses_TheLongestCountsAndNoneIsForEver()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("a");
        Take();
        Pause("a", uint.MaxValue);
        Pause("a", 10);
        Take();
        Assert.Equal(Policy.LongestOriginPause.TotalMilliseconds, _told["a"].OriginPauseMs);
        var end = Policy.LongestOriginPause.TotalSeconds;

        _coordinator.Tick(Seconds(end - 1));
        Take(end - 1);
        Assert.Empty(_coordinator.Grants);
        _coordinator.Tick(Seconds(end));
        Take(end);

        Assert.Equal(["a"], Grantees());
    }

    [Fact]
    public void Asked_CannotReachTheOriginAnyMoreDuringItsPause_IsGrantedNothingAfterIt()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("a");
        Take();
        Pause("a", 1000);
        Ask("a", canReachOrigin: false, at: 0.5);

        _coordinator.Tick(Seconds(2));
        Take(2);

        Assert.Empty(_coordinator.Grants);
        Assert.Equal(LookupState.Unavailable, _told["a"].State);
    }

    [Fact]
    public void Asked_WantsAPart_IsGrantedAndAssignedNothingElseWhileOthersAsk()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("whole", canReachOrigin: false);
        Ask("part", wanted: [new PieceRun { First = 10, Count = 3 }, new PieceRun { First = 30, Count = 1 }]);
        Ask("none", wanted: [new PieceRun()]);
        Take();
        Assert.Equal([10, 11, 12, 30], _told["part"].Granted);
        Assert.Empty(_told["none"].Granted);

        _coordinator.HolderChanged("h", complete: true, Set(Enumerable.Range(0, 40)), Seconds(0));
        GiveBack("part", [12, 30], originFailed: true);
        Take();

        Assert.Equal([12, 30], _told["part"].Assigned.Keys);
        Assert.Empty(_told["none"].Assigned);
        Assert.NotEmpty(_told["whole"].Assigned);
    }

    [Fact]
    public void Asked_WantsMoreThanBefore_IsGivenThatToo()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("whole", canReachOrigin: false);
        Ask("part", wanted: [new PieceRun()]);
        Take();
        Assert.Empty(_coordinator.Grants);

        Ask("part", wanted: [new PieceRun { First = 3, Count = 2 }]);
        Take();
        Assert.Equal([3, 4], _told["part"].Granted);
        Ask("part");
        Take();

        Assert.Equal(Enumerable.Range(0, 5), _told["part"].Granted);
    }

    [Fact]
    public void Asked_WantsNothingAndIsAlone_IsGrantedEverything()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("a", wanted: [new PieceRun()]);
        Take();

        Assert.Equal(40, _told["a"].Granted.Count);
    }

    [Fact]
    public void HolderChanged_LastHolderGoesAndNobodyReads_UnavailableThenAvailableAgain()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.HolderChanged("h", complete: true, Set(Enumerable.Range(0, 40)), Seconds(0));
        Ask("a", canReachOrigin: false);
        Take();
        Assert.Equal(LookupState.Available, _told["a"].State);
        Assert.True(_told["a"].Holders["h"].Complete);

        _coordinator.HolderChanged("h", complete: false, null, Seconds(1));
        Take(1);
        Assert.Equal(LookupState.Unavailable, _told["a"].State);
        Assert.Empty(_told["a"].Holders);

        _coordinator.HolderChanged("g", complete: true, Set(Enumerable.Range(0, 40)), Seconds(2));
        Take(2);
        Assert.Equal(LookupState.Available, _told["a"].State);
        Assert.True(_told["a"].Holders["g"].Complete);
    }

    [Fact]
    public void Asked_LateComer_GetsWhatTheFirstHasNotBegun()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("a");
        Take();

        Ask("b");
        Take();
        Assert.Equal(Enumerable.Range(0, 40), _told["a"].Reclaimed);
        Assert.Empty(_told["b"].Granted);

        // It says what it has not begun; for the rest nobody asks again.
        GiveBack("a", Enumerable.Range(21, 19), originFailed: false);
        _told["a"].Granted.RemoveWhere(segment => segment >= 21);
        _told["a"].Reclaimed.Clear();
        Take();
        Assert.NotEmpty(_told["b"].Granted);
        Assert.All(_told["b"].Granted, segment => Assert.InRange(segment, 21, 39));
        Assert.Empty(_told["a"].Granted.Intersect(_told["b"].Granted));
        _coordinator.Tick(Seconds(1));
        Take(1);
        Assert.Empty(_told["a"].Reclaimed);
    }

    [Fact]
    public void TakePushes_ManyHolders_SampleIsBoundedAndWithoutTheAsker()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        foreach (var node in Enumerable.Range(0, 20).Select(i => $"h{i}").Append("a"))
        {
            _coordinator.HolderChanged(node, complete: true, Set(Enumerable.Range(0, 40)), Seconds(0));
        }

        Ask("a");
        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (var tick = 0; tick < 400; tick++)
        {
            Take(tick);
            Assert.InRange(_told["a"].Holders.Count, 1, Policy.HolderSample);
            Assert.DoesNotContain("a", _told["a"].Holders.Keys);
            seen.UnionWith(_told["a"].Holders.Keys);
            _coordinator.Tick(Seconds(tick));
        }

        Assert.Equal(20, seen.Count);
    }

    [Fact]
    public void TakePushes_SomebodyHolds_OthersAreToldWhatItHas()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("a");
        Ask("b", canReachOrigin: false);
        Take();
        Arrived("a", [0, 1, 2]);
        Take(2);
        Assert.Equal([0, 1, 2], _told["b"].Holders["a"].Held);

        Arrived("a", [1], 2);
        Take(4);
        Assert.Equal([1], _told["b"].Holders["a"].Held);
    }

    [Fact]
    public void HolderChanged_GoneBeforeItWasPushed_IsNotPushedAsHolder()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("b", canReachOrigin: false);
        Take();
        Arrived("a", [0]);
        Ask("a");
        _coordinator.Left("a", Seconds(0));
        _coordinator.HolderChanged("a", complete: false, null, Seconds(0));
        Take(2);

        Assert.DoesNotContain("a", _told["b"].Holders.Keys);
    }

    [Fact]
    public void ChecksumsKnown_AllAskersAreTold_LaterOnesToo()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("a");
        Take();
        Ask("b");
        _coordinator.ChecksumsKnown("a", 3, [33]);
        _coordinator.ChecksumsKnown("a", 3, [44]);
        _coordinator.ChecksumsKnown("a", 4, [1, 2]);
        _coordinator.ChecksumsKnown("a", 40, [1]);
        _coordinator.ChecksumsKnown("a", -1, [1]);
        Take(1);
        Ask("c", canReachOrigin: false);
        Take(1);

        foreach (var node in new[] { "a", "b", "c" })
        {
            var (piece, frames) = Assert.Single(_told[node].Checksums);
            Assert.Equal(3, piece);
            Assert.Equal([33UL], frames);
        }
    }

    // Who was to read nothing knows none: it could only spoil what others read.
    [Fact]
    public void ChecksumsKnown_FromWhoWasNotGrantedThePiece_DoNotCount()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        AskAll("a", "b");
        Ask("poor", canReachOrigin: false);
        Take();
        var (mine, others) = (_told["a"].Granted.First(), _told["b"].Granted.First());
        _coordinator.ChecksumsKnown("poor", mine, [1]);
        _coordinator.ChecksumsKnown("stranger", mine, [1]);
        _coordinator.ChecksumsKnown("a", others, [1]);
        _coordinator.ChecksumsKnown("a", mine, [2]);

        // Late, but it has read it.
        Arrived("b", [others]);
        _coordinator.ChecksumsKnown("b", others, [3]);
        Take(1);

        Assert.Equal([(mine, 2UL), (others, 3UL)], _told["poor"].Checksums.Select(pair => (pair.Key, Assert.Single(pair.Value))));
    }

    [Fact]
    public void ChecksumsKnown_NothingElseToTell_AllAreToldNowAndThen()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        Ask("a");
        Take();
        Ask("b");
        Take();
        for (var piece = 0; piece < 40; piece++)
        {
            _coordinator.ChecksumsKnown("a", piece, [1]);
            Assert.Empty(Take(0.2));
        }

        Assert.Equal(2, Take(0.25).Count);
        Assert.Equal(40, _told["a"].Checksums.Count);
    }

    private static TimeSpan Seconds(double seconds) => TimeSpan.FromSeconds(seconds);

    private static PieceSet Set(IEnumerable<int> pieces)
    {
        var set = new PieceSet(40);
        foreach (var piece in pieces)
        {
            set.Add(piece);
        }

        return set;
    }

    private List<(string Node, LookupResponse Push)> Take(double at = 0) => _told.Take(Seconds(at));

    private void Ask(string node, bool canReachOrigin = true, PieceRun[]? wanted = null, double at = 0) =>
        _coordinator.Asked(node, new Want { CanReachOrigin = canReachOrigin, Wanted = { wanted ?? [] } }, Seconds(at));

    private void AskAll(params string[] nodes) => Array.ForEach(nodes, node => Ask(node));

    private void Arrived(string node, IEnumerable<int> pieces, double at = 0)
    {
        var held = pieces.ToList();
        _told[node].Granted.ExceptWith(held);
        _coordinator.HolderChanged(node, complete: false, Set(held), Seconds(at));
    }

    private void GiveBack(string node, IEnumerable<int> segments, bool originFailed) =>
        _coordinator.Reported(node, new GrantReport { GivenBack = { SegmentRuns.Of(segments) }, OriginFailed = originFailed }, Seconds(0));

    private void FailTwoProbes()
    {
        Take();
        for (var i = 0; i < 2; i++)
        {
            GiveBack(Assert.Single(_coordinator.Grants).Value, [0], originFailed: true);
            Take();
        }
    }

    private void Pause(string node, uint milliseconds) => _coordinator.Reported(
        node, new GrantReport { GivenBack = { new SegmentRun { Count = 40 } }, OriginFailed = true, OriginPauseMs = milliseconds }, Seconds(0));

    private void FailAll(string node, FetchFailure reason, double at) => _coordinator.Reported(
        node,
        new GrantReport { Failed = { _coordinator.Fetches.Where(fetch => fetch.To == node).Select(fetch => new FailedFetch { Segment = (uint)fetch.Segment, Node = fetch.From, Reason = reason }) } },
        Seconds(at));

    private List<string> Grantees() => [.. _coordinator.Grants.Select(pair => pair.Value).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
}
