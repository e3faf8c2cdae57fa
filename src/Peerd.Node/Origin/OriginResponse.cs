using System.Net;
using System.Net.Http.Headers;
using Peerd.Contracts;

namespace Peerd.Node.Origin;

/// <summary>How an exchange with the origin went.</summary>
internal enum OriginOutcome
{
    /// <summary>The body holds what was asked for.</summary>
    Ok,

    /// <summary>The origin answered with a status that is no success; see <see cref="OriginResponse.Status"/>.</summary>
    Refused,

    /// <summary>No usable answer: no connection, time-out, broken protocol, forbidden redirect.</summary>
    Unreachable,
}

/// <summary>The answer of the origin to one read. Dispose to give the connection back.</summary>
internal sealed class OriginResponse : IAsyncDisposable
{
    private readonly IAsyncDisposable? _owner;

    public OriginResponse(IAsyncDisposable? owner = null) => _owner = owner;

    public required OriginOutcome Outcome { get; init; }

    /// <summary>The status that the origin sent; 0 when <see cref="OriginOutcome.Unreachable"/>.</summary>
    public HttpStatusCode Status { get; init; }

    /// <summary>Nothing can be concluded from it: the origin cannot be reached, is in trouble, or asks for a pause.</summary>
    public bool IsDown => Outcome == OriginOutcome.Unreachable
        || (Outcome == OriginOutcome.Refused && (Status is HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests || (int)Status >= 500));

    /// <summary>This node gave it without a word of the origin, which was not asked, or not for long enough: it says nothing of what others would be told.</summary>
    public bool IsOwnWord { get; init; }

    /// <summary>For logs and error answers: what went wrong, without secrets. Empty when all went well.</summary>
    public string Error { get; init; } = string.Empty;

    /// <summary>Size of the whole content; null when the origin did not say (chunked).</summary>
    public long? TotalSize { get; init; }

    /// <summary>The bytes of the content that <see cref="Body"/> holds, exactly; Length is -1 when unknown.</summary>
    public ByteRange Range { get; init; }

    /// <summary>
    /// The bytes. Ends after <see cref="Range"/>; throws <see cref="IOException"/> when the origin stops early or
    /// is idle for longer than the configured time.
    /// </summary>
    public Stream Body { get; init; } = Stream.Null;

    /// <summary>Content-Type without parameters; null when absent.</summary>
    public string? MediaType { get; init; }

    /// <summary>Docker-Content-Digest if it is a well-formed digest, else null.</summary>
    public Digest? ContentDigest { get; init; }

    /// <summary>Link of a list, as the registry wrote it; null when there is none.</summary>
    public string? Link { get; init; }

    /// <summary>OCI-Filters-Applied of a list, as the registry wrote it; null when there is none.</summary>
    public string? FiltersApplied { get; init; }

    /// <summary>Retry-After if the origin sent one.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>What the registry asks the client for, with a 401 that the client may answer; else null.</summary>
    public AuthenticationHeaderValue? Challenge { get; init; }

    /// <summary>The same answer, which gives back what it held, and then the slot, when it is disposed.</summary>
    public OriginResponse Holding(IDisposable slot) => new(new Holder(this, slot))
    {
        Outcome = Outcome,
        Status = Status,
        TotalSize = TotalSize,
        Range = Range,
        Body = Body,
        MediaType = MediaType,
        ContentDigest = ContentDigest,
        Link = Link,
        FiltersApplied = FiltersApplied,
    };

    public ValueTask DisposeAsync() => _owner?.DisposeAsync() ?? ValueTask.CompletedTask;

    private sealed class Holder(OriginResponse response, IDisposable slot) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await response.DisposeAsync();
            slot.Dispose();
        }
    }
}
