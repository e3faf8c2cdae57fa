namespace Peerd.Node.Mesh;

/// <summary>Ends what a caller has opened, unless that is over: then the server may use what belonged to it for another one. Thread-safe.</summary>
/// <param name="abort">Ends it.</param>
internal sealed class StreamEnd(Action abort) : IDisposable
{
    private readonly Lock _lock = new();
    private bool _isOver;

    public void Abort()
    {
        lock (_lock)
        {
            if (_isOver)
            {
                return;
            }

            try
            {
                abort();
            }
            catch (Exception)
            {
                // It is broken, then. Others are still to be ended, and who called is not to end for it.
            }
        }
    }

    /// <summary>It is over.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _isOver = true;
        }
    }
}
