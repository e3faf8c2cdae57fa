namespace Peerd.Node.Facade;

/// <summary>Sends what was put into the body of an answer, and gives up a client that takes nothing.</summary>
internal static class ClientFlush
{
    /// <summary>A client that takes nothing for this long is given up.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    /// <summary>False when the client is gone, or given up: the answer is aborted then.</summary>
    public static async ValueTask<bool> SendAsync(HttpContext context, TimeProvider time)
    {
        try
        {
            // Nearly always at once; then there is nothing to bound.
            var flushing = context.Response.BodyWriter.FlushAsync(context.RequestAborted);
            var flushed = flushing.IsCompleted ? await flushing : await flushing.AsTask().WaitAsync(Patience, time);
            if (!flushed.IsCompleted)
            {
                return true;
            }
        }
        catch (Exception e) when (e is OperationCanceledException or TimeoutException)
        {
        }

        context.Abort();
        return false;
    }
}
