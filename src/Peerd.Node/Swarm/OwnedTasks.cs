using Peerd.Node.Telemetry;

namespace Peerd.Node.Swarm;

/// <summary>
/// Tasks that belong to an object instead of to whoever happens to begin them. They are kept until they end, so that they are awaited when
/// the object goes. Thread-safe.
/// </summary>
/// <param name="failed">Told of each task that ends with an exception, except for those that were cancelled.</param>
internal sealed class OwnedTasks(Action<Exception> failed)
{
    private readonly Lock _lock = new();
    private readonly HashSet<Task> _tasks = [];

    /// <summary>Those that have not ended.</summary>
    public Task[] Running
    {
        get
        {
            lock (_lock)
            {
                return [.. _tasks];
            }
        }
    }

    /// <summary>Begins one on the thread pool.</summary>
    public void Run(Func<Task> work)
    {
        var task = Detached.Run(work);
        lock (_lock)
        {
            _tasks.Add(task);
        }

        _ = Detached.Run(() => ForgetAsync(task));
    }

    private async Task ForgetAsync(Task task)
    {
        await task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (task.Exception is { InnerException: { } exception and not OperationCanceledException })
        {
            failed(exception);
        }

        lock (_lock)
        {
            _tasks.Remove(task);
        }
    }
}
