using System.Diagnostics.CodeAnalysis;
using Peerd.Contracts;

namespace Peerd.Node.Storage;

/// <summary>
/// Contents on this node's disk, whole or in part: bounded in bytes, least recently used contents go first, contents
/// in use never. Survives restarts and kill -9. Thread-safe.
/// </summary>
internal sealed class PieceCache
{
    /// <summary>Digests whose availability changed since they were last drained; read by one consumer.</summary>
    public ContentChanges Changes { get; } = new();

    public long UsedBytes => throw new NotImplementedException();

    public long CapacityBytes => throw new NotImplementedException();

    /// <summary>False when the directory cannot be written to: frames then stay in bounded memory.</summary>
    public bool IsWritable => throw new NotImplementedException();

    /// <summary>All contents that hold something now.</summary>
    public IReadOnlyCollection<Digest> Digests => throw new NotImplementedException();

    /// <summary>
    /// The content if something is known of it here, pinned until the lease is disposed. Touches the content: it
    /// becomes the most recently used.
    /// </summary>
    public bool TryOpen(Digest digest, [NotNullWhen(true)] out ContentLease? lease) => throw new NotImplementedException();

    /// <summary>The content, created empty if unknown, pinned until the lease is disposed.</summary>
    /// <exception cref="InvalidDataException">The content is known here with another size.</exception>
    public ContentLease Open(Digest digest, long size, string? mediaType) => throw new NotImplementedException();

    /// <summary>Forgets the content and its bytes. Readers that have it open get <see cref="FrameLostException"/>.</summary>
    public void Remove(Digest digest) => throw new NotImplementedException();
}
