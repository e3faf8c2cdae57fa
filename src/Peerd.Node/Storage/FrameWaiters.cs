namespace Peerd.Node.Storage;

/// <summary>Who waits for which frame of a content. Not thread-safe; the content's lock protects it.</summary>
internal sealed class FrameWaiters
{
    private readonly Dictionary<int, Waiter> _waiters = [];

    public int Count => _waiters.Count;

    /// <summary>A waiter for this frame, shared with others who wait for it. Leave it once for each time it was joined.</summary>
    public Waiter Join(int frame)
    {
        if (!_waiters.TryGetValue(frame, out var waiter))
        {
            _waiters.Add(frame, waiter = new Waiter(frame));
        }

        waiter.Users++;
        return waiter;
    }

    public void Leave(Waiter waiter)
    {
        if (--waiter.Users == 0 && _waiters.TryGetValue(waiter.Frame, out var current) && current == waiter)
        {
            _waiters.Remove(waiter.Frame);
        }
    }

    /// <summary>The frame is here.</summary>
    public void Complete(int frame)
    {
        if (_waiters.Remove(frame, out var waiter))
        {
            waiter.Source.SetResult();
        }
    }

    /// <summary>No frame will come any more.</summary>
    public void FailAll(string reason)
    {
        foreach (var waiter in _waiters.Values)
        {
            waiter.Source.SetException(new FrameLostException(waiter.Frame, reason));
        }

        _waiters.Clear();
    }

    /// <summary>One frame that is waited for.</summary>
    internal sealed class Waiter(int frame)
    {
        public int Frame => frame;

        public int Users { get; set; }

        // Continuations run elsewhere: completing happens under the content's lock.
        public TaskCompletionSource Source { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
