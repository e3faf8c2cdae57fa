using Peerd.Contracts.V1;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class EarlyPushesTests
{
    private readonly EarlyPushes _pushes = new();

    [Fact]
    public void TakeAll_SomeWereKept_OnceInOrder()
    {
        var (first, second) = (new LookupResponse { OriginPauseMs = 1 }, new LookupResponse { OriginPauseMs = 2 });
        _pushes.Add(first);
        _pushes.Add(second);

        Assert.Equal([first, second], _pushes.TakeAll());
        Assert.Empty(_pushes.TakeAll());
    }

    // What tells the size is mostly the first and taken at once, with all that the owner knows.
    [Fact]
    public void Add_WhatIsKept_IsNotCopiedAndKnownUntilItIsTaken()
    {
        var push = new LookupResponse { Size = 1 };
        Assert.False(_pushes.Keeps(push));

        _pushes.Add(push);

        Assert.True(_pushes.Keeps(push));
        Assert.False(_pushes.Keeps(push.Clone()));
        Assert.Same(push, Assert.Single(_pushes.TakeAll()));
        Assert.False(_pushes.Keeps(push));
    }

    [Theory]
    [InlineData(EarlyPushes.MostBytes, 0)]
    [InlineData(0, EarlyPushes.MostBytes)]
    public void Add_MoreThanIsKept_OnlyWhatTellsTheSize(int pieces, int letters)
    {
        var large = new LookupResponse { StartupOrder = { Enumerable.Repeat(uint.MaxValue, pieces) }, Gone = { new string('a', letters) } };
        var telling = new LookupResponse { Size = 1 };
        _pushes.Add(large);
        _pushes.Add(new LookupResponse { OriginPauseMs = 1 });
        _pushes.Add(telling);

        Assert.Equal([telling], _pushes.TakeAll());
    }

    // They have no bytes as messages, and take memory all the same.
    [Fact]
    public void Add_ManyThatSayNothing_NotAllAreKept()
    {
        for (var i = 0; i < 10_000; i++)
        {
            _pushes.Add(new LookupResponse());
        }

        Assert.InRange(_pushes.TakeAll().Count, 100, 5000);
    }

    [Fact]
    public void ForgetGrants_AGrant_TheRestStays()
    {
        _pushes.Add(new LookupResponse { OriginPauseMs = 1, Granted = { new SegmentRun { First = 0, Count = 1 } } });

        _pushes.ForgetGrants();

        Assert.Equal([new LookupResponse { OriginPauseMs = 1 }], _pushes.TakeAll());
    }
}
