using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class CoordinatorTests
{
    private const int KiB64 = 64 * 1024;

    /// <summary>A content of 40 pieces, each a segment of its own; the first 16 begin within the first MiB.</summary>
    private const long Size = 40 * KiB64;

    private static readonly CoordinatorPolicy Policy = new() { Lease = TimeSpan.FromSeconds(2), Readers = 3, GrantsPerAsker = 2, LongestGrant = 4, HolderSample = 4 };

    private readonly Coordinator _coordinator = new(Policy, seed: 1);
    private readonly ToldNodes _told;

    public CoordinatorTests() => _told = new ToldNodes(_coordinator);

    [Fact]
    public void Asked_LoneAsker_IsGrantedEverythingAtOnce()
    {
        _coordinator.SizeKnown(Size, "type", Seconds(0));
        _coordinator.Asked("a", canReachOrigin: true, isContinued: false, [], Seconds(0));

        var push = Assert.Single(_told.Take()).Push;
        Assert.Equal(new SegmentRun { First = 0, Count = 40 }, Assert.Single(push.Granted));
        Assert.Equal((Size, "type", LookupState.Available), (push.Size, push.MediaType, push.State));
    }

    [Fact]
    public void Asked_SeveralAskers_SegmentsAreDealtInOrderToAFewReaders()
    {
        AskAll(["a", "b", "c", "d", "e"]);
        var prober = Assert.Single(Grantees());
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _told.Take();
        Arrived(prober, Enumerable.Range(0, 16));
        _told.Take();

        // 40 / (4 * 5) segments a grant, two grants for each of three readers: 12 segments beyond the probe.
        var grants = _coordinator.Grants.Select(pair => pair.Key).Order().ToList();
        Assert.Equal(Enumerable.Range(16, grants.Count), grants);
        Assert.Equal(12, grants.Count);
        Assert.Equal(3, Grantees().Count);
        Assert.All(Grantees(), node => Assert.Equal(4, _told[node].Granted.Count(segment => segment >= 16)));
    }

    [Fact]
    public void Asked_NodesThatCannotReachTheOrigin_GetNoGrant()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.Asked("deaf", canReachOrigin: false, isContinued: false, [], Seconds(0));
        Assert.Empty(_coordinator.Grants);
        _told.Take();
        Assert.Equal(LookupState.Unavailable, _told["deaf"].State);

        _coordinator.Asked("able", canReachOrigin: true, isContinued: false, [], Seconds(0));
        _told.Take();

        Assert.Equal(["able"], Grantees());
        Assert.Equal(LookupState.Available, _told["deaf"].State);
        Assert.Empty(_told["deaf"].Granted);
    }

    [Fact]
    public void Asked_SizeUnknown_ExactlyOneProbes()
    {
        AskAll(["a", "b", "c"]);
        _told.Take();

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
        AskAll(["a", "b"]);
        var prober = Assert.Single(Grantees());

        _coordinator.SizeKnown(segments * KiB64, string.Empty, Seconds(0));

        Assert.Equal(Enumerable.Range(0, covered), _coordinator.Grants.Where(pair => pair.Value == prober && pair.Key < 16).Select(pair => pair.Key).Order());
    }

    [Fact]
    public void SizeKnown_LargeSegments_ProbeCoversOne()
    {
        AskAll(["a", "b", "c"]);
        var prober = Assert.Single(Grantees());
        const long Large = 1L << 30;

        _coordinator.SizeKnown(Large, string.Empty, Seconds(0));

        var layout = new ContentLayout(Large);
        Assert.Equal(4, layout.PiecesPerSegment);
        Assert.Equal(prober, _coordinator.Grants.Single(pair => pair.Key == 0).Value);
        Assert.NotEqual(prober, _coordinator.Grants.Single(pair => pair.Key == 1).Value);
    }

    [Fact]
    public void SizeKnown_Twice_TheFirstWordCounts()
    {
        _coordinator.Asked("a", canReachOrigin: true, isContinued: false, [], Seconds(0));
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.SizeKnown(2 * Size, "late", Seconds(0));
        _told.Take();

        Assert.Equal((Size, Size, "late"), (_coordinator.Size, _told["a"].Size, _told["a"].MediaType));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(HolderDirectory.MaxSize + 1)]
    [InlineData(long.MaxValue)]
    public void SizeKnown_NoSizeOfAContent_IsNotBelieved(long size)
    {
        _coordinator.Asked("a", canReachOrigin: true, isContinued: false, [], Seconds(0));

        _coordinator.SizeKnown(size, string.Empty, Seconds(0));

        Assert.Null(_coordinator.Size);
    }

    [Fact]
    public void SizeKnown_Nothing_NobodyReads()
    {
        AskAll(["a", "b"]);
        _coordinator.SizeKnown(0, string.Empty, Seconds(0));
        _told.Take();

        Assert.Empty(_coordinator.Grants);
        Assert.Equal(LookupState.Available, _told["a"].State);
        _coordinator.Tick(Seconds(100));
        Assert.Empty(_told.Take());
    }

    [Fact]
    public void Asked_ReadingAlready_KeepsThatAndTheRestIsDealtWhenOthersHadTimeToCome()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.Asked("a", canReachOrigin: true, isContinued: true, [new SegmentRun { First = 3, Count = 2 }], Seconds(0));
        _told.Take();
        Assert.Equal([3, 4], _told["a"].Granted.Order());
        _coordinator.Asked("b", canReachOrigin: true, isContinued: true, [new SegmentRun { First = 4, Count = 2 }], Seconds(0));
        _told.Take();
        Assert.Equal([5], _told["b"].Granted);

        _coordinator.Tick(Policy.Settling);
        _told.Take();

        Assert.Contains(0, _told["a"].Granted.Concat(_told["b"].Granted));
        Assert.Empty(_told["a"].Granted.Intersect(_told["b"].Granted));
    }

    [Fact]
    public void Asked_ContinuedAndNotReading_WaitsForThoseWhoRead()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.Asked("a", canReachOrigin: true, isContinued: true, [], Seconds(0));
        _told.Take();
        Assert.Empty(_told["a"].Granted);

        _coordinator.Asked("b", canReachOrigin: true, isContinued: true, [new SegmentRun { First = 0, Count = 5 }], Seconds(0));
        _coordinator.Tick(Policy.Settling);
        _told.Take();

        Assert.NotEmpty(_told["a"].Granted);
        Assert.Empty(_told["a"].Granted.Intersect(Enumerable.Range(0, 5)));
    }

    [Fact]
    public void Asked_HugeContentWithAllChecksumsKnown_ThePushFitsInAMessage()
    {
        var layout = new ContentLayout(100L << 30);
        _coordinator.SizeKnown(layout.Size, string.Empty, Seconds(0));
        for (var piece = 0; piece < layout.PieceCount; piece++)
        {
            _coordinator.ChecksumsKnown(piece, [.. Enumerable.Repeat(ulong.MaxValue, layout.FramesIn(piece))]);
        }

        _told.Take();
        _coordinator.Asked("a", canReachOrigin: true, isContinued: false, [], Seconds(0));

        Assert.All(_coordinator.TakePushes(), push => Assert.InRange(push.Push.CalculateSize(), 1, 4 << 20));
    }

    [Fact]
    public void Reading_BytesArriveSlowly_TheLeaseLivesOn()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.Asked("a", canReachOrigin: true, isContinued: false, [], Seconds(0));
        _told.Take();

        _coordinator.Reading("a", [new SegmentRun { First = 0, Count = 1 }], Policy.Lease);
        _coordinator.Tick(Policy.Lease + TimeSpan.FromTicks(1));
        _told.Take();

        Assert.Empty(_told["a"].Revoked);
    }

    [Fact]
    public void Tick_NoProgressForTheLease_AnotherReads()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        AskAll(["a", "b"], canReachOrigin: ["a"]);
        _coordinator.Asked("b", canReachOrigin: true, isContinued: false, [], Seconds(0));
        _told.Take();
        Assert.Equal(40, _told["a"].Granted.Count);

        _coordinator.Tick(Policy.Lease);
        Assert.Empty(_told.Take());
        _coordinator.Tick(Policy.Lease + TimeSpan.FromTicks(1));
        _told.Take();

        Assert.Equal(40, _told["a"].Revoked.Count);
        Assert.Empty(_told["a"].Granted);
        Assert.Equal(["b"], Grantees());
        Assert.Contains(0, _told["b"].Granted);
    }

    [Fact]
    public void Tick_LoneAskerStalls_ItIsGrantedAnewInTheSamePush()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.Asked("a", canReachOrigin: true, isContinued: false, [], Seconds(0));
        _told.Take();

        _coordinator.Tick(Seconds(3));

        var push = Assert.Single(_told.Take()).Push;
        Assert.Equal(push.Revoked, push.Granted);
        Assert.Equal(40, _told["a"].Granted.Count);
    }

    [Fact]
    public void HolderChanged_PieceByPiece_KeepsTheLease()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.Asked("a", canReachOrigin: true, isContinued: false, [], Seconds(0));
        for (var piece = 0; piece < 40; piece++)
        {
            _coordinator.HolderChanged("a", complete: false, Set(Enumerable.Range(0, piece + 1)), Seconds(piece));
            _coordinator.Tick(Seconds(piece));
            _told.Take();
            Assert.Empty(_told["a"].Revoked);
            Assert.Equal(39 - piece, _coordinator.Grants.Count());
        }
    }

    [Fact]
    public void HolderChanged_PiecesOfALargeSegmentOneByOne_KeepsTheLease()
    {
        const long Large = 1L << 30;
        var layout = new ContentLayout(Large);
        _coordinator.SizeKnown(Large, string.Empty, Seconds(0));
        _coordinator.Asked("a", canReachOrigin: true, isContinued: false, [], Seconds(0));
        for (var piece = 0; piece < 12; piece++)
        {
            var held = new PieceSet(layout.PieceCount);
            held.AddRun(0, piece + 1);
            _coordinator.HolderChanged("a", complete: false, held, Seconds(piece * 1.5));
            _coordinator.Tick(Seconds(piece * 1.5));
            Assert.Equal(layout.SegmentCount - ((piece + 1) / 4), _coordinator.Grants.Count());
        }

        _told.Take();
        Assert.Empty(_told["a"].Revoked);
    }

    [Fact]
    public void HolderChanged_SameNewsAgain_IsNoProgress()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.Asked("a", canReachOrigin: true, isContinued: false, [], Seconds(0));
        _coordinator.HolderChanged("a", complete: false, Set([0]), Seconds(0));
        _coordinator.HolderChanged("a", complete: false, Set([0]), Seconds(1.5));
        _coordinator.Tick(Seconds(2.5));
        _told.Take();

        Assert.Equal(39, _told["a"].Revoked.Count);
    }

    [Fact]
    public void GivenBack_OriginFailed_NoGrantUntilItAsksAnew()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        AskAll(["a", "b"]);
        _told.Take();
        var first = Grantees()[0];

        _coordinator.GivenBack(first, Runs(0, 40), originFailed: true, Seconds(0));
        for (var second = 0; second < 100; second++)
        {
            _coordinator.Tick(Seconds(second));
            _told.Take();
            Assert.DoesNotContain(first, Grantees());
        }

        _coordinator.Left(first == "a" ? "b" : "a", Seconds(100));
        Assert.Empty(_coordinator.Grants);
        _told.Take();
        Assert.Equal(LookupState.Unavailable, _told[first].State);

        _coordinator.Asked(first, canReachOrigin: true, isContinued: false, [], Seconds(101));
        _told.Take();
        Assert.Equal([first], Grantees());
        Assert.Equal(LookupState.Available, _told[first].State);
    }

    [Fact]
    public void GivenBack_ProbeFailsEverywhere_AllAreToldThatItIsUnavailable()
    {
        AskAll(["a", "b", "c"]);
        var probed = new HashSet<string>(StringComparer.Ordinal);
        while (_coordinator.Grants.Any())
        {
            var prober = Assert.Single(_coordinator.Grants).Value;
            Assert.True(probed.Add(prober));
            _coordinator.GivenBack(prober, Runs(0, 1), originFailed: true, Seconds(0));
        }

        _told.Take();
        Assert.Equal(3, probed.Count);
        Assert.All(["a", "b", "c"], node => Assert.Equal(LookupState.Unavailable, _told[node].State));
    }

    [Fact]
    public void GivenBack_RunBeyondTheContent_IsHarmless()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.Asked("a", canReachOrigin: true, isContinued: false, [], Seconds(0));

        _coordinator.GivenBack("a", [new SegmentRun { First = uint.MaxValue, Count = uint.MaxValue }], originFailed: false, Seconds(0));
        _coordinator.GivenBack("stranger", Runs(0, 40), originFailed: true, Seconds(0));

        Assert.Equal(40, _coordinator.Grants.Count());
    }

    [Fact]
    public void HolderChanged_LastHolderGoesAndNobodyReads_UnavailableThenAvailableAgain()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.HolderChanged("h", complete: true, Set(Enumerable.Range(0, 40)), Seconds(0));
        _coordinator.Asked("a", canReachOrigin: false, isContinued: false, [], Seconds(0));
        _told.Take();
        Assert.Equal(LookupState.Available, _told["a"].State);

        _coordinator.HolderChanged("h", complete: false, null, Seconds(1));
        _told.Take();
        Assert.Equal(LookupState.Unavailable, _told["a"].State);
        Assert.Empty(_told["a"].Holders);

        _coordinator.HolderChanged("g", complete: true, Set(Enumerable.Range(0, 40)), Seconds(2));
        _told.Take();
        Assert.Equal(LookupState.Available, _told["a"].State);
        Assert.True(_told["a"].Holders["g"].Complete);
    }

    [Fact]
    public void Asked_LateComer_GetsWhatTheFirstHasNotBegun()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.Asked("a", canReachOrigin: true, isContinued: false, [], Seconds(0));
        _told.Take();

        _coordinator.Asked("b", canReachOrigin: true, isContinued: false, [], Seconds(0));
        _told.Take();
        Assert.Equal(Enumerable.Range(21, 19), _told["a"].Reclaimed);
        Assert.Empty(_told["b"].Granted);

        _coordinator.GivenBack("a", Runs(21, 19), originFailed: false, Seconds(0));
        _told["a"].Granted.RemoveWhere(segment => segment >= 21);
        _told.Take();
        Assert.Contains(21, _told["b"].Granted);
        Assert.Empty(_told["a"].Granted.Intersect(_told["b"].Granted));
    }

    [Fact]
    public void TakePushes_ManyHolders_SampleIsBoundedAndWithoutTheAsker()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        foreach (var node in Enumerable.Range(0, 20).Select(i => $"h{i}").Append("a"))
        {
            _coordinator.HolderChanged(node, complete: true, Set(Enumerable.Range(0, 40)), Seconds(0));
        }

        _coordinator.Asked("a", canReachOrigin: true, isContinued: false, [], Seconds(0));
        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (var tick = 0; tick < 200; tick++)
        {
            _told.Take();
            Assert.InRange(_told["a"].Holders.Count, 1, Policy.HolderSample);
            Assert.DoesNotContain("a", _told["a"].Holders.Keys);
            seen.UnionWith(_told["a"].Holders.Keys);
            _coordinator.Tick(Seconds(tick));
        }

        Assert.Equal(20, seen.Count);
    }

    [Fact]
    public void TakePushes_SomebodyReads_OthersAreToldWhatItIsReceiving()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.Asked("a", canReachOrigin: true, isContinued: false, [], Seconds(0));
        _coordinator.Asked("b", canReachOrigin: false, isContinued: false, [], Seconds(0));
        _told.Take();
        Assert.Equal(Enumerable.Range(0, 40), _told["b"].Holders["a"].Receiving);

        Arrived("a", [0, 1, 2]);
        _told.Take();
        Assert.Equal([0, 1, 2], _told["b"].Holders["a"].Held);

        _coordinator.HolderChanged("a", complete: false, Set([1]), Seconds(0));
        _told.Take();
        Assert.Equal([1], _told["b"].Holders["a"].Held);
    }

    [Fact]
    public void Left_ReaderThatHoldsNothing_IsNoHolderAnyMore()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.Asked("a", canReachOrigin: true, isContinued: false, [], Seconds(0));
        _coordinator.Asked("b", canReachOrigin: true, isContinued: false, [], Seconds(0));
        _told.Take();
        Assert.Contains("a", _told["b"].Holders.Keys);

        _coordinator.Left("a", Seconds(0));
        _told.Forget("a");
        _told.Take();

        Assert.DoesNotContain("a", _told["b"].Holders.Keys);
        Assert.Equal(["b"], Grantees());
    }

    [Fact]
    public void HolderChanged_GoneBeforeItWasPushed_IsNotPushedAsHolder()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        _coordinator.Asked("b", canReachOrigin: false, isContinued: false, [], Seconds(0));
        _coordinator.HolderChanged("a", complete: false, Set([0]), Seconds(0));
        _told.Take();
        _coordinator.Asked("a", canReachOrigin: true, isContinued: false, [], Seconds(0));
        _coordinator.Left("a", Seconds(0));
        _coordinator.HolderChanged("a", complete: false, null, Seconds(0));
        _told.Take();

        Assert.DoesNotContain("a", _told["b"].Holders.Keys);
    }

    [Fact]
    public void ChecksumsKnown_AllAskersAreTold_LaterOnesToo()
    {
        _coordinator.SizeKnown(Size, string.Empty, Seconds(0));
        AskAll(["a", "b"]);
        _coordinator.ChecksumsKnown(3, [33]);
        _coordinator.ChecksumsKnown(3, [44]);
        _coordinator.ChecksumsKnown(4, [1, 2]);
        _coordinator.ChecksumsKnown(40, [1]);
        _coordinator.ChecksumsKnown(-1, [1]);
        _told.Take();
        _coordinator.Asked("c", canReachOrigin: false, isContinued: false, [], Seconds(0));
        _told.Take();

        foreach (var node in new[] { "a", "b", "c" })
        {
            var (piece, frames) = Assert.Single(_told[node].Checksums);
            Assert.Equal(3, piece);
            Assert.Equal([33UL], frames);
        }
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

    private static SegmentRun[] Runs(uint first, uint count) => [new SegmentRun { First = first, Count = count }];

    private void AskAll(string[] nodes, string[]? canReachOrigin = null)
    {
        foreach (var node in nodes)
        {
            _coordinator.Asked(node, (canReachOrigin ?? nodes).Contains(node), isContinued: false, [], Seconds(0));
        }
    }

    private void Arrived(string node, IEnumerable<int> pieces) => _coordinator.HolderChanged(node, complete: false, Set(pieces), Seconds(0));

    private List<string> Grantees() => [.. _coordinator.Grants.Select(pair => pair.Value).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
}
