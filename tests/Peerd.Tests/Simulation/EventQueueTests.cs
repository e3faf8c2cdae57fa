using CsCheck;
using Peerd.Simulation.Events;

namespace Peerd.Tests.Simulation;

public sealed class EventQueueTests
{
    [Fact]
    public void TryTake_AnyEvents_ComeByTimeAndThenInTheOrderOfAdding() =>
        Gen.Int[0, 20].Array[0, 500].Sample(times =>
        {
            var queue = new EventQueue();
            for (var i = 0; i < times.Length; i++)
            {
                queue.Add(new TimeSpan(times[i]), new Event(EventKind.Call, i));
            }

            var taken = new List<int>();
            while (queue.TryTake(out var time, out var what))
            {
                Assert.Equal(times[what.Subject], time.Ticks);
                taken.Add(what.Subject);
            }

            Assert.Equal(Enumerable.Range(0, times.Length).OrderBy(i => times[i]).ThenBy(i => i), taken);
        });

    [Fact]
    public void TryTake_BetweenAdds_NeverGoesBack() =>
        Gen.Int[0, 50].Array[1, 300].Sample(delays =>
        {
            var queue = new EventQueue();
            var now = TimeSpan.Zero;
            foreach (var delay in delays)
            {
                queue.Add(now + new TimeSpan(delay), default);
                queue.Add(now + new TimeSpan(2 * delay), default);
                Assert.True(queue.TryTake(out var time, out _));
                Assert.True(time >= now);
                now = time;
            }
        });

    [Fact]
    public void Run_CallsThatPutOffCalls_HappenAtTheirTime()
    {
        var timeline = new Timeline();
        var times = new List<double>();
        timeline.After(TimeSpan.FromMilliseconds(2), () =>
        {
            times.Add(timeline.Now.TotalMilliseconds);
            timeline.After(TimeSpan.FromMilliseconds(3), () => times.Add(timeline.Now.TotalMilliseconds));
        });
        timeline.After(TimeSpan.FromMilliseconds(4), () => times.Add(timeline.Now.TotalMilliseconds));
        timeline.After(TimeSpan.FromMilliseconds(40), () => times.Add(timeline.Now.TotalMilliseconds));

        timeline.Run(TimeSpan.FromMilliseconds(10), null!, () => false);

        Assert.Equal([2, 4, 5], times);
    }
}
