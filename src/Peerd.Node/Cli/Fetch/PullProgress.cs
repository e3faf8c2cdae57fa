using System.Collections.Immutable;
using Peerd.Contracts;

namespace Peerd.Node.Cli.Fetch;

/// <summary>How far a pull is. Written by the pull, read by whoever shows it, from any thread.</summary>
internal sealed class PullProgress
{
    private ImmutableArray<ContentProgress> _contents = [];

    /// <summary>The contents that the pull knows of by now, in the order in which they were started.</summary>
    public ImmutableArray<ContentProgress> Contents => ImmutableInterlocked.InterlockedCompareExchange(ref _contents, default, default);

    /// <summary>Bytes of all contents that have arrived.</summary>
    public long ReceivedBytes => Contents.Sum(content => content.ReceivedBytes);

    public ContentProgress Start(string name, Digest digest, long size)
    {
        var content = new ContentProgress(name, digest, size);
        ImmutableInterlocked.Update(ref _contents, (contents, added) => contents.Add(added), content);
        return content;
    }
}

/// <summary>How far one content is.</summary>
/// <param name="name">For people: <c>layer 1 of 3</c>.</param>
/// <param name="digest">The content.</param>
/// <param name="size">Its size; 0 as long as it is unknown.</param>
internal sealed class ContentProgress(string name, Digest digest, long size)
{
    private long _size = size;
    private long _received;
    private volatile bool _verified;

    public string Name => name;

    public Digest Digest => digest;

    public long Size
    {
        get => Interlocked.Read(ref _size);
        set => Interlocked.Exchange(ref _size, value);
    }

    public long ReceivedBytes => Interlocked.Read(ref _received);

    /// <summary>All bytes are here and match the digest.</summary>
    public bool IsVerified => _verified;

    public void Receive(int count) => Interlocked.Add(ref _received, count);

    public void Verified() => _verified = true;
}
