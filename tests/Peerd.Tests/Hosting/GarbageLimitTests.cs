using System.Runtime.CompilerServices;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Hosting;

namespace Peerd.Tests.Hosting;

// Others would have the collector look at everything, too.
[Collection(nameof(AloneOnTheMachine))]
public sealed class GarbageLimitTests
{
    [Fact]
    public async Task Execute_MuchHasComeSinceAllWasLookedAt_OldGarbageGoes()
    {
        var time = new FakeTimeProvider();
        using var limit = new GarbageLimit(time);
        await limit.StartAsync(CancellationToken.None);
        var old = MakeOldGarbage();
        var kept = Enumerable.Range(0, 2 * (int)(GarbageLimit.MostSince >> 20)).Select(_ => new byte[1 << 20]).ToArray();
        Assert.True(old.IsAlive);

        time.Advance(GarbageLimit.Interval);

        await Wait.UntilAsync(() => !old.IsAlive, "what is old and of no use is collected");
        GC.KeepAlive(kept);
        await limit.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task Execute_LittleHasCome_NothingIsCollected()
    {
        var time = new FakeTimeProvider();
        using var limit = new GarbageLimit(time);
        await limit.StartAsync(CancellationToken.None);
        var old = MakeOldGarbage();
        var collections = GC.CollectionCount(GC.MaxGeneration);

        for (var i = 0; i < 10; i++)
        {
            time.Advance(GarbageLimit.Interval);
        }

        await limit.StopAsync(CancellationToken.None);
        Assert.Equal(collections, GC.CollectionCount(GC.MaxGeneration));
        Assert.True(old.IsAlive);
    }

    // On its own, so that no local variable holds it.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference MakeOldGarbage()
    {
        var garbage = new object();
        var old = new WeakReference(garbage);
        for (var i = 0; i <= GC.MaxGeneration; i++)
        {
            GC.Collect();
        }

        Assert.Equal(GC.MaxGeneration, GC.GetGeneration(garbage));
        return old;
    }
}
