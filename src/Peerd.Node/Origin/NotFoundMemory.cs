using System.Net;
using BitFaster.Caching.Lru;
using Peerd.Contracts;

namespace Peerd.Node.Origin;

/// <summary>
/// What the registries said a short time ago not to have, so that many who want it cost one request. Digests only: a
/// tag is what one pushes and then pulls, and who pulled too early must find it at the next try. Thread-safe.
/// </summary>
/// <param name="lifetime">How long; 0 for not at all.</param>
/// <param name="time">Clock.</param>
internal sealed class NotFoundMemory(TimeSpan lifetime, TimeProvider time)
{
    /// <summary>More push out the ones that were not asked for lately.</summary>
    public const int MaxEntries = 4096;

    private readonly ConcurrentLru<Key, Entry> _entries = new(MaxEntries);

    /// <summary>The answer that is still good; null when the registry is to be asked.</summary>
    public OriginFailure? Find(OriginReference reference, HttpMethod method)
    {
        if (lifetime == TimeSpan.Zero)
        {
            return null;
        }

        var status = StatusOf(new Key(reference.WithoutSecrets(), OfHead: false)) ?? (method == HttpMethod.Head ? StatusOf(new Key(reference.WithoutSecrets(), OfHead: true)) : null);
        return status is { } known
            ? new OriginFailure($"{reference.Registry} answered {(int)known} for {reference.Repository} {reference.Reference} a moment ago", Status: known, Unasked: UnaskedReason.NotFound)
            : null;
    }

    /// <summary>Remembers the answer if it says that there is no such thing.</summary>
    public void Note(OriginReference reference, HttpMethod method, HttpStatusCode status)
    {
        if (lifetime > TimeSpan.Zero && status is (HttpStatusCode.NotFound or HttpStatusCode.Gone) && Digest.TryParse(reference.Reference, out _))
        {
            _entries.AddOrUpdate(new Key(reference.WithoutSecrets(), method == HttpMethod.Head), new Entry(status, time.GetTimestamp()));
        }
    }

    private HttpStatusCode? StatusOf(Key key) => _entries.TryGet(key, out var entry) && time.GetElapsedTime(entry.Since) < lifetime ? entry.Status : null;

    /// <summary>Who asked is part of the question: what is hidden from one is there for another.</summary>
    /// <param name="Reference">What was asked for.</param>
    /// <param name="OfHead">HEAD, which some registries refuse where GET works; the answer to GET is good for both.</param>
    private readonly record struct Key(OriginReference Reference, bool OfHead);

    private sealed record Entry(HttpStatusCode Status, long Since);
}
