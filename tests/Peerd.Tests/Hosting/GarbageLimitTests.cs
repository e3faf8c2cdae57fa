using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Hosting;

namespace Peerd.Tests.Hosting;

// Others would have the collector look at everything, too.
[Collection(nameof(AloneOnTheMachine))]
public sealed class GarbageLimitTests : IDisposable
{
    private readonly FakeTimeProvider _time = new();
    private readonly GarbageLimit _limit;

    public GarbageLimitTests()
    {
        _limit = new GarbageLimit(_time);
        GC.Collect();
    }

    /// <summary>Grows with each collection of everything for which all stands still.</summary>
    private static long LastFull => GC.GetGCMemoryInfo(GCKind.FullBlocking).Index;

    public void Dispose() => _limit.Dispose();

    [Fact]
    public async Task Execute_MuchHasComeSinceAllWasLookedAt_ItIsLookedAtAgain()
    {
        await _limit.StartAsync(CancellationToken.None);
        var kept = Enumerable.Range(0, 2 * (int)(GarbageLimit.MostSince >> 20)).Select(_ => new byte[1 << 20]).ToArray();
        var before = LastFull;

        _time.Advance(GarbageLimit.Interval);

        await Wait.UntilAsync(() => LastFull > before, "all is looked at");
        GC.KeepAlive(kept);
        await _limit.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task Execute_LittleHasCome_AllIsLeftAlone()
    {
        await _limit.StartAsync(CancellationToken.None);
        var before = LastFull;

        for (var i = 0; i < 10; i++)
        {
            _time.Advance(GarbageLimit.Interval);
        }

        await _limit.StopAsync(CancellationToken.None);
        Assert.Equal(before, LastFull);
    }
}
