using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

/// <summary>A sample content, open and empty in a cache of its own.</summary>
internal sealed class OpenSample : IDisposable
{
    private readonly CacheFolder _folder = new();
    private readonly PieceCache _cache;
    private readonly ContentLease _lease;

    public OpenSample(int size)
    {
        Sample = new SampleContent(seed: 1, size);
        _cache = _folder.Open();
        _lease = Sample.OpenIn(_cache);
    }

    public SampleContent Sample { get; }

    public CachedContent Content => _lease.Content;

    public void Dispose()
    {
        _lease.Dispose();
        _cache.Dispose();
        _folder.Dispose();
    }
}
