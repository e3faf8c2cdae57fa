using Peerd.Contracts.V1;

namespace Peerd.Tests.Swarm;

/// <summary>Two or three nodes read a content, and then one of them has to give what only it holds; or many give each other what they hold.</summary>
public sealed class HolderTrialTests
{
    private const long Size = 256 << 20;

    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);

    private readonly Herd _herd = new(Size);

    // The origin brings a segment in each step to each reader.
    private TimeSpan _step = TimeSpan.FromMilliseconds(20);

    [Theory]
    [InlineData(1, 20, 1)]
    [InlineData(2, 20, 2)]
    [InlineData(1, 1000, 40)]
    public void NothingIsLeftAndTheHolderBringsNothing_WhatOnlyItHoldsIsRead(int others, int step, int most)
    {
        _step = TimeSpan.FromMilliseconds(step);
        var readers = ReadAll(others);
        var onlyHeld = Lacking("a");
        Assert.NotEmpty(onlyHeld);
        Assert.Empty(_herd.Owner.Grants);

        var begun = _herd.Now;
        while (!_herd.Owner.Grants.Any())
        {
            _herd.Wait(Look);
            Assert.InRange(_herd.Now - begun, TimeSpan.Zero, TimeSpan.FromSeconds(most));
        }

        Assert.NotEmpty(readers.SelectMany(_herd.GrantedTo));
        Assert.Subset(onlyHeld.ToHashSet(), _herd.GrantedTo("a").ToHashSet());

        // It is read bit by bit, and all of it in the end but what is on its way.
        Assert.InRange(_herd.Owner.Grants.Count(), 1, onlyHeld.Count / 2);
        for (var steps = 0; _herd.Owner.Grants.Any(); steps++)
        {
            Assert.InRange(steps, 0, onlyHeld.Count);
            ReadGranted(readers);
        }

        Assert.Equal(Lacking("a"), _herd.Fetches.Where(fetch => fetch.To == "a").Select(fetch => fetch.Segment).Order());
    }

    [Fact]
    public void NothingIsLeftAndTheHolderBringsEnough_NothingIsReadAgainWhateverWasReported()
    {
        ReadAll(1);
        while (Lacking("a").Count > 0)
        {
            Assert.Empty(_herd.Owner.Grants);
            var fetches = _herd.Fetches.Where(fetch => fetch.To == "a").ToList();
            fetches.Skip(1).ToList().ForEach(fetch => _herd.Fail(fetch, FetchFailure.Slow));
            _herd.Hold("a", fetches[0].Segment);
            _herd.Wait(2 * _step);
        }
    }

    // What the other is given fills its link, not that of the one who waits.
    [Fact]
    public void NothingIsLeftAndOneOfTwoGivesAllAndGetsNothing_WhatTheOtherAloneHoldsIsRead()
    {
        Ask("slow", "a");
        ReadShares("slow", "a");
        Assert.Empty(_herd.Owner.Grants);

        for (var begun = _herd.Now; !_herd.Owner.Grants.Any(); Bring(fetch => fetch.From != "slow"))
        {
            Assert.InRange(_herd.Now - begun, TimeSpan.Zero, TimeSpan.FromSeconds(1));
            Assert.NotEqual(0, _herd.CountFetches("slow", "a"));
        }

        Assert.All(_herd.GrantedTo("a"), segment => Assert.True(_herd.Holds("slow", segment)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ThreeReadAndOneBringsTheOthersLess_ItReadsNoMoreThoughNobodyReportsIt(bool isSlow)
    {
        Ask("holder", "a", "b");
        for (var steps = 0; steps < 50; steps++)
        {
            ReadOneEach("holder", "a", "b");
            Bring(fetch => !isSlow || fetch.From != "holder");
        }

        _herd.Hold("holder", _herd.GrantedTo("holder"));
        _herd.Push();

        Assert.Equal(isSlow, !_herd.GrantedTo("holder").Any());
        Assert.NotEmpty(_herd.GrantedTo("a"));
    }

    // It has brought three since, so that it may serve four at a time again: that tells little of what it can bring.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void OneOfTwoWasReported_ItReadsNothingBeforeItServesAsManyAsTheOtherUnlessBothWere(bool wereBoth)
    {
        Ask("slow", "a");
        Repeat(16, () => ReadOneEach("slow", "a"));
        _herd.FailAll("a", "slow", FetchFailure.Slow);
        if (wereBoth)
        {
            _herd.FailAll("slow", "a", FetchFailure.Slow);
        }

        _herd.Push();
        Repeat(3, () => Bring(fetch => fetch.From == "slow"));
        _herd.Hold("slow", _herd.GrantedTo("slow"));
        _herd.Push();

        Assert.Equal(wereBoth, _herd.GrantedTo("slow").Any());
        Assert.NotEmpty(_herd.GrantedTo("a"));
    }

    [Fact]
    public void OriginIsBeingRead_ReportsChangeNothing()
    {
        Ask("slow", "a");
        _herd.Hold("slow", _herd.GrantedTo("slow"));
        for (var i = 0; i < 20; i++)
        {
            _herd.FailAll("a", "slow", FetchFailure.Slow);
            _herd.Wait(_step);
            Assert.DoesNotContain(_herd.GrantedTo("a"), segment => _herd.Holds("slow", segment));
            _herd.Hold("a", _herd.GrantedTo("a"));
        }
    }

    // Who reads from the origin is believed only when the holder brings less than the others: all in all, not only to the one.
    [Theory]
    [InlineData(0, false, false)]
    [InlineData(10, false, false)]
    [InlineData(50, false, true)]
    [InlineData(50, true, true)]
    public void ManyAskAndReadersReportTheHolder_ItIsLeftAloneWhenItHasBroughtLess(int steps, bool isOriginPaused, bool isLeftAlone)
    {
        var others = ShareOut(unread: 16, "slow", "a", "b", "c", "d").Skip(1).ToArray();
        if (isOriginPaused)
        {
            _herd.Owner.Reported("a", new GrantReport { OriginPauseMs = 60_000 }, _herd.Now);
        }

        Repeat(steps, () => Bring(fetch => fetch.From != "slow"));
        Assert.All(others, node => Assert.NotEmpty(_herd.GrantedTo(node)));

        Report("slow", others);

        Assert.Equal(isLeftAlone, _herd.CountFetches(from: "slow") == 0);
    }

    // The place that it leaves is mostly the only one that is free: what it may fetch would gather there, where it comes slowly, and
    // the holder would serve it alone in the end.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ManyAskAndTheHolderIsSlowToOneOnly_ThatOneFetchesElsewhereForAWhile(bool isSlowToAnother)
    {
        _step = Look;
        ShareOut(unread: 0, "holder", "a", "b", "c", "d");
        Repeat(6, () => BringAll(_ => true));
        Repeat(2, () => BringAll(fetch => fetch is not { To: "a", From: "holder" }));
        Assert.NotEqual(0, _herd.CountFetches("a", "holder"));
        _herd.FailAll("a", "holder", FetchFailure.Slow);
        if (isSlowToAnother)
        {
            _herd.FailAll("b", "holder", FetchFailure.Slow);
        }

        _herd.Wait(_herd.Policy.FirstBan - TimeSpan.FromTicks(1));
        Assert.Equal(isSlowToAnother, _herd.CountFetches("a", "holder") > 0);

        _herd.Wait(TimeSpan.FromTicks(1));
        Assert.NotEqual(0, _herd.CountFetches("a", "holder"));
    }

    // It brings nothing because it is asked for nothing; but what is under way is not taken from it.
    [Fact]
    public void ManyAskAndTheHolderWasBanned_WhatItBroughtBeforeAndMeanwhileIsForgotten()
    {
        var others = ShareOut(unread: 16, "holder", "a", "b", "c", "d").Skip(1).ToArray();
        Repeat(50, () => Bring(fetch => fetch.From != "holder"));
        foreach (var node in others[..2])
        {
            _herd.Fail(_herd.Fetches.First(fetch => fetch.To == node && fetch.From == "holder"), FetchFailure.Unreachable);
        }

        var fetches = _herd.CountFetches(from: "holder");
        Repeat(45, () => Bring(fetch => fetch.From != "holder"));
        Assert.Equal(fetches, _herd.CountFetches(from: "holder"));
        _herd.Wait(_herd.Policy.FirstBan - (45 * _step));
        Report("holder", others);

        _herd.Ask("new");
        _herd.Push();
        Assert.NotEqual(0, _herd.CountFetches("new", "holder"));
    }

    [Fact]
    public void ManyAskAndWhatReadersReadComesWithTheirReport_TheyAreNotBelieved()
    {
        var others = ShareOut(unread: 16, "holder", "a", "b", "c", "d").Skip(1).ToArray();
        _herd.Push();
        foreach (var node in others)
        {
            _herd.Hold(node, _herd.GrantedTo(node));
            _herd.FailAll(node, "holder", FetchFailure.Slow);
        }

        _herd.Ask("new");
        _herd.Push();
        Assert.NotEqual(0, _herd.CountFetches("new", "holder"));
    }

    [Fact]
    public void ManyAskAndOthersReportAHolderOfWhichNothingIsKnown_ItIsLeftAlone()
    {
        var others = ShareOut(unread: 0, "slow", "a", "b", "c", "d").Skip(1).ToArray();

        Report("slow", others);

        Assert.Equal(0, _herd.CountFetches(from: "slow"));
    }

    [Fact]
    public void ManyAskAndTheHolderBringsLessThanOthers_WhatOnlyItHoldsIsRead()
    {
        var others = ShareOut(unread: 16, "slow", "a", "b", "c", "d").Skip(1).ToArray();
        var onlyHeld = _herd.AllSegments.Where(segment => _herd.Holds("slow", segment)).ToHashSet();
        Repeat(50, () => Bring(fetch => fetch.From != "slow"));
        for (var reports = 0; !others.SelectMany(_herd.GrantedTo).Any(onlyHeld.Contains); reports++)
        {
            Assert.InRange(reports, 0, 20);
            Report("slow", others);
            Repeat(25, () => Bring(fetch => fetch.From != "slow"));
            Array.ForEach(others, node => _herd.Hold(node, _herd.GrantedTo(node).Except(onlyHeld).Take(1)));
        }
    }

    [Fact]
    public void ManyAskAndTheHolderBringsOthersEnough_NothingIsReadAgainWhateverTwoReport()
    {
        _step = TimeSpan.FromMilliseconds(50);
        ShareOut(unread: 0, "holder", "starved", "starving", "c", "d");
        Repeat(20, () => Bring(fetch => fetch.To is "c" or "d"));
        for (var step = 0; step < 40; step++)
        {
            Bring(fetch => fetch.To is "c" or "d");
            _herd.FailAll("starved", "holder", FetchFailure.Slow);
            _herd.FailAll("starving", "holder", FetchFailure.Slow);
            Assert.Empty(_herd.Owner.Grants);
        }
    }

    private static void Repeat(int times, Action action)
    {
        for (var i = 0; i < times; i++)
        {
            action();
        }
    }

    /// <summary>Each says of all that it fetches there that it comes slowly, three times.</summary>
    private void Report(string holder, string[] nodes) => Repeat(3, () =>
    {
        Array.ForEach(nodes, node => _herd.FailAll(node, holder, FetchFailure.Slow));
        _herd.Push();
    });

    /// <summary>Each holds a part of the content but for the last segments, and wants the rest.</summary>
    private string[] ShareOut(int unread, params string[] nodes)
    {
        for (var i = 0; i < nodes.Length; i++)
        {
            _herd.Hold(nodes[i], _herd.AllSegments.SkipLast(unread).Where(segment => segment % nodes.Length == i));
        }

        Ask(nodes);
        return nodes;
    }

    private void Ask(params string[] nodes)
    {
        Array.ForEach(nodes, node => _herd.Ask(node, canReachOrigin: true));
        _herd.Push();
    }

    /// <summary>All read until nothing is left, and give each other nothing.</summary>
    private void ReadShares(params string[] nodes)
    {
        for (var steps = 0; _herd.Owner.Grants.Any(); steps++)
        {
            Assert.InRange(steps, 0, _herd.Layout.SegmentCount);
            ReadOneEach(nodes);
        }
    }

    /// <summary>A step passes, and the origin brings each one of those that it reads.</summary>
    private void ReadOneEach(params string[] nodes)
    {
        _herd.Wait(_step);
        Array.ForEach(nodes, node => _herd.Hold(node, _herd.GrantedTo(node).Take(1)));
        _herd.Push();
    }

    /// <summary>A step passes, and each holder brings one of the fetches.</summary>
    private void Bring(Func<(string To, string From, int Segment), bool> isBrought)
    {
        _herd.Wait(_step);
        foreach (var fetch in _herd.Fetches.Where(isBrought).DistinctBy(fetch => fetch.From).ToList())
        {
            _herd.Hold(fetch.To, fetch.Segment);
        }

        _herd.Push();
    }

    /// <summary>A step passes, and each holder brings one of the fetches to each.</summary>
    private void BringAll(Func<(string To, string From, int Segment), bool> isBrought)
    {
        _herd.Wait(_step);
        foreach (var fetch in _herd.Fetches.Where(isBrought).DistinctBy(fetch => (fetch.From, fetch.To)).ToList())
        {
            _herd.Hold(fetch.To, fetch.Segment);
        }

        _herd.Push();
    }

    /// <summary>All read until nothing is left, and "slow" gives nothing of what it has read.</summary>
    private string[] ReadAll(int others)
    {
        var readers = new[] { "a", "b" }[..others];
        string[] everybody = ["slow", .. readers];
        Ask(everybody);
        for (var steps = 0; _herd.Owner.Grants.Any(); steps++)
        {
            Assert.InRange(steps, 0, _herd.Layout.SegmentCount);
            ReadGranted(everybody);
        }

        return readers;
    }

    private void ReadGranted(string[] readers)
    {
        ReadOneEach(readers);
        foreach (var fetch in _herd.Fetches.Where(fetch => fetch.From != "slow"))
        {
            _herd.Hold(fetch.To, fetch.Segment);
        }

        _herd.Push();
    }

    private List<int> Lacking(string node) => [.. _herd.AllSegments.Where(segment => !_herd.Holds(node, segment))];
}
