using Peerd.Contracts;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>What holders bring is compared: five of them serve eight segments each, to two askers.</summary>
public sealed class HolderServiceTests
{
    private const int Serving = 8;

    private static readonly CoordinatorPolicy Policy = new();
    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(100);

    private readonly HolderTrial _trial = new(Policy);
    private readonly SegmentTable _table = new(Policy, new ContentLayout(256 << 20));
    private readonly List<Participant> _holders = [.. "abcde".Select(name => new Participant($"{name}", string.Empty))];
    private readonly Participant[] _askers = [new("x", string.Empty), new("y", string.Empty)];
    private readonly PieceSet _everything;
    private TimeSpan _now;

    public HolderServiceTests()
    {
        _everything = new PieceSet(_table.Layout.PieceCount);
        _everything.AddRun(0, _everything.Capacity);
        Array.ForEach(_askers, _table.Enter);
        for (var number = 0; number < _holders.Count; number++)
        {
            _table.Enter(_holders[number]);
            _table.SetPieces(_holders[number], _everything);
            for (var served = 0; served < Serving; served++)
            {
                _table.Begin(_askers[served % 2], _holders[number], (number * Serving) + served, isInOrder: false);
            }
        }

        Look();
    }

    private Participant Holder => _holders[0];

    // The others bring two in a step. Of the eight on the way half is there.
    [Theory]
    [InlineData(1, 0, null)]
    [InlineData(7, 0, null)]
    [InlineData(7, 2, null)]
    [InlineData(8, 0, null)]
    [InlineData(14, 0, true)]
    [InlineData(20, 0, true)]
    [InlineData(8, 2, false)]
    [InlineData(20, 1, false)]
    [InlineData(200, 1, false)]
    public void BringsLess_AfterSoManySteps_IsSureOnlyWithEnoughToCompare(int steps, int brought, bool? isLess)
    {
        Bring(steps, brought);

        Assert.Equal(isLess, BringsLess());
    }

    [Theory]
    [InlineData(2, null)]
    [InlineData(3, true)]
    public void BringsLess_SoManyOthersBringSomething_TwoAreNotEnough(int others, bool? isLess)
    {
        Bring(20, 0, others);

        Assert.Equal(isLess, BringsLess());
    }

    [Fact]
    public void BringsLess_HolderBringsNothingAnyMore_WhatItBroughtBeforeIsForgotten()
    {
        Bring(200, 2);
        Bring(100, 0);

        Assert.True(BringsLess());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public void BringsLess_HolderServesFewForAMinute_WhatItBroughtBeforeIsForgotten(int brought)
    {
        Bring(20, brought);
        Assert.Equal(brought == 0, BringsLess());
        ServeOnly(3, _askers);

        Bring(600, 0);

        Assert.Null(BringsLess());
    }

    [Fact]
    public void BringsLess_NobodyLookedForAMinute_WhatItBroughtBeforeIsForgotten()
    {
        Bring(20, 0);
        _now += TimeSpan.FromMinutes(1);
        Look();

        Assert.Null(BringsLess());
    }

    // Fewer, or one alone, may have a link that is slower than the holder's.
    [Theory]
    [InlineData(3, 2, null)]
    [InlineData(4, 2, true)]
    [InlineData(8, 1, null)]
    public void BringsLess_HolderServesSoManyToSoManyAskers_IsSureOnlyOfManyToTwo(int served, int askers, bool? isLess)
    {
        ServeOnly(served, _askers[..askers]);

        Bring(20, 0);

        Assert.Equal(isLess, BringsLess());
    }

    [Fact]
    public void Look_NobodyLookedForLong_WhatArrivedMeanwhileDoesNotCount()
    {
        Bring(20, 0);
        Holder.Brought = 1000;
        _now += TimeSpan.FromSeconds(1);
        Look();

        Assert.True(BringsLess());
        Assert.Equal(20 * Step, Holder.Service.Busy);
    }

    private void ServeOnly(int count, Participant[] askers)
    {
        Holder.Serving.ToList().ForEach(_table.End);
        for (var segment = 0; segment < count; segment++)
        {
            _table.Begin(askers[segment % askers.Length], Holder, segment, isInOrder: false);
        }

        Look();
    }

    private bool? BringsLess() => _trial.BringsLess(Holder, _holders, _table);

    private void Bring(int steps, int brought, int others = 4)
    {
        for (var step = 0; step < steps; step++)
        {
            _now += Step;
            Holder.Brought = brought;
            _holders.Skip(1).Take(others).ToList().ForEach(other => other.Brought = 2);
            Look();
        }
    }

    private void Look() => _trial.Look(_holders, _table, isOriginPaused: false, _now);
}
