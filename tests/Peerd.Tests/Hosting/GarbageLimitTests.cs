using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Hosting;

namespace Peerd.Tests.Hosting;

public sealed class GarbageLimitTests
{
    private const long MiB = 1 << 20;

    [Fact]
    public async Task Execute_NodeHasJustStarted_AllIsLookedAtBeforeItHasMuchToDo()
    {
        var time = new ArmedTime();
        using var limit = new Played(time);
        await limit.StartAsync(CancellationToken.None);
        await time.ArmedAsync(GarbageLimit.AfterStart);
        Assert.Equal(0, limit.Collections);
        time.Advance(GarbageLimit.AfterStart);
        await Wait.UntilAsync(() => limit.Collections == 1, "all has been looked at");
        Assert.Equal(0, limit.GivenBack);
        await limit.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task Execute_MuchHasComeSinceAllWasLookedAt_ItIsLookedAtOnce()
    {
        var time = new FakeTimeProvider();
        using var limit = new Played(time);
        await limit.StartAsync(CancellationToken.None);
        await AdvanceUntilAsync(() => limit.Looks >= 4);
        Assert.Equal(1, limit.Collections);

        limit.Grow(GarbageLimit.MostSince + 1);
        await AdvanceUntilAsync(() => limit.Collections > 1);

        // What was looked at is what the next is compared with.
        var looks = limit.Looks;
        await AdvanceUntilAsync(() => limit.Looks >= looks + 3);
        Assert.Equal(2, limit.Collections);
        await limit.StopAsync(CancellationToken.None);

        Task AdvanceUntilAsync(Func<bool> condition) => Wait.UntilAsync(
            () =>
            {
                time.Advance(GarbageLimit.Interval);
                return condition();
            },
            "it has been looked at");
    }

    [Fact]
    public async Task Execute_BusyAndThenIdle_MemoryIsGivenBackOnceItIs()
    {
        var time = new ArmedTime();
        using var limit = new Played(time);
        await limit.StartAsync(CancellationToken.None);
        await time.ArmedAsync(GarbageLimit.AfterStart);
        time.Advance(GarbageLimit.AfterStart);
        await Wait.UntilAsync(() => limit.Collections == 1, "all has been looked at");

        // As at the start: much at first, and a little from then on.
        limit.Allocate(GarbageLimit.LeastIdle);
        await LookAsync(0);
        await LookAsync(GarbageLimit.MostIdle);
        await LookAsync(GarbageLimit.MostIdle);
        Assert.Equal(0, limit.GivenBack);
        await LookAsync(GarbageLimit.MostIdle);
        await Wait.UntilAsync(() => limit.GivenBack == 1, "it has been given back");

        // Not again, unless much came in between.
        for (var i = 0; i < 3; i++)
        {
            await LookAsync(0);
        }

        Assert.Equal(1, limit.GivenBack);

        // Who has much to do is left alone, however long.
        for (var i = 0; i < 10; i++)
        {
            await LookAsync(GarbageLimit.MostIdle + 1);
        }

        Assert.Equal(1, limit.GivenBack);

        // And so is who allocates little and computes much.
        for (var i = 0; i < 10; i++)
        {
            limit.Compute(GarbageLimit.MostComputing + TimeSpan.FromTicks(1));
            await LookAsync(0);
        }

        Assert.Equal(1, limit.GivenBack);
        for (var i = 0; i < GarbageLimit.IdleTimes; i++)
        {
            await LookAsync(0);
        }

        await Wait.UntilAsync(() => limit.GivenBack == 2, "it has been given back again");
        Assert.Equal(1, limit.Collections);
        await limit.StopAsync(CancellationToken.None);

        // One comparison, which is over when it returns: the next one has found nothing new.
        async Task LookAsync(long allocated)
        {
            var looks = limit.Looks;
            limit.Allocate(allocated);
            time.Advance(GarbageLimit.Interval);
            await Wait.UntilAsync(() => limit.Looks == looks + 1, "it has been looked at");
        }
    }

    [Theory]
    [InlineData(128, 64, false)]
    [InlineData(129, 64, true)]
    [InlineData(50, 64, false)]
    [InlineData(1250, 1000, false)]
    [InlineData(1251, 1000, true)]
    public void IsDue_MoreThanSoMuchAndAQuarterOfWhatIsKeptHasCome_ItIs(long heap, long lookedAt, bool isDue) =>
        Assert.Equal(isDue, GarbageLimit.IsDue(heap * MiB, lookedAt * MiB));

    private sealed class Played(TimeProvider time) : GarbageLimit(time)
    {
        private long _heap;
        private long _lookedAt;
        private int _looks;
        private int _collections;
        private int _givenBack;
        private long _allocated;
        private long _computed;

        public int Looks => Volatile.Read(ref _looks);

        public int Collections => Volatile.Read(ref _collections);

        public int GivenBack => Volatile.Read(ref _givenBack);

        protected override long Heap
        {
            get
            {
                Interlocked.Increment(ref _looks);
                return Interlocked.Read(ref _heap);
            }
        }

        protected override long LookedAt => Interlocked.Read(ref _lookedAt);

        protected override long Allocated => Interlocked.Read(ref _allocated);

        protected override TimeSpan Computed => TimeSpan.FromTicks(Interlocked.Read(ref _computed));

        public void Compute(TimeSpan time) => Interlocked.Add(ref _computed, time.Ticks);

        public void Allocate(long bytes) => Interlocked.Add(ref _allocated, bytes);

        public void Grow(long bytes) => Interlocked.Add(ref _heap, bytes);

        protected override void Collect()
        {
            Interlocked.Exchange(ref _lookedAt, Heap);
            Interlocked.Increment(ref _collections);
        }

        protected override void GiveBack() => Interlocked.Increment(ref _givenBack);
    }
}
