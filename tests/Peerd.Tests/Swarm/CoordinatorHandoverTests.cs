using Google.Protobuf;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;
using Peerd.Tests.Contracts;

namespace Peerd.Tests.Swarm;

/// <summary>A new owner takes over a herd: from what another owner tells, and from what those who come tell themselves.</summary>
public sealed class CoordinatorHandoverTests
{
    private const int KiB64 = 64 * 1024;

    private const long Size = 40 * KiB64;

    private readonly Herd _old = new(Size);
    private readonly Herd _new = new(Size);

    [Fact]
    public void Heard_WhatAnotherTells_HoldersAndReadersAreKnown()
    {
        _old.Hold("complete", _old.AllSegments.Take(10));
        _old.Hold("part", 3, 4, 12);
        _old.Ask("reader", canReachOrigin: true);
        _old.Push();
        var reading = _old.GrantedTo("reader").ToList();
        Assert.NotEmpty(reading);

        _new.Owner.Heard(_old.Owner.Tell(), _new.Now);
        _new.Ask("a", canReachOrigin: true);
        _new.Push();

        Assert.Equal(reading, _new.GrantedTo("reader"));
        Assert.Equal(_old.AllSegments.Except(reading).Except(Enumerable.Range(0, 10)).Except([12]).Order(), _new.GrantedTo("a"));
        Assert.Empty(_new.Told["a"].Assigned.Keys.Except(reading).Except(Enumerable.Range(0, 10)).Except([12]));
        Assert.Contains(3, _new.Told["a"].Assigned.Keys);
        Assert.Equal(Size, _new.Told["a"].Size);
    }

    [Fact]
    public void Heard_CompleteHolder_IsKnownAsComplete()
    {
        _old.Hold("h", _old.AllSegments);

        _new.Owner.Heard(_old.Owner.Tell(), _new.Now);
        _new.Ask("a", canReachOrigin: true);
        _new.Push();

        Assert.Empty(_new.Owner.Grants);
        Assert.True(_new.Told["a"].Holders["h"].Complete);
        Assert.Equal(16, _new.CountFetches("a", "h"));
    }

    [Fact]
    public void Asked_TheOriginHasAskedOneForAPause_AllAreTold()
    {
        _new.Ask("a", canReachOrigin: true);
        _new.Ask("b", new Want { CanReachOrigin = true, OriginPauseMs = 2000 });
        _new.Wait(TimeSpan.FromSeconds(1.9));

        Assert.Empty(_new.Owner.Grants);
        Assert.InRange(_new.Told["a"].OriginPauseMs, 1990U, 2000U);
    }

    [Fact]
    public void Heard_NothingIsKnown_NothingChanges()
    {
        _new.Owner.Heard(new Herd(Size).Owner.Tell(), _new.Now);
        Assert.Null(_new.Owner.Size);
        _new.Ask("a", canReachOrigin: true);
        _new.Push();

        Assert.Equal(_new.AllSegments, _new.GrantedTo("a"));
    }

    [Fact]
    public void Heard_OfWhoHasSpokenItself_ItsOwnWordCounts()
    {
        _old.Hold("h", _old.AllSegments);
        _new.Hold("h", 5);

        _new.Owner.Heard(_old.Owner.Tell(), _new.Now);
        _new.Ask("a", canReachOrigin: true);
        _new.Push();

        Assert.Equal([5], _new.Fetches.Where(fetch => fetch.From == "h").Select(fetch => fetch.Segment));
    }

    [Fact]
    public void Tick_HolderThatWasHeardOfSaysNothing_IsForgotten()
    {
        _old.Hold("h", _old.AllSegments);
        _old.Hold("g", 0, 1);
        _new.Owner.Heard(_old.Owner.Tell(), _new.Now);
        _new.Ask("a");
        _new.Push();
        Assert.Equal(["g", "h"], _new.Told["a"].Holders.Keys.Order(StringComparer.Ordinal));
        _new.Hold("g", 0, 1);

        _new.Wait(_new.Policy.Hearsay);
        Assert.NotEqual(0, _new.CountFetches(from: "h"));
        _new.Wait(TimeSpan.FromMilliseconds(10));

        Assert.Equal(0, _new.CountFetches(from: "h"));
        Assert.Equal(["g"], _new.Told["a"].Holders.Keys);
        Assert.Equal(LookupState.Unavailable, _new.Told["a"].State);
    }

