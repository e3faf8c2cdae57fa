using Peerd.Contracts.V1;

namespace Peerd.Node.Mesh;

/// <summary>A range that a reader has asked for and that has not ended. Cancelling it is safe at any time, from any thread.</summary>
internal sealed class PendingRange(FetchRange request) : IDisposable
{
    private readonly CancellationTokenSource _cancelled = new();
    private readonly Lock _lock = new();
    private bool _disposed;

    public FetchRange Request { get; } = request;

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
            _disposed = true;
            _cancelled.Dispose();
        }
    }
}
