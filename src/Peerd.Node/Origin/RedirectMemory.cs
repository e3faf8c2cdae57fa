using System.Diagnostics.CodeAnalysis;
using BitFaster.Caching.Lru;

namespace Peerd.Node.Origin;

/// <summary>
/// Where the registries' redirects of blobs led a short time ago, so that the next range goes there at once. Each client
/// is led only to where the registry sent one with the same credential. Thread-safe.
/// </summary>
internal sealed class RedirectMemory(TimeProvider time)
{
    /// <summary>Signed URLs live for minutes; the ones that live shorter are refused, and then resolved anew.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(60);

    private readonly ConcurrentLru<OriginReference, Entry> _entries = new(4096);

    public bool TryGet(OriginReference reference, [NotNullWhen(true)] out Uri? target)
    {
        target = _entries.TryGet(reference.WithoutSecrets(), out var entry) && time.GetElapsedTime(entry.Since) < Lifetime ? entry.Target : null;
        return target is not null;
    }

    public void Remember(OriginReference reference, Uri target) => _entries.AddOrUpdate(reference.WithoutSecrets(), new Entry(target, time.GetTimestamp()));

    public void Forget(OriginReference reference) => _entries.TryRemove(reference.WithoutSecrets());

    private sealed record Entry(Uri Target, long Since);
}
