using System.Collections.Frozen;
using Peerd.Contracts;

namespace Peerd.Node.Cli.Demo;

/// <summary>What a registry sent of one content.</summary>
/// <param name="Requests">Requests for it, GET and HEAD.</param>
/// <param name="BodyBytes">Bytes of it that were sent.</param>
internal readonly record struct ContentCount(long Requests, long BodyBytes);

/// <summary>What the demo's registry saw. All members may be used from any thread.</summary>
internal sealed class OriginCounts(IEnumerable<Digest> contents)
{
    private readonly FrozenDictionary<Digest, Counter> _counters = contents.Distinct().ToFrozenDictionary(digest => digest, _ => new Counter());
    private long _requests;

    /// <summary>All requests, also those for contents that are not there.</summary>
    public long Requests => Interlocked.Read(ref _requests);

    /// <summary>Bytes of all contents that were sent.</summary>
    public long BodyBytes => _counters.Values.Sum(counter => Interlocked.Read(ref counter.BodyBytes));

    public ContentCount Of(Digest digest) => _counters.TryGetValue(digest, out var counter)
        ? new ContentCount(Interlocked.Read(ref counter.Requests), Interlocked.Read(ref counter.BodyBytes))
        : default;

    public void AddRequest() => Interlocked.Increment(ref _requests);

    public void AddRequestFor(Digest digest) => Interlocked.Increment(ref _counters[digest].Requests);

    public void AddBodyBytes(Digest digest, int count) => Interlocked.Add(ref _counters[digest].BodyBytes, count);

    private sealed class Counter
    {
        public long Requests;
        public long BodyBytes;
    }
}
