using System.Net;
using Peerd.Contracts;
using Peerd.Node.Origin;
using Peerd.Node.Storage;
using Peerd.Node.Swarm;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Content;

/// <summary>Reads contents from the cache when they are whole there, else through the download that all readers share.</summary>
internal sealed class ContentReader(PieceCache cache, Downloads downloads, IOrigin origin, ServedBytes served, IntegrityFailures failures, TimeProvider time) : IContentReader
{
    /// <summary>How much of a content is fetched ahead of a client that asked for a range.</summary>
    private const int RangeAheadBytes = 32 * 1024 * 1024;

    private readonly UnsharedReads _unshared = new(origin, downloads.Quarantine, served, failures, time);

    public async Task<ContentFacts> StatAsync(ContentRequest request, CancellationToken cancellationToken)
    {
        if (downloads.IsQuarantined(request.Digest))
        {
            return await _unshared.StatAsync(request, cancellationToken);
        }

        if (cache.TryPeek(request.Digest, out var content))
        {
            return new ContentFacts(HttpStatusCode.OK, content.Size, content.MediaType);
        }

        // The mesh answers for what it holds; only for contents that nobody holds this reads their beginning.
        using var use = downloads.Join(request.Digest, request.Origin, isWhole: false);
        var failure = await use.Download.OpenedAsync.WaitAsync(cancellationToken);
        return failure is null ? FactsOf(use.Download.Content) : FactsOf(FailureFor(use, failure));
    }

    public async Task<IContentReading> OpenAsync(ContentRequest request, Func<long, ByteRange>? range, CancellationToken cancellationToken)
    {
        if (downloads.IsQuarantined(request.Digest) && await _unshared.OpenAsync(request, range, cancellationToken) is { } unshared)
        {
            return unshared;
        }

        if (cache.TryOpen(request.Digest, out var lease))
        {
            if (lease.Content.IsVerified)
            {
                return new ContentReading(FactsOf(lease.Content), lease, use: null, reader: null, () => downloads.Join(request.Digest, request.Origin, isWhole: false), served, time);
            }

            lease.Dispose();
        }

        var use = downloads.Join(request.Digest, request.Origin, isWhole: range is null);
        try
        {
            if (await use.Download.OpenedAsync.WaitAsync(cancellationToken) is { } failure)
            {
                var facts = FactsOf(FailureFor(use, failure));
                use.Dispose();
                return new ContentReading(facts, lease: null, use: null, reader: null, rejoin: null, served, time);
            }

            var content = use.Download.Content;
            var bytes = range?.Invoke(content.Size) ?? new ByteRange(0, content.Size);
            var ahead = range is null ? int.MaxValue : Math.Max(2, RangeAheadBytes / content.Layout.PieceSize);
            var reader = use.AddReader(bytes, ahead);
            return new ContentReading(FactsOf(content), cache.Open(request.Digest, content.Size, mediaType: null), use, reader, rejoin: null, served, time);
        }
        catch
        {
            use.Dispose();
            throw;
        }
    }

    private static ContentFacts FactsOf(CachedContent content) => new(HttpStatusCode.OK, content.Size, content.MediaType);

    // What another client's registry asks for is not for this one: it would send its credentials there.
    private static SourceFailure FailureFor(DownloadUse use, SourceFailure failure) => use.Failure ?? failure with { Challenge = null };

    /// <summary>What a client is told.</summary>
    public static ContentFacts FactsOf(SourceFailure failure) => new(failure.Status, Error: failure.Error, RetryAfter: failure.RetryAfter, Challenge: failure.Challenge);
}
