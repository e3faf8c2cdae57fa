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
        var kept = Enumerable.Range(0, 3 * (int)(GarbageLimit.MostSince >> 20)).Select(_ => new byte[1 << 20]).ToArray();
        GC.Collect(0);
        var before = LastFull;

        await Wait.UntilAsync(
            () =>
            {
                _time.Advance(GarbageLimit.Interval);
                return LastFull > before;
            },
            "all is looked at");
        GC.KeepAlive(kept);
        await _limit.StopAsync(CancellationToken.None);
    }

    [Theory]
    [InlineData(100, 64, false)]
    [InlineData(128, 64, false)]
    [InlineData(129, 64, true)]
    [InlineData(50, 64, false)]
    [InlineData(1200, 1000, false)]
    [InlineData(1251, 1000, true)]
    public void IsDue_SoMuchSince_IsWhenItIsMuchAndAQuarterOfWhatIsKept(int heapMiB, int lookedAtMiB, bool isDue) =>
        Assert.Equal(isDue, GarbageLimit.IsDue((long)heapMiB << 20, (long)lookedAtMiB << 20));
}
