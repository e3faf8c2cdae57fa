using System.Runtime.CompilerServices;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class AskerTests
{
    [Fact]
    public void Wants_ManyRuns_AreKeptOnlyInPartAndUntilTheSizeIsKnown()
    {
        var asker = new Asker();

        asker.Wants(Enumerable.Range(0, 1_000_000).Select(_ => new PieceRun { First = 3, Count = 2 }));
        Assert.InRange(asker.WantedRuns.Length, 1, 4096);

        asker.NoteWanted(new ContentLayout(1 << 20));
        Assert.Empty(asker.WantedRuns);
        Assert.Equal((true, 3), (asker.Wanted!.Contains(4), asker.WantedFirst));
    }

    // A message may be as large as messages may be, and there are a thousand sessions of one member.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Asked_WithALargeMessage_KeepsNothingOfIt(bool isSizeKnown)
    {
        var coordinator = new Coordinator(new CoordinatorPolicy(), 1);
        if (isSizeKnown)
        {
            coordinator.SizeKnown(1 << 30, string.Empty, default);
        }

        var want = Ask(coordinator);
        GC.Collect();

        Assert.False(want.IsAlive);
        Assert.False(coordinator.IsIdle);
    }

    // Not inlined, or the message would live in a local.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference Ask(Coordinator coordinator)
    {
        var want = new Want { Member = new Member { Node = "x" }, CanReachOrigin = true, Wanted = { new PieceRun { First = 1, Count = 1 } } };
        coordinator.Asked("x", want, default);
        return new WeakReference(want);
    }
}
