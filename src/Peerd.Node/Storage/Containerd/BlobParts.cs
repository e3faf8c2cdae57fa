using System.Diagnostics.CodeAnalysis;
using Peerd.Contracts;

namespace Peerd.Node.Storage.Containerd;

/// <summary>
/// Parts of blobs as containerd handed them over, within one budget: the least recently used go first. Thread-safe.
/// </summary>
/// <param name="budget">Bytes.</param>
internal sealed class BlobParts(long budget)
{
    /// <summary>Bytes of a part; the last of a blob is shorter.</summary>
    public const int PartSize = 1 << 20;

    private readonly Lock _lock = new();
    private readonly Dictionary<(ContainerdBlob, int), LinkedListNode<Part>> _parts = [];
    private readonly LinkedList<Part> _order = new();
    private long _used;

    /// <summary>Bytes of all parts now.</summary>
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

    public bool Has(ContainerdBlob blob, int part)
    {
        lock (_lock)
        {
            return TryUse(blob, part, out _);
        }
    }

    /// <summary>Copies bytes of a part; false when it is not here.</summary>
    public bool TryRead(ContainerdBlob blob, int part, int offset, Span<byte> destination)
    {
        // The copy is made under the lock, so that no buffer goes back to the pool while it is read.
        lock (_lock)
        {
            if (!TryUse(blob, part, out var found))
            {
                return false;
            }

            found.Bytes.Memory.Span.Slice(offset, destination.Length).CopyTo(destination);
            return true;
        }
    }

    /// <summary>Takes over the bytes.</summary>
    public void Add(ContainerdBlob blob, int part, PooledBuffer bytes)
    {
        lock (_lock)
        {
            if (TryUse(blob, part, out _))
            {
                bytes.Dispose();
                return;
            }

            _used += bytes.Memory.Length;
            _parts.Add((blob, part), _order.AddLast(new Part(blob, part, bytes)));
            while (_used > budget && _order.First is { } oldest)
            {
                _order.RemoveFirst();
                _parts.Remove((oldest.Value.Blob, oldest.Value.Index));
                _used -= oldest.Value.Bytes.Memory.Length;
                oldest.Value.Bytes.Dispose();
            }
        }
    }

    private bool TryUse(ContainerdBlob blob, int part, [NotNullWhen(true)] out Part? found)
    {
        found = null;
        if (!_parts.TryGetValue((blob, part), out var node))
        {
            return false;
        }

        _order.Remove(node);
        _order.AddLast(node);
        found = node.Value;
        return true;
    }

    private sealed record Part(ContainerdBlob Blob, int Index, PooledBuffer Bytes);
}
