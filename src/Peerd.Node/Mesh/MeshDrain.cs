namespace Peerd.Node.Mesh;

/// <summary>
/// Sends the peers away: streams of the moment are told so and end, and a little later their connections are closed. Peers
/// that come after that are served, unless the node stops. Thread-safe.
/// </summary>
internal sealed class MeshDrain(TimeProvider time) : IDisposable
{
    /// <summary>Time for the last words on connections of peers.</summary>
    public static readonly TimeSpan LeaveTime = TimeSpan.FromMilliseconds(500);

    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _stopping = new();
    private readonly List<Term> _ended = [];
    private Term _current = new(time);
    private bool _isStopping;

    /// <summary>What holds for a stream or a connection that begins now.</summary>
    public Term Current
    {
        get
        {
            lock (_lock)
            {
                return _current;
            }
        }
    }

    /// <summary>The process stops, and nobody it waits for serves in its place.</summary>
    public CancellationToken Stopping => _stopping.Token;

    /// <summary>Another process is the member now: owners do not listen to this one.</summary>
    public bool HasLeft { get; private set; }

    /// <summary>The process goes on: who comes after this is served as before.</summary>
    public void Leave()
    {
        HasLeft = true;
        End(isStopping: false);
    }

    /// <summary>The other process is gone: this one is the member again.</summary>
    public void Return() => HasLeft = false;

    /// <summary>The process stops: who comes after this is sent away, too.</summary>
    public void Stop() => End(isStopping: true);

    public void Dispose()
    {
        lock (_lock)
        {
            _stopping.Dispose();
            _current.Dispose();
            _ended.ForEach(term => term.Dispose());
        }
    }

    private void End(bool isStopping)
    {
        Term ended;
        lock (_lock)
        {
            if (_isStopping)
            {
                return;
            }

            _isStopping = isStopping;
            ended = _current;
            if (!isStopping)
            {
                _ended.Add(ended);
                _current = new Term(time);
            }
        }

        // First: who is sent away finds it stopping.
        if (isStopping)
        {
            _stopping.Cancel();
        }

        ended.End();
    }

    /// <summary>From one drain to the next.</summary>
    internal sealed class Term(TimeProvider time) : IDisposable
    {
        private readonly CancellationTokenSource _leaving = new();
        private readonly CancellationTokenSource _left = new(Timeout.InfiniteTimeSpan, time);

        /// <summary>Say so and end.</summary>
        public CancellationToken Leaving => _leaving.Token;

        /// <summary>The time for last words is over.</summary>
        public CancellationToken Left => _left.Token;

        public void End()
        {
            _left.CancelAfter(LeaveTime);
            _leaving.Cancel();
        }

        public void Dispose()
        {
            _leaving.Dispose();
            _left.Dispose();
        }
    }
}
