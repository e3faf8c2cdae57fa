using System.IO.Pipelines;
using System.Net;
using System.Net.Http.Headers;
using Peerd.Contracts;
using Peerd.Node.Origin;
using Peerd.Node.Storage;

namespace Peerd.Node.Content;

/// <summary>What a client wants to read.</summary>
/// <param name="Digest">The content.</param>
/// <param name="Origin">Where the client would get it from without the mesh.</param>
internal sealed record ContentRequest(Digest Digest, OriginReference Origin);

/// <summary>Size and media type of a content, or why there is none.</summary>
/// <param name="Status">200, or the status that tells the client why not: 404, 401, 403, 429, 502, 503, 504.</param>
/// <param name="Size">Bytes of the whole content.</param>
/// <param name="MediaType">Media type; null when unknown.</param>
/// <param name="Error">For the error answer: what went wrong, without secrets.</param>
/// <param name="RetryAfter">Pause that the origin asked for.</param>
/// <param name="Challenge">With 401: what the registry asks the client for; null when the client could not answer it.</param>
internal sealed record ContentFacts(
    HttpStatusCode Status, long Size = 0, string? MediaType = null, string Error = "", TimeSpan? RetryAfter = null, AuthenticationHeaderValue? Challenge = null)
{
    public bool IsFound => Status == HttpStatusCode.OK;
}

/// <summary>How sending ended.</summary>
internal enum CopyOutcome
{
    /// <summary>All bytes of the range were written.</summary>
    Complete,

    /// <summary>No source had the rest, or the whole did not match the digest: the caller must end the connection with FIN.</summary>
    SourceFailed,

    /// <summary>The client went away.</summary>
    ReaderGone,
}

/// <summary>The read path: local cache, peers, origin, in that order, single flight per content.</summary>
internal interface IContentReader
{
    /// <summary>Size and media type without fetching bytes: from the cache, the directory, or the origin.</summary>
    Task<ContentFacts> StatAsync(ContentRequest request, CancellationToken cancellationToken);

    /// <summary>
    /// Opens a content for reading. When <see cref="IContentReading.Facts"/> is not found nothing can be read from it.
    /// </summary>
    /// <param name="request">What to read.</param>
    /// <param name="range">
    /// The bytes that will be read, once the size is known; null for all. Whole contents are fetched in
    /// whatever order is best, of ranges only a little more than what is asked for.
    /// </param>
    /// <param name="cancellationToken">Stops the opening, not what was opened.</param>
    Task<IContentReading> OpenAsync(ContentRequest request, Func<long, ByteRange>? range, CancellationToken cancellationToken);
}

/// <summary>A content that is open for one client.</summary>
internal interface IContentReading : IAsyncDisposable
{
    ContentFacts Facts { get; }

    /// <summary>Why the origin does not give it to this client, when reading ends because no source has it; null when it was not asked on its behalf, or does.</summary>
    ContentFacts? Failure { get; }

    /// <summary>Reading ended because the origin told another size than the mesh had: what is opened again has the origin's.</summary>
    bool IsSizeDisputed => false;

    /// <summary>What was copied so far may be wrong, and nothing mends it: all of the content was dropped since.</summary>
    bool IsSpoilt => false;

    /// <summary>Changes as long as anything of the content comes to this node, not only what is read next.</summary>
    long Arrived => 0;

    /// <summary>The furthest of the sources that the bytes copied so far are from.</summary>
    ByteSource Source { get; }

    /// <summary>Completes with true when the whole content is here and matches its digest; false when no source has it.</summary>
    Task<bool> WaitVerifiedAsync(CancellationToken cancellationToken);

    /// <summary>
    /// Writes bytes in order, each as soon as it is here and was checked. The last byte of the content is not written
    /// before the whole content was found to match its digest. Flushes often enough; a client that does not read holds
    /// back only itself.
    /// </summary>
    Task<CopyOutcome> CopyToAsync(PipeWriter destination, ByteRange range, CancellationToken cancellationToken);

    /// <summary>The same for bytes that the node looks at itself and sends to nobody: they do not count as served.</summary>
    Task<CopyOutcome> PeekAsync(PipeWriter destination, ByteRange range, CancellationToken cancellationToken);
}
