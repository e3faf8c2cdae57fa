using Peerd.Contracts;
using Peerd.Node.Content;

namespace Peerd.Tests.Content;

public sealed class ReadAheadPlanTests
{
    private const long KiB = 1024;
    private const long MiB = 1024 * KiB;
    private const long Size = 300 * MiB;

    private readonly ReadAheadPlan _plan = new(Size, 16 * MiB);

    [Fact]
    public void Read_Single_NothingIsAhead()
    {
        Assert.Equal(0, _plan.Read(new ByteRange(5 * MiB, 64 * KiB)));

        Assert.Empty(_plan.Ahead);
    }

    [Fact]
    public void Read_InOrder_AsMuchIsAheadAsWasRead()
    {
        for (var i = 0; i < 32; i++)
        {
            _plan.Read(new ByteRange((5 * MiB) + (i * 64 * KiB), 64 * KiB));
        }

        Assert.Equal(new ByteRange(7 * MiB, 2 * MiB), Assert.Single(_plan.Ahead));
    }

    [Fact]
    public void Read_InOrderButOvertakingEachOther_IsARunAllTheSame()
    {
        foreach (var i in new[] { 1, 0, 3, 2, 5, 7, 4, 6 })
        {
            _plan.Read(new ByteRange(i * 64 * KiB, 64 * KiB));
        }

        Assert.Equal(new ByteRange(8 * 64 * KiB, 8 * 64 * KiB), Assert.Single(_plan.Ahead));
    }

    [Fact]
    public void Read_LongRun_IsAheadWithinTheBudgetAndTheContent()
    {
        for (var offset = 0L; offset < 100 * MiB; offset += MiB)
        {
            _plan.Read(new ByteRange(offset, MiB));
        }

        Assert.Equal(new ByteRange(100 * MiB, 16 * MiB), Assert.Single(_plan.Ahead));
        for (var offset = 100 * MiB; offset < Size - MiB; offset += MiB)
        {
            _plan.Read(new ByteRange(offset, MiB));
        }

        Assert.Equal(new ByteRange(Size - MiB, MiB), Assert.Single(_plan.Ahead));
        _plan.Read(new ByteRange(Size - MiB, MiB));
        Assert.Empty(_plan.Ahead);
    }

    [Fact]
    public void Read_ManyRunsSideBySide_ShareTheBudget()
    {
        for (var i = 0; i < 64; i++)
        {
            for (var run = 0; run < 8; run++)
            {
                _plan.Read(new ByteRange((run * 20 * MiB) + (i * 64 * KiB), 64 * KiB));
            }
        }

        Assert.Equal(16 * MiB, _plan.Ahead.Sum(range => range.Length));
        Assert.Equal(4, _plan.Ahead.Count());
    }

    [Fact]
    public void Read_EqualJumps_NextStepsAreAhead()
    {
        for (var i = 0; i < 4; i++)
        {
            _plan.Read(new ByteRange(i * 10 * MiB, 4 * KiB));
        }

        Assert.Equal([40 * MiB, 50 * MiB, 60 * MiB, 70 * MiB], _plan.Ahead.Select(range => range.Offset));

        _plan.Read(new ByteRange(3 * MiB, 4 * KiB));
        Assert.Empty(_plan.Ahead);
    }

    [Fact]
    public void Read_JumpsBackwards_StopAtTheBeginning()
    {
        for (var i = 6; i > 1; i--)
        {
            _plan.Read(new ByteRange(i * 10 * MiB, 4 * KiB));
        }

        Assert.Equal([10 * MiB, 0], _plan.Ahead.Select(range => range.Offset));
    }

    [Fact]
    public void Read_NoBudget_NothingIsAhead()
    {
        var plan = new ReadAheadPlan(Size, 0);
        for (var i = 0; i < 32; i++)
        {
            plan.Read(new ByteRange(i * 64 * KiB, 64 * KiB));
        }

        Assert.Empty(plan.Ahead);
    }
}
