namespace Peerd.Node.Cli.Fetch;

/// <summary>Cancels what it guards when nothing has happened for a while, or when its caller gives up. For one reader at a time.</summary>
internal sealed class IdleTimeout : IDisposable
{
    private readonly TimeSpan _limit;
    private readonly CancellationTokenSource _idle;
    private readonly CancellationTokenSource _linked;

    public IdleTimeout(TimeSpan limit, TimeProvider time, CancellationToken cancellationToken)
    {
        _limit = limit;
        Caller = cancellationToken;
        _idle = new CancellationTokenSource(limit, time);
        _linked = CancellationTokenSource.CreateLinkedTokenSource(_idle.Token, cancellationToken);
    }

    public TimeSpan Limit => _limit;

    /// <summary>Cancelled by the caller only: for what does not count as waiting.</summary>
    public CancellationToken Caller { get; }

    public CancellationToken Token => _linked.Token;

    /// <summary>True when the time was up.</summary>
    public bool HasExpired => _idle.IsCancellationRequested;

    /// <summary>Something has happened: the time starts anew.</summary>
    public void Restart() => _idle.CancelAfter(_limit);

    public void Dispose()
    {
        _linked.Dispose();
        _idle.Dispose();
    }
}
