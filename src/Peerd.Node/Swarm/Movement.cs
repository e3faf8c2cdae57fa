namespace Peerd.Node.Swarm;

/// <summary>Tells those who wait for it that a reader of a download, or its hashing, has moved on. Thread-safe.</summary>
internal sealed class Movement
{
    private TaskCompletionSource _next = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes with the next move. To be asked for before looking at what is waited for.</summary>
    public Task NextAsync => Volatile.Read(ref _next).Task;

    public void Move() => Interlocked.Exchange(ref _next, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
}