    [Fact]
    public void Tick_ReaderThatWasHeardOfDoesNotCome_AnotherReads()
    {
        _old.Ask("reader", canReachOrigin: true);
        _old.Push();
        _new.Owner.Heard(_old.Owner.Tell(), _new.Now);
        _new.Ask("a", canReachOrigin: true);
        _new.Push();
        Assert.Empty(_new.GrantedTo("a"));

        _new.Wait(_new.Policy.Lease + TimeSpan.FromMilliseconds(10));
        _new.Fetches.ForEach(fetch => _new.Fail(fetch, FetchFailure.Starved));
        _new.Push();

        Assert.NotEmpty(_new.GrantedTo("a"));
        Assert.Empty(_new.GrantedTo("reader"));
    }

    [Fact]
    public void Tell_ManyHoldersWithHoles_FitsInAMessage()
    {
        var layout = new ContentLayout(100L << 30);
        var owner = new Coordinator(new CoordinatorPolicy(), seed: 1);
        owner.SizeKnown(layout.Size, string.Empty, TimeSpan.Zero);
        for (var node = 0; node < 20; node++)
        {
            var pieces = new PieceSet(layout.PieceCount);
            for (var piece = node % 2; piece < layout.PieceCount; piece += 2)
            {
                pieces.Add(piece);
            }

            owner.HolderChanged($"h{node}", complete: false, pieces, TimeSpan.Zero);
        }

        var told = owner.Tell();
        Assert.InRange(told.CalculateSize(), 512 << 10, 4 << 20);
        Assert.Equal(told, PeerMethods.Lookup.ResponseMarshaller.ContextualDeserializer(new FakeDeserializationContext(told.ToByteArray(), 64 << 10)));
    }

    [Fact]
    public void Tell_WhatWasOnlyHeard_IsNotToldOn()
    {
        _old.Hold("h", 5);
        _old.Ask("reader", canReachOrigin: true);
        _old.Push();

        _new.Owner.Heard(_old.Owner.Tell(), _new.Now);

        Assert.NotEmpty(_new.GrantedTo("reader"));
        Assert.Empty(_new.Owner.Tell().Holders);
        _new.Hold("h", 5);
        Assert.Equal("h", Assert.Single(_new.Owner.Tell().Holders).Node);
    }

    [Fact]
    public void Heard_OthersAskThere_WhoAsksHereAloneIsGrantedOnlyWhatItWants()
    {
        _old.Ask("a");
        _new.Owner.Heard(_old.Owner.Tell(), _new.Now);
        _new.Ask("b", new Want { CanReachOrigin = true, Wanted = { new PieceRun { First = 39, Count = 1 } } });
        _new.Push();
        Assert.Equal([39], _new.GrantedTo("b"));

        _old.Leave("a");
        _new.Owner.Heard(_old.Owner.Tell(), _new.Now);
        _new.Push();

        Assert.Equal(_new.AllSegments, _new.GrantedTo("b"));
    }

    // What only such a one holds is read again where a few ask; where many do two of them can ban it.
    [Theory]
    [InlineData(0, false)]
    [InlineData(3, true)]
    public void Heard_WhatASlowOneHoldsWasGrantedHere_IsReclaimedOnlyWhereManyAsk(int others, bool isReclaimed)
    {
        _new.Hold("slow", _new.AllSegments);
        _new.Ask("a", canReachOrigin: true);
        _new.Push();
        _new.FailAll("a", "slow", FetchFailure.Slow);
        _new.Wait(TimeSpan.FromMilliseconds(300));
        Assert.NotEmpty(_new.GrantedTo("a"));

        foreach (var other in Enumerable.Range(0, others))
        {
            _new.Ask($"{other}");
        }

        _new.Owner.Heard(_old.Owner.Tell(), _new.Now);
        _new.Push();

        Assert.Equal(isReclaimed ? _new.GrantedTo("a") : [], _new.Told["a"].Reclaimed);
    }

    // The other one had to connect first, and answered later than this one could wait.
    [Fact]
    public void Heard_WhatWasGrantedHereIsHeldThere_IsReclaimedAndAssigned()
    {
        _new.Ask("a", canReachOrigin: true);
        _new.Push();
        Assert.Equal(_new.AllSegments, _new.GrantedTo("a"));
        _old.Hold("h", _old.AllSegments.Take(10));

        _new.Owner.Heard(_old.Owner.Tell(), _new.Now);
        _new.Push();

        Assert.Equal(Enumerable.Range(0, 10), _new.Told["a"].Reclaimed);
        _new.Owner.Reported("a", new GrantReport { GivenBack = { new SegmentRun { First = 2, Count = 8 } } }, _new.Now);
        _new.Push();
        Assert.Equal(_new.AllSegments.Except(Enumerable.Range(2, 8)), _new.GrantedTo("a"));
        Assert.Equal(Enumerable.Range(2, 8), _new.Told["a"].Assigned.Keys);
    }

