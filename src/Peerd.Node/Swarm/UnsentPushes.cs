namespace Peerd.Node.Swarm;

/// <summary>
/// What this node has to tell askers as an owner and they have not taken yet: when it is too much, who has not taken all for longest is cut
/// off. Thread-safe.
/// </summary>
/// <param name="most">Bytes of memory in all.</param>
internal sealed class UnsentPushes(long most)
{
    private readonly Lock _lock = new();

    // Who has something to take, those first that have had so for longest.
    private readonly LinkedList<Share> _late = new();
    private long _bytes;

    /// <summary>Bytes at this moment.</summary>
    public long Bytes => Interlocked.Read(ref _bytes);

    /// <summary>What one asker has not taken.</summary>
    /// <param name="cut">Cuts it off: it takes nothing more. Called at most once, outside of locks of this class.</param>
    public Share Open(Action cut) => new(this, cut);

    private void Set(Share share, long bytes)
    {
        var cut = new List<Share>();
        lock (_lock)
        {
            if (share.IsCut)
            {
                return;
            }

            Change(share, bytes);
            while (_bytes > most && _late.First is { Value: var late })
            {
                Change(late, 0);
                late.IsCut = true;
                cut.Add(late);
            }
        }

        cut.ForEach(static late => late.Cut());
    }

    private void Change(Share share, long bytes)
    {
        Interlocked.Add(ref _bytes, bytes - share.Bytes);
        if (share.Bytes == 0 && bytes > 0)
        {
            _late.AddLast(share.Node);
        }
        else if (share.Bytes > 0 && bytes == 0)
        {
            _late.Remove(share.Node);
        }

        share.Bytes = bytes;
    }

    /// <summary>Of one asker; not thread-safe, but for what the lock of all protects. Dispose it when the asker has left.</summary>
    internal sealed class Share : IDisposable
    {
        private readonly UnsentPushes _all;

        public Share(UnsentPushes all, Action cut)
        {
            (_all, Cut) = (all, cut);
            Node = new LinkedListNode<Share>(this);
        }

        internal LinkedListNode<Share> Node { get; }

        internal Action Cut { get; }

        internal long Bytes { get; set; }

        internal bool IsCut { get; set; }

        /// <summary>So much is not taken now.</summary>
        public void Set(long bytes) => _all.Set(this, bytes);

        public void Dispose() => Set(0);
    }
}
