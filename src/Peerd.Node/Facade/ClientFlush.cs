namespace Peerd.Node.Facade;

/// <summary>Sends what was put into the body of an answer, and gives up a client that takes nothing. For one answer; not thread-safe.</summary>
internal sealed class ClientFlush(HttpContext context, TimeProvider time) : IDisposable
{
    /// <summary>A client that takes nothing for this long is given up.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private readonly CancellationTokenSource _stalled = new(Timeout.InfiniteTimeSpan, time);

    /// <summary>False when the client is gone, or given up: the answer is aborted then.</summary>
    public async ValueTask<bool> SendAsync()
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, _stalled.Token);
        _stalled.CancelAfter(Patience);
        try
        {
            if (!(await context.Response.BodyWriter.FlushAsync(stop.Token)).IsCompleted)
            {
                _stalled.CancelAfter(Timeout.InfiniteTimeSpan);
                return true;
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
        }

        context.Abort();
        return false;
    }

    public void Dispose() => _stalled.Dispose();
}