    [Fact]
    public void Tell_StateIsWhetherOthersAsk()
    {
        _old.Ask("a");

        Assert.Equal(LookupState.Available, _old.Owner.Tell().State);
        Assert.Equal(LookupState.Unavailable, _new.Owner.Tell().State);
    }

    [Fact]
    public void Yield_NothingIsGrantedForAWhileAndWhatOthersHoldIsAssigned()
    {
        _old.Hold("h", 5);
        _old.Owner.Yield(_old.Now);
        _old.Ask("a", canReachOrigin: true);
        _old.Push();
        Assert.Empty(_old.Owner.Grants);
        Assert.Equal([5], _old.Told["a"].Assigned.Keys);

        _old.Wait(_old.Policy.HandOver);
        _old.Push();

        Assert.NotEmpty(_old.GrantedTo("a"));
    }

    [Fact]
    public void Yield_OneOfTwoStarves_OnlyThatOneIsGranted()
    {
        _old.Hold("h", _old.AllSegments.Take(30));
        _old.Ask("a", canReachOrigin: true);
        _old.Ask("b", new Want { CanReachOrigin = true, Wanted = { new PieceRun { First = 39, Count = 1 } } });
        for (var waited = TimeSpan.Zero; !_old.Owner.Grants.Any(); waited += _old.Policy.HandOverInterval)
        {
            Assert.InRange(waited, TimeSpan.Zero, 2 * _old.Policy.HandOver);
            _old.Owner.Yield(_old.Now);
            _old.Wait(_old.Policy.HandOverInterval);
        }

        Assert.Equal([39], _old.GrantedTo("b"));
        Assert.Empty(_old.GrantedTo("a"));
    }

