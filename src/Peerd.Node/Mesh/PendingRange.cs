using Peerd.Contracts.V1;

namespace Peerd.Node.Mesh;

/// <summary>A range that a reader has asked for and that has not ended. Cancelling it is safe at any time, from any thread.</summary>
/// <param name="request">What is asked for.</param>
/// <param name="arrived">When it was asked for.</param>
/// <param name="ended">Called once when it has ended.</param>
internal sealed class PendingRange(FetchRange request, long arrived, Action ended) : IDisposable
{
    private readonly CancellationTokenSource _cancelled = new();
    private readonly Lock _lock = new();
    private bool _disposed;

    public FetchRange Request { get; } = request;

    /// <summary>When it was asked for: its time runs from then on, also behind others.</summary>
    public long Arrived { get; } = arrived;

    public CancellationToken Cancelled => _cancelled.Token;

    public void Cancel()
    {
        lock (_lock)
        {
            if (!_disposed)
            {
                _cancelled.Cancel();
            }
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            _cancelled.Dispose();
        }

        ended();
    }
}
