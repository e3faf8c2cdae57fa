using Peerd.Contracts.V1;

namespace Peerd.Tests.Swarm;

/// <summary>Two or three nodes read a content, and then one of them has to give what only it holds.</summary>
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

    [Fact]
    public void OriginIsBeingRead_ReportsChangeNothing()
    {
        foreach (var node in new[] { "slow", "a" })
        {
            _herd.Ask(node, canReachOrigin: true);
        }

        _herd.Push();
        _herd.Hold("slow", _herd.GrantedTo("slow"));
        for (var i = 0; i < 20; i++)
        {
            _herd.FailAll("a", "slow", FetchFailure.Slow);
            _herd.Wait(_step);
            Assert.DoesNotContain(_herd.GrantedTo("a"), segment => _herd.Holds("slow", segment));
            _herd.Hold("a", _herd.GrantedTo("a"));
        }
    }

    /// <summary>All read until nothing is left, and "slow" gives nothing of what it has read.</summary>
    private string[] ReadAll(int others)
    {
        var readers = new[] { "a", "b" }[..others];
        string[] everybody = ["slow", .. readers];
        foreach (var node in everybody)
        {
            _herd.Ask(node, canReachOrigin: true);
        }

        _herd.Push();
        for (var steps = 0; _herd.Owner.Grants.Any(); steps++)
        {
            Assert.InRange(steps, 0, _herd.Layout.SegmentCount);
            ReadGranted(everybody);
        }

        return readers;
    }

    private void ReadGranted(string[] readers)
    {
        _herd.Wait(_step);
        foreach (var node in readers)
        {
            _herd.Hold(node, _herd.GrantedTo(node).Take(1));
        }

        foreach (var fetch in _herd.Fetches.Where(fetch => fetch.From != "slow"))
        {
            _herd.Hold(fetch.To, fetch.Segment);
        }

        _herd.Push();
    }

    private List<int> Lacking(string node) => [.. _herd.AllSegments.Where(segment => !_herd.Holds(node, segment))];
}