    [Fact]
    public void Heard_OthersAskThereAndThenNothingMore_WhoAsksHereIsAloneAfterAWhile()
    {
        _old.Ask("a");
        _new.Owner.Heard(_old.Owner.Tell(), _new.Now);
        _new.Ask("b", new Want { CanReachOrigin = true, Wanted = { new PieceRun { First = 39, Count = 1 } } });
        _new.Push();
        Assert.Equal([39], _new.GrantedTo("b"));

        _new.Wait(_new.Policy.HandOver);

        Assert.Equal(_new.AllSegments, _new.GrantedTo("b"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Yield_AgainAndAgain_WhoStarvesIsGrantedAllTheSame(bool isSizeKnown)
    {
        var owner = new Coordinator(_old.Policy, seed: 1);
        if (isSizeKnown)
        {
            owner.SizeKnown(Size, string.Empty, TimeSpan.Zero);
        }

        var now = TimeSpan.Zero;
        owner.Asked("a", new Want { CanReachOrigin = true }, now);
        for (; !owner.Grants.Any(); now += _old.Policy.HandOverInterval)
        {
            owner.Yield(now);
            _ = owner.TakePushes(now).ToList();
        }

        Assert.Equal(_old.Policy.HandOver + _old.Policy.HandOverInterval, now);
    }

    [Fact]
    public void Heard_Again_ReadersAreThoseOfTheLastWord()
    {
        _old.Ask("reader", canReachOrigin: true);
        _old.Push();
        _new.Owner.Heard(_old.Owner.Tell(), _new.Now);
        Assert.NotEmpty(_new.GrantedTo("reader"));
        _old.Owner.Left("reader", _old.Now);
        _old.Hold("reader", 0, 1);

        _new.Owner.Heard(_old.Owner.Tell(), _new.Now);

        Assert.Empty(_new.GrantedTo("reader"));
    }

    [Fact]
    public void Settle_UntilSettled_NothingIsGranted()
    {
        _new.Owner.Settle(TimeSpan.FromMilliseconds(300));
        _new.Ask("a", canReachOrigin: true);
        _new.Hold("h", 7);
        _new.Push();
        Assert.Empty(_new.Owner.Grants);
        Assert.Equal([7], _new.Told["a"].Assigned.Keys);

        _new.Owner.Settled();
        _new.Push();

        Assert.NotEmpty(_new.GrantedTo("a"));
    }

    [Fact]
    public void Settle_NobodyAnswers_GrantsWhenTheTimeIsOver()
    {
        _new.Owner.Settle(TimeSpan.FromMilliseconds(300));
        _new.Ask("a", canReachOrigin: true);
        _new.Wait(TimeSpan.FromMilliseconds(299));
        Assert.Empty(_new.Owner.Grants);

        _new.Wait(TimeSpan.FromMilliseconds(1));

        Assert.Equal(_new.AllSegments, _new.GrantedTo("a"));
    }

    [Fact]
    public void Asked_ReadingAlready_KeepsThatAndTheRestIsDealtWhenOthersHadTimeToCome()
    {
        _new.Ask("a", Continued(reading: new SegmentRun { First = 3, Count = 2 }));
        _new.Push();
        Assert.Equal([3, 4], _new.Told["a"].Granted);
        _new.Ask("b", Continued(reading: new SegmentRun { First = 4, Count = 2 }));
        _new.Push();
        Assert.Equal([5], _new.Told["b"].Granted);

        _new.Wait(_new.Policy.Settling);

        Assert.Contains(0, _new.Told["a"].Granted.Concat(_new.Told["b"].Granted));
        Assert.Empty(_new.Told["a"].Granted.Intersect(_new.Told["b"].Granted));
    }

    [Fact]
    public void Asked_ContinuedAndNotReading_WaitsForThoseWhoRead()
    {
        _new.Ask("a", Continued());
        _new.Push();
        Assert.Empty(_new.Told["a"].Granted);

        _new.Ask("b", Continued(reading: new SegmentRun { First = 0, Count = 5 }));
        _new.Wait(_new.Policy.Settling);

        Assert.NotEmpty(_new.Told["a"].Granted);
        Assert.Empty(_new.Told["a"].Granted.Intersect(Enumerable.Range(0, 5)));
    }

    [Fact]
    public void Asked_ContinuedAndHeardOfAsReader_ItsOwnWordCounts()
    {
        _old.Ask("a", canReachOrigin: true);
        _old.Push();
        _new.Owner.Heard(_old.Owner.Tell(), _new.Now);
        Assert.Equal(40, _new.GrantedTo("a").Count());

        _new.Ask("a", Continued(reading: new SegmentRun { First = 3, Count = 2 }));
        Assert.Equal([3, 4], _new.GrantedTo("a"));
        _new.Wait(_new.Policy.Settling);
        _new.Push();

        // It is told what the owner believes, whatever another owner had told it.
        Assert.Equal(_new.GrantedTo("a"), _new.Told["a"].Granted);
        Assert.Equal(Enumerable.Range(0, 5), _new.Told["a"].Granted);
    }

    [Fact]
    public void Asked_FetchingAlready_CountsAsAssigned()
    {
        _new.Hold("h", _new.AllSegments);
        _new.Ask("a", Continued(fetching: new Assignment { Node = "h", Segments = { new SegmentRun { First = 20, Count = 3 } } }));
        Assert.Equal([("a", "h", 20), ("a", "h", 21), ("a", "h", 22)], _new.Fetches.OrderBy(fetch => fetch.Segment));
        _new.Push();

        Assert.Equal(16, _new.CountFetches("a", "h"));
        Assert.DoesNotContain(_new.Told["a"].Assigned.Keys, segment => segment is >= 20 and < 23);
    }

    [Fact]
    public void Asked_FetchingFromAReaderThatIsToCome_IsNotGrantedMeanwhile()
    {
        _new.Ask("a", Continued(fetching: new Assignment { Node = "reader", Segments = { new SegmentRun { First = 0, Count = 3 } } }));
        _new.Wait(_new.Policy.Settling);
        Assert.Equal(Enumerable.Range(3, 37), _new.GrantedTo("a"));

        // It says so when the reader does not come.
        _new.FailAll("a", "reader", FetchFailure.Starved);
        _new.Hold("a", Enumerable.Range(3, 37));
        _new.Push();

        Assert.Equal([0, 1, 2], _new.GrantedTo("a"));
    }

    [Fact]
    public void Asked_NodesThatFetchFromEachOtherAsTheySay_WaitForNobodyForEver()
    {
        _new.Ask("a", Continued(fetching: new Assignment { Node = "b", Segments = { new SegmentRun { Count = 3 } } }));
        _new.Ask("b", Continued(fetching: new Assignment { Node = "c", Segments = { new SegmentRun { Count = 2 } } }));
        _new.Ask("c", Continued(fetching: new Assignment { Node = "a", Segments = { new SegmentRun { Count = 1 } } }));
        FetchRules.Check(_new.Owner, _new.Policy, _new.Layout);
        Assert.Equal(5, _new.CountFetches());
    }

    [Fact]
    public void Asked_FindingOutTheSizeAlready_NobodyElseDoes()
    {
        var owner = NewOwner();
        owner.Asked("a", Continued(), TimeSpan.Zero);
        owner.Asked("prober", Continued(reading: SizeProbes.Run), TimeSpan.Zero);
        _ = owner.TakePushes(_new.Policy.Settling).ToList();
        Assert.Equal([KeyValuePair.Create(0, "prober")], owner.Grants);

        owner.SizeKnown(Size, string.Empty, _new.Policy.Settling, "prober");

        Assert.Equal(Enumerable.Range(0, 16), owner.Grants.Where(static grant => grant.Value == "prober").Select(static grant => grant.Key).Order());
    }

    [Fact]
    public void Heard_SomebodyFindsOutTheSizeThere_NothingIsGrantedBeforeItIsKnownWhoReadsWhat()
    {
        var (old, owner) = (NewOwner(), NewOwner());
        old.Asked("prober", new Want { CanReachOrigin = true }, TimeSpan.Zero);
        _ = old.TakePushes(TimeSpan.Zero).ToList();
        owner.Asked("a", new Want { CanReachOrigin = true }, TimeSpan.Zero);

        owner.Heard(old.Tell(), TimeSpan.Zero);
        _ = owner.TakePushes(TimeSpan.Zero).ToList();
        Assert.Empty(owner.Grants);

        // Somebody comes who has heard it from the other owner before.
        owner.SizeKnown(Size, string.Empty, TimeSpan.Zero);
        _ = owner.TakePushes(TimeSpan.Zero).ToList();
        Assert.Empty(owner.Grants);

        old.SizeKnown(Size, string.Empty, TimeSpan.Zero, "prober");
        owner.Heard(old.Tell(), TimeSpan.Zero);
        _ = owner.TakePushes(TimeSpan.Zero).ToList();
        Assert.Equal(Enumerable.Range(0, 16), SegmentsOf("prober"));
        Assert.Equal(16, SegmentsOf("a").Min());

        IEnumerable<int> SegmentsOf(string node) => owner.Grants.Where(grant => grant.Value == node).Select(static grant => grant.Key);
    }

    // Another owner may lie, or believe who does, or die; a node may lie itself.
    [Theory]
    [InlineData(1, false, 1)]
    [InlineData(int.MaxValue, false, 6)]
    [InlineData(int.MaxValue, true, 6)]
    public void Heard_SomebodyIsSaidToFindOutTheSizeAgainAndAgain_AnotherDoesAfterAWhile(int times, bool isSaidByItself, int seconds)
    {
        var owner = NewOwner();
        owner.Asked("a", new Want { CanReachOrigin = true }, TimeSpan.Zero);
        var now = TimeSpan.Zero;
        for (; !owner.Grants.Any(static grant => grant.Value == "a"); now += _new.Policy.HandOverInterval)
        {
            if (isSaidByItself)
            {
                owner.Left("liar", now, isMoving: true);
                owner.Asked("liar", Continued(reading: SizeProbes.Run), now);
            }
            else if (times-- > 0)
            {
                owner.Heard(new LookupResponse { State = LookupState.Available, Holders = { new Holder { Node = "liar", Receiving = { new PieceRun { Count = 1 } } } } }, now);
            }

            owner.Tick(now);
            _ = owner.TakePushes(now).ToList();
        }

        Assert.InRange(now - _new.Policy.HandOverInterval, TimeSpan.FromSeconds(seconds), TimeSpan.FromSeconds(seconds) + _new.Policy.HandOverInterval);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Left_MovingWhileItFindsOutTheSize_NobodyElseDoesForAWhile(bool isMoving)
    {
        var owner = NewOwner();
        owner.Asked("prober", new Want { CanReachOrigin = true }, TimeSpan.Zero);
        _ = owner.TakePushes(TimeSpan.Zero).ToList();
        owner.Asked("a", new Want { CanReachOrigin = true }, TimeSpan.Zero);

        owner.Left("prober", TimeSpan.Zero, isMoving);

        _ = owner.TakePushes(_new.Policy.HandOver - TimeSpan.FromTicks(1)).ToList();
        Assert.Equal(isMoving ? 0 : 1, owner.Grants.Count());
        _ = owner.TakePushes(_new.Policy.HandOver).ToList();
        Assert.Single(owner.Grants);
    }

    private Coordinator NewOwner() => new(_new.Policy, seed: 1);

    private static Want Continued(SegmentRun? reading = null, Assignment? fetching = null) => new()
    {
        CanReachOrigin = true,
        Continued = true,
        Reading = { reading is null ? [] : [reading] },
        Fetching = { fetching is null ? [] : [fetching] },
    };
}
