using Peerd.Contracts;
using Peerd.Node.Directory;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>What is kept in proportion to the sizes that others tell.</summary>
public sealed class SizeBudgetTests
{
    [Fact]
    public void TryTake_OneTellsAllHeCan_HasThreeQuartersAndOthersShareTheRest()
    {
        var budget = new SizeBudget(1000);
        Assert.True(budget.TryTake("liar", 750));
        Assert.False(budget.TryTake("liar", 1));

        Assert.True(budget.TryTake("a", 125));
        Assert.False(budget.TryTake("a", 1));
        Assert.True(budget.TryTake("b", 83));
        Assert.False(budget.TryTake("liar", 1));
        Assert.False(budget.TryTake("c", 63));
        Assert.True(budget.TryTake("c", 42));
        Assert.Equal(1000, budget.Bytes);

        budget.GiveBack("liar", 750);
        Assert.True(budget.TryTake("c", 500));
        Assert.Equal(750, budget.Bytes);
    }

    [Fact]
    public void TryTake_ByAnyNumberOfTellers_IsNeverMoreThanTheMost()
    {
        var budget = new SizeBudget(1000);
        for (var teller = 0; teller < 100; teller++)
        {
            while (budget.TryTake($"{teller}", 7))
            {
            }
        }

        Assert.InRange(budget.Bytes, 900, 1000);
    }

    [Fact]
    public void TryMove_ToWhoHasRoomOrNot_IsCountedOnceForOneOfThem()
    {
        var budget = new SizeBudget(1000);
        var share = new SizeShare(budget);
        Assert.False(share.TryMove("a"));
        Assert.True(share.TryHold(100, "liar"));
        Assert.True(budget.TryTake("liar", 650));
        Assert.False(budget.TryTake("liar", 1));
        Assert.False(share.TryHold(110));

        Assert.False(share.TryMove("liar"));
        Assert.True(share.TryMove("a"));
        Assert.True(share.TryHold(110));
        Assert.Equal(760, budget.Bytes);

        // What is too much for one more stays where it is.
        Assert.True(budget.TryTake("b", 80));
        Assert.False(share.TryMove("b"));
        budget.GiveBack("b", 80);
        budget.GiveBack("liar", 650);
        Assert.Equal((110, 110), (share.Bytes, budget.Bytes));
        share.End();
        Assert.Equal(0, budget.Bytes);
    }

    [Fact]
    public void TryHold_MoreAndLessAndOver_IsGivenBackOnce()
    {
        var budget = new SizeBudget(1000);
        var share = new SizeShare(budget);
        Assert.False(share.TryHold(2000, "a"));
        Assert.True(share.TryHold(300, "b"));
        Assert.True(share.TryHold(500, "somebody else"));
        Assert.False(share.TryHold(1200));
        Assert.True(share.TryHold(200));
        Assert.Equal((200, 200), (share.Bytes, budget.Bytes));

        share.End();
        share.End();
        Assert.Equal(0, budget.Bytes);
        Assert.False(share.TryHold(100, "b"));
        Assert.Equal(0, budget.Bytes);
    }

    // What this thread allocates does not depend on what others do. Tables grow by doubling, so that half of that is dropped again at most.
    [Theory]
    [InlineData(1L << 40)]
    [InlineData(100L << 30)]
    [InlineData(1L << 30)]
    public void BytesOf_WhatDownloadsAllocateBySize_IsCounted(long size)
    {
        var layout = new ContentLayout(size);
        var before = GC.GetAllocatedBytesForCurrentThread();

        var hash = new OrderedHash();
        hash.Forget(layout.FrameCount);
        var senders = new FrameSenders();
        senders.Begin(layout.FrameCount);
        var cached = new ulong[layout.FrameCount];
        var states = new Peerd.Node.Storage.FrameStates(layout);
        var peers = new KnownPeers(layout, new DownloaderPolicy());
        for (var peer = 0; peer < KnownPeers.FewestKnown; peer++)
        {
            peers.Learn(new Peerd.Contracts.V1.Holder { Node = $"{peer}", Complete = true });
            peers.GetOrAdd($"{peer}").Asked();
        }

        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        GC.KeepAlive((hash, senders, cached, states, peers));
        Assert.InRange(allocated, DownloadMemory.BytesOf(layout) / 2, DownloadMemory.BytesOf(layout) + 200_000);
    }

    [Theory]
    [InlineData(1L << 40)]
    [InlineData(100L << 30)]
    public void BytesOf_WhatACoordinatorAllocatesBySize_IsCounted(long size)
    {
        const int Nodes = 20;
        var layout = new ContentLayout(size);
        var coordinator = new Coordinator(new CoordinatorPolicy(), seed: 1);
        var before = GC.GetAllocatedBytesForCurrentThread();

        coordinator.SizeKnown(size, string.Empty, TimeSpan.Zero);
        coordinator.Asked("first", new Peerd.Contracts.V1.Want { CanReachOrigin = true, Wanted = { new Peerd.Contracts.V1.PieceRun { Count = uint.MaxValue } } }, TimeSpan.Zero);
        var granted = coordinator.TakePushes(TimeSpan.Zero).ToList();
        for (var node = 0; node < Nodes; node++)
        {
            var half = new PieceSet(layout.PieceCount);
            half.AddRun(0, layout.PieceCount / 2);
            coordinator.HolderChanged($"{node}", complete: false, half, TimeSpan.Zero);
            coordinator.Asked($"{node}", new Peerd.Contracts.V1.Want(), TimeSpan.Zero);
        }

        granted.AddRange(coordinator.TakePushes(TimeSpan.Zero));
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        GC.KeepAlive((coordinator, granted));
        Assert.InRange(CoordinatedMemory.BytesOf(size, Nodes + 1), allocated / 3, allocated * 3);
    }

    [Fact]
    public void BytesOf_TheLargestContent_FitsIntoWhatIsThere()
    {
        Assert.InRange(DownloadMemory.BytesOf(new ContentLayout(HolderDirectory.MaxSize)), 90 << 20, 120 << 20);
        Assert.InRange(CoordinatedMemory.BytesOf(HolderDirectory.MaxSize, participants: 20), 20 << 20, 48 << 20);
        Assert.InRange(CoordinatedMemory.BytesOf(10L << 30, participants: 1000), 1, 24 << 20);
    }
}
