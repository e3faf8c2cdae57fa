using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class OwnedTasksTests
{
    private readonly List<Exception> _failures = [];
    private readonly OwnedTasks _tasks;

    public OwnedTasksTests() => _tasks = new OwnedTasks(_failures.Add);

    [Fact]
    public async Task Running_ATask_UntilItEnds()
    {
        var end = new TaskCompletionSource();
        _tasks.Run(() => end.Task);
        var running = Assert.Single(_tasks.Running);

        end.SetResult();
        await running;
        await EmptyAsync();
    }

    [Fact]
    public async Task Run_ATaskThatFails_IsTold()
    {
        _tasks.Run(static () => throw new IOException("broken"));
        await EmptyAsync();

        Assert.Equal("broken", Assert.Single(_failures).Message);
    }

    [Fact]
    public async Task Run_ATaskThatIsCancelled_IsNotTold()
    {
        _tasks.Run(static () => Task.FromCanceled(new CancellationToken(canceled: true)));
        await EmptyAsync();

        Assert.Empty(_failures);
    }

    private async Task EmptyAsync()
    {
        while (_tasks.Running.Length > 0)
        {
            await Task.Yield();
            TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
        }
    }
}
