using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Cli.Demo;

namespace Peerd.Tests.Cli.Demo;

public sealed class DemoNodesTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task StopAsync_ManyNodes_StopsThemAtTheSameTime()
    {
        var allHaveBegun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var nodes = new List<StoppingNode>();
        var begun = 0;
        for (var i = 0; i < 4; i++)
        {
            nodes.Add(new StoppingNode(() =>
            {
                if (Interlocked.Increment(ref begun) == 4)
                {
                    allHaveBegun.SetResult();
                }

                return allHaveBegun.Task;
            }));
        }

        await DemoNodes.StopAsync(nodes, TimeProvider.System).WaitAsync(Patience);

        Assert.Equal(4, begun);
    }

    [Fact]
    public async Task StopAsync_NodeThatNeverStops_IsGivenUp()
    {
        var never = new TaskCompletionSource();
        var time = new FakeTimeProvider();

        var stop = DemoNodes.StopAsync([new StoppingNode(() => never.Task)], time);
        time.Advance(TimeSpan.FromSeconds(10));

        await Assert.ThrowsAsync<TimeoutException>(() => stop.WaitAsync(Patience));
    }

    private sealed class StoppingNode(Func<Task> stop) : IDemoNode
    {
        public string Name => "node";

        public Uri Facade => throw new NotSupportedException();

        public NodeTraffic Traffic => default;

        public ValueTask DisposeAsync() => new(stop());
    }
}
