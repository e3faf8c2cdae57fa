namespace Peerd.Node.Storage;

/// <summary>Content bytes that were read on this node, by where they were. Thread-safe.</summary>
internal sealed class ReadCounts
{
    private long _cache;
    private long _external;

    /// <summary>From the piece cache, disk or memory.</summary>
    public long Cache => Interlocked.Read(ref _cache);

    /// <summary>From containerd's store.</summary>
    public long External => Interlocked.Read(ref _external);

    public void Add(int bytes, bool isExternal) => Interlocked.Add(ref isExternal ? ref _external : ref _cache, bytes);
}
