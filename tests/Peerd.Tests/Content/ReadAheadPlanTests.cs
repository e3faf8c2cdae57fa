using Peerd.Contracts;
using Peerd.Node.Content;
using Peerd.Node.Origin;

namespace Peerd.Tests.Content;

public sealed class ReadAheadPlanTests
{
    private const long KiB = 1024;
    private const long MiB = 1024 * KiB;
    private const long Size = 300 * MiB;

    private static readonly OriginReference Client = OriginReference.None with { Credential = new CallerCredential("Bearer S3cret-one") };
    private static readonly OriginReference Other = OriginReference.None with { Credential = new CallerCredential("Bearer S3cret-other") };

    private readonly ReadAheadPlan _plan = new(Size, 16 * MiB);

    private IEnumerable<ByteRange> Ahead => _plan.Ahead.Select(ahead => ahead.Bytes);

    [Fact]
    public void Read_ByAnotherGoingOn_BeginsAnew()
    {
        for (var start = 0; start < 10; start++)
        {
            _plan.Read(new ByteRange(start * MiB, MiB), Other);
        }

        _plan.Read(new ByteRange(10 * MiB, 64 * KiB), Client);

        Assert.Equal([Other], _plan.Ahead.Select(ahead => ahead.Origin));
    }

    // A signature is renewed now and then.
    [Fact]
    public void Read_ByAnotherWithoutASecretGoingOn_GoesOn()
    {
        for (var start = 0; start < 10; start++)
        {
            _plan.Read(new ByteRange(start * MiB, MiB), OriginReference.None with { Registry = start < 9 ? "one.test" : "other.test" });
        }

        Assert.Equal(new ByteRange(10 * MiB, 10 * MiB), Assert.Single(Ahead));
    }

    // Each has a run of its own, and none disturbs the other.
    [Fact]
    public void Read_ByTwoSideBySide_BothAreAhead()
    {
        for (var start = 0; start < 10; start++)
        {
            _plan.Read(new ByteRange(start * 64 * KiB, 64 * KiB), Client);
            _plan.Read(new ByteRange(start * 64 * KiB, 64 * KiB), Other);
        }

        Assert.Equal([Other, Client], _plan.Ahead.Select(ahead => ahead.Origin));
    }

    [Fact]
    public void Read_EqualJumpsOfTwo_AreNoStride()
    {
        for (var step = 0; step < 4; step++)
        {
            _plan.Read(new ByteRange(step * 10 * MiB, 4 * KiB), step == 3 ? Client : Other);
        }

        Assert.Empty(_plan.Ahead);
    }

    [Fact]
    public void Read_ByTwo_WhatFollowsIsForWhoReadThere()
    {
        _plan.Read(new ByteRange(0, MiB), Client);
        _plan.Read(new ByteRange(10 * MiB, MiB), Other);
        _plan.Read(new ByteRange(MiB, MiB), Client);

        Assert.Equal([(2 * MiB, Client), (11 * MiB, Other)], _plan.Ahead.Select(ahead => (ahead.Bytes.Offset, ahead.Origin)));
    }

    [Fact]
    public void Read_Single_NothingIsAhead()
    {
        Assert.Equal(0, _plan.Read(new ByteRange(5 * MiB, 64 * KiB), Client));

        Assert.Empty(_plan.Ahead);
    }

    [Fact]
    public void Read_InOrder_AsMuchIsAheadAsWasRead()
    {
        for (var i = 0; i < 32; i++)
        {
            _plan.Read(new ByteRange((5 * MiB) + (i * 64 * KiB), 64 * KiB), Client);
        }

        Assert.Equal(new ByteRange(7 * MiB, 2 * MiB), Assert.Single(Ahead));
    }

    [Fact]
    public void Read_InOrderButOvertakingEachOther_IsARunAllTheSame()
    {
        foreach (var i in new[] { 1, 0, 3, 2, 5, 7, 4, 6 })
        {
            _plan.Read(new ByteRange(i * 64 * KiB, 64 * KiB), Client);
        }

        Assert.Equal(new ByteRange(8 * 64 * KiB, 8 * 64 * KiB), Assert.Single(Ahead));
    }

    [Fact]
    public void Read_LongRun_IsAheadWithinTheBudgetAndTheContent()
    {
        for (var offset = 0L; offset < 100 * MiB; offset += MiB)
        {
            _plan.Read(new ByteRange(offset, MiB), Client);
        }

        Assert.Equal(new ByteRange(100 * MiB, 16 * MiB), Assert.Single(Ahead));
        for (var offset = 100 * MiB; offset < Size - MiB; offset += MiB)
        {
            _plan.Read(new ByteRange(offset, MiB), Client);
        }

        Assert.Equal(new ByteRange(Size - MiB, MiB), Assert.Single(Ahead));
        _plan.Read(new ByteRange(Size - MiB, MiB), Client);
        Assert.Empty(_plan.Ahead);
    }

    [Fact]
    public void Read_ManyRunsSideBySide_ShareTheBudget()
    {
        for (var i = 0; i < 64; i++)
        {
            for (var run = 0; run < 8; run++)
            {
                _plan.Read(new ByteRange((run * 20 * MiB) + (i * 64 * KiB), 64 * KiB), Client);
            }
        }

        Assert.Equal(16 * MiB, Ahead.Sum(range => range.Length));
        Assert.Equal(4, Ahead.Count());
    }

    [Fact]
    public void Read_EqualJumps_NextStepsAreAhead()
    {
        for (var i = 0; i < 4; i++)
        {
            _plan.Read(new ByteRange(i * 10 * MiB, 4 * KiB), Client);
        }

        Assert.Equal([40 * MiB, 50 * MiB, 60 * MiB, 70 * MiB], Ahead.Select(range => range.Offset));

        _plan.Read(new ByteRange(3 * MiB, 4 * KiB), Client);
        Assert.Empty(_plan.Ahead);
    }

    [Fact]
    public void Read_JumpsBackwards_StopAtTheBeginning()
    {
        for (var i = 6; i > 1; i--)
        {
            _plan.Read(new ByteRange(i * 10 * MiB, 4 * KiB), Client);
        }

        Assert.Equal([10 * MiB, 0], Ahead.Select(range => range.Offset));
    }

    [Fact]
    public void Read_NoBudget_NothingIsAhead()
    {
        var plan = new ReadAheadPlan(Size, 0);
        for (var i = 0; i < 32; i++)
        {
            plan.Read(new ByteRange(i * 64 * KiB, 64 * KiB), Client);
        }

        Assert.Empty(plan.Ahead);
    }
}
