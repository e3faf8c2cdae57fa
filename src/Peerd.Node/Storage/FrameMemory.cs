using System.Buffers;

namespace Peerd.Node.Storage;

/// <summary>A frame that is kept in memory. What it holds belongs to <see cref="FrameMemory"/>.</summary>
internal sealed class MemoryFrame(CachedContent owner, int frame, byte[] buffer, int length)
{
    public CachedContent Owner => owner;

    public int Frame => frame;

    public int Length => length;

    /// <summary>Null when the frame is gone.</summary>
    public byte[]? Buffer { get; set; } = buffer;

    public bool WasRead { get; set; }

    public LinkedListNode<MemoryFrame>? Node { get; set; }
}

/// <summary>
/// Frames that the disk could not take, of all contents, in pooled buffers within one budget. When that is spent,
/// frames that were read at least once go first, then the oldest. Thread-safe.
/// </summary>
internal sealed class FrameMemory(long budget)
{
    // What a frame costs beyond its bytes, so that many tiny contents are bounded, too.
    private const int Overhead = 256;

    private readonly Lock _lock = new();
    private readonly LinkedList<MemoryFrame> _fresh = new();
    private readonly LinkedList<MemoryFrame> _read = new();
    private long _used;

    public long Budget => budget;

    public long Used
    {
        get
        {
            lock (_lock)
            {
                return _used;
            }
        }
    }

    /// <summary>Copies a frame; null when it alone is more than the budget. Do not call with a content's lock held.</summary>
    public MemoryFrame? Add(CachedContent owner, int frame, ReadOnlySpan<byte> data)
    {
        if (data.Length + Overhead > budget)
        {
            return null;
        }

        var buffer = ArrayPool<byte>.Shared.Rent(data.Length);
        data.CopyTo(buffer);
        var added = new MemoryFrame(owner, frame, buffer, data.Length);
        List<MemoryFrame>? evicted = null;
        lock (_lock)
        {
            while (_used + added.Length + Overhead > budget)
            {
                var victim = (_read.First ?? _fresh.First)!.Value;
                Free(victim);
                (evicted ??= []).Add(victim);
            }

            added.Node = _fresh.AddLast(added);
            _used += added.Length + Overhead;
        }

        // Outside the lock: the order of locks is content, then memory.
        foreach (var victim in evicted ?? [])
        {
            victim.Owner.OnEvictedFromMemory(victim);
        }

        return added;
    }

    /// <summary>Copies bytes out; false when the frame is gone.</summary>
    public bool TryRead(MemoryFrame frame, int offset, Span<byte> destination)
    {
        // The copy is made under the lock, so that no buffer goes back to the pool while it is read.
        lock (_lock)
        {
            if (frame.Buffer is not { } buffer)
            {
                return false;
            }

            buffer.AsSpan(offset, destination.Length).CopyTo(destination);
            if (!frame.WasRead)
            {
                frame.WasRead = true;
                _fresh.Remove(frame.Node!);
                _read.AddLast(frame.Node!);
            }

            return true;
        }
    }

    public bool IsGone(MemoryFrame frame)
    {
        lock (_lock)
        {
            return frame.Buffer is null;
        }
    }

    public void Remove(MemoryFrame frame)
    {
        lock (_lock)
        {
            Free(frame);
        }
    }

    private void Free(MemoryFrame frame)
    {
        if (frame.Buffer is not { } buffer)
        {
            return;
        }

        frame.Buffer = null;
        (frame.WasRead ? _read : _fresh).Remove(frame.Node!);
        _used -= frame.Length + Overhead;
        ArrayPool<byte>.Shared.Return(buffer);
    }
}
