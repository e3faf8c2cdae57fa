namespace Peerd.Node.Telemetry;

/// <summary>
/// Begins work that outlives the request that happens to begin it, or that others share: without that request's log scope
/// and trace, which it would carry to its end.
/// </summary>
internal static class Detached
{
    /// <summary>Runs work on the thread pool; the caller owns the task.</summary>
    public static Task Run(Func<Task> work) => Begin(() => Task.Run(work));

    /// <summary>Begins something on this thread that goes on by itself, such as a call.</summary>
    public static T Begin<T>(Func<T> begin)
    {
        using var suppressed = Suppress();
        return begin();
    }

    // To suppress twice is an error.
    private static AsyncFlowControl? Suppress() => ExecutionContext.IsFlowSuppressed() ? null : ExecutionContext.SuppressFlow();
}
