using CsCheck;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Origin;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Origin;

public sealed class RequestPaceTests
{
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public async Task TakeAsync_BurstIsSpent_WaitsForTimeToBringTokensBack()
    {
        using var pace = new RequestPace(perSecond: 10, burst: 3, maxWaiting: 10, _time);
        for (var i = 0; i < 3; i++)
        {
            var atOnce = pace.TakeAsync(CancellationToken.None);
            Assert.True(atOnce.IsCompleted && await atOnce);
        }

        var fourth = pace.TakeAsync(CancellationToken.None).AsTask();
        var fifth = pace.TakeAsync(CancellationToken.None).AsTask();
        _time.Advance(TimeSpan.FromMilliseconds(99));
        Assert.False(fourth.IsCompleted);

        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.True(await fourth.WaitAsync(Wait.Longest));
        Assert.False(fifth.IsCompleted);

        _time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.True(await fifth.WaitAsync(Wait.Longest));
    }

    [Fact]
    public async Task TakeAsync_AfterALongRest_HasTheBurstAgainAndNoMore()
    {
        using var pace = new RequestPace(perSecond: 1000, burst: 2, maxWaiting: 10, _time);
        for (var round = 0; round < 3; round++)
        {
            Assert.True(await pace.TakeAsync(CancellationToken.None).AsTask().WaitAsync(Wait.Longest));
            Assert.True(await pace.TakeAsync(CancellationToken.None).AsTask().WaitAsync(Wait.Longest));
            var third = pace.TakeAsync(new CancellationToken(canceled: false)).AsTask();
            Assert.False(third.IsCompleted);

            _time.Advance(TimeSpan.FromHours(1));
            Assert.True(await third.WaitAsync(Wait.Longest));
            _time.Advance(TimeSpan.FromHours(1));
        }
    }

    [Fact]
    public async Task TakeAsync_QueueIsFull_IsFalseAtOnce()
    {
        using var pace = new RequestPace(perSecond: 1, burst: 1, maxWaiting: 1, _time);
        Assert.True(await pace.TakeAsync(CancellationToken.None));
        var waiting = pace.TakeAsync(CancellationToken.None).AsTask();

        var tooMany = pace.TakeAsync(CancellationToken.None);
        Assert.True(tooMany.IsCompleted);
        Assert.False(await tooMany);

        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.True(await waiting.WaitAsync(Wait.Longest));
    }

    [Fact]
    public async Task TakeAsync_Cancelled_SpendsNothing()
    {
        using var pace = new RequestPace(perSecond: 1, burst: 1, maxWaiting: 2, _time);
        Assert.True(await pace.TakeAsync(CancellationToken.None));
        using var cancel = new CancellationTokenSource();
        var cancelled = pace.TakeAsync(cancel.Token).AsTask();
        var next = pace.TakeAsync(CancellationToken.None).AsTask();

        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);

        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.True(await next.WaitAsync(Wait.Longest));
    }

    [Fact]
    public async Task Dispose_SomeoneWaits_LetsItGo()
    {
        var pace = new RequestPace(perSecond: 1, burst: 1, maxWaiting: 1, _time);
        Assert.True(await pace.TakeAsync(CancellationToken.None));
        var waiting = pace.TakeAsync(CancellationToken.None).AsTask();

        pace.Dispose();

        Assert.False(await waiting.WaitAsync(Wait.Longest));
    }

    [Fact]
    public Task TakeAsync_AnyTimes_NeverMoreThanBurstAndRateAndEveryoneInTheEnd() =>
        Gen.Select(Gen.Int[1, 200], Gen.Int[1, 20], Gen.Select(Gen.Int[0, 6], Gen.Int[0, 300]).Array[1, 20]).SampleAsync(
            async (perSecond, burst, steps) =>
            {
                var time = new FakeTimeProvider();
                using var pace = new RequestPace(perSecond, burst, maxWaiting: 1000, time);
                var start = time.GetTimestamp();
                var takes = new List<Task<bool>>();
                foreach (var (count, milliseconds) in steps)
                {
                    for (var i = 0; i < count; i++)
                    {
                        takes.Add(pace.TakeAsync(CancellationToken.None).AsTask());
                    }

                    time.Advance(TimeSpan.FromMilliseconds(milliseconds));
                    AssertWithinTheRate();
                }

                var all = Task.WhenAll(takes);
                using var deadline = new CancellationTokenSource(Wait.Longest);
                while (!all.IsCompleted)
                {
                    deadline.Token.ThrowIfCancellationRequested();
                    time.Advance(TimeSpan.FromSeconds(1) / perSecond);
                    AssertWithinTheRate();
                    await Task.Yield();
                }

                Assert.All(await all, Assert.True);

                void AssertWithinTheRate() => Assert.True(
                    takes.Count(take => take.IsCompleted) <= burst + (time.GetElapsedTime(start).TotalSeconds * perSecond) + 1e-6);
            },
            iter: 200);
}
