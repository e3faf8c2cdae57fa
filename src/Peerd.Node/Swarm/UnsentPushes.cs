namespace Peerd.Node.Swarm;

/// <summary>
/// What this node has to tell askers as an owner and they have not taken yet: when it is too much, the caller to whom most is to be told
/// loses the stream that has most of it. Thread-safe.
/// </summary>
/// <param name="most">Bytes of memory in all.</param>
internal sealed class UnsentPushes(long most)
{
    private readonly Lock _lock = new();
    private readonly HashSet<Share> _shares = [];
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
                var greatest = _shares.GroupBy(static other => other.Caller).MaxBy(static caller => caller.Sum(static other => other.Bytes))!.MaxBy(static other => other.Bytes)!;
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
        Interlocked.Add(ref _bytes, bytes - share.Bytes);
        share.Bytes = bytes;
        if (bytes == 0)
        {
            _shares.Remove(share);
        }
        else
        {
            _shares.Add(share);
        }
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
