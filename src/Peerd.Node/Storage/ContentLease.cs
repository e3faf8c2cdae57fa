namespace Peerd.Node.Storage;

/// <summary>Keeps a content from being evicted for as long as it is not disposed. Dispose exactly once.</summary>
internal sealed class ContentLease(CachedContent content, Action<CachedContent> release) : IDisposable
{
    private Action<CachedContent>? _release = release;

    public CachedContent Content { get; } = content;

    public void Dispose() => Interlocked.Exchange(ref _release, null)?.Invoke(Content);
}
