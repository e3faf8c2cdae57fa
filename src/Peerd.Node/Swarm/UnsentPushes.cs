namespace Peerd.Node.Swarm;

/// <summary>
/// What this node has to tell askers as an owner and they have not taken yet: when it is too much, the caller to whom most is to be told
/// loses the stream that has most of it. Thread-safe.
/// </summary>
/// <param name="most">Bytes of memory in all.</param>
internal sealed class UnsentPushes(long most)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Caller> _callers = new(StringComparer.Ordinal);
    private long _bytes;

    /// <summary>Bytes at this moment.</summary>
    public long Bytes => Interlocked.Read(ref _bytes);

    /// <summary>What one asker has not taken.</summary>
    /// <param name="caller">Whose it is: he may have many streams with little on each.</param>
    /// <param name="cut">Cuts it off: it takes nothing more. Called at most once, outside of the lock.</param>
    public Share Open(string caller, Action cut) => new(this, caller, cut);

    private void Add(Share share, long bytes)
    {
        var cut = new List<Share>();
        lock (_lock)
        {
            if (share.IsOver)
            {
                return;
            }

            Change(share, share.Bytes + bytes);
            while (_bytes > most)
            {
                var greatest = _callers.Values.MaxBy(static caller => caller.Bytes)!.Shares.MaxBy(static other => other.Bytes)!;
                End(greatest);
                cut.Add(greatest);
            }
        }

        cut.ForEach(static greatest => greatest.Cut());
    }

    private void Leave(Share share)
    {
        lock (_lock)
        {
            End(share);
        }
    }

    private void End(Share share)
    {
        Change(share, 0);
        share.IsOver = true;
    }

    private void Change(Share share, long bytes)
    {
        if (!_callers.TryGetValue(share.Caller, out var caller))
        {
            _callers.Add(share.Caller, caller = new Caller());
        }

        var more = bytes - share.Bytes;
        Interlocked.Add(ref _bytes, more);
        caller.Bytes += more;
        share.Bytes = bytes;
        if (bytes != 0)
        {
            caller.Shares.Add(share);
            return;
        }

        caller.Shares.Remove(share);
        if (caller.Shares.Count == 0)
        {
            _callers.Remove(share.Caller);
        }
    }

    /// <summary>One to whom something is to be told.</summary>
    private sealed class Caller
    {
        public HashSet<Share> Shares { get; } = [];

        /// <summary>Of all of them.</summary>
        public long Bytes { get; set; }
    }

    /// <summary>Of one asker. Dispose it when the asker has left. Thread-safe.</summary>
    internal sealed class Share(UnsentPushes all, string caller, Action cut) : IDisposable
    {
        internal string Caller => caller;

        internal Action Cut => cut;

        internal long Bytes { get; set; }

        internal bool IsOver { get; set; }

        /// <summary>So much more is to be taken, or so much less if it is negative; in whatever order this is told.</summary>
        public void Add(long bytes) => all.Add(this, bytes);

        public void Dispose() => all.Leave(this);
    }
}
