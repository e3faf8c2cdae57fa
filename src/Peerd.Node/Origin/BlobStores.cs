using System.Net;
using System.Net.Http.Headers;
using System.Threading.RateLimiting;
using Peerd.Contracts;
using Peerd.Node.Limits;

namespace Peerd.Node.Origin;

/// <summary>
/// Reads blobs at the URLs that clients give, as these would read them themselves: once, with what came with the URL, and
/// what the host answers is the answer. Only hosts of the list are asked, redirects included. Thread-safe.
/// </summary>
internal sealed partial class BlobStores(OriginTransport transport, BlobHosts hosts, OriginSettings settings, OriginMetrics metrics, Bandwidth bandwidth, TimeProvider time, ILogger<BlobStores> logger) : IDisposable
{
    /// <summary>Reads at a time, from all hosts together; as many again of those that containers wait for.</summary>
    private const int MaxReads = 64;

    private const int MaxWaiting = 1024;

    /// <summary>Signed URLs live for minutes; the ones that live shorter are refused, and then resolved anew.</summary>
    private static readonly TimeSpan RedirectLifetime = TimeSpan.FromSeconds(60);

    private static ConcurrencyLimiterOptions Slots => new() { PermitLimit = MaxReads, QueueLimit = MaxWaiting, QueueProcessingOrder = QueueProcessingOrder.OldestFirst };

    private readonly OriginAnswer _answer = new(settings, metrics, bandwidth, time);
    private readonly ConcurrencyLimiter _slots = new(Slots);
    private readonly ConcurrencyLimiter _urgentSlots = new(Slots);

    /// <inheritdoc cref="IOrigin.ReadAsync"/>
    public async Task<OriginResponse> ReadAsync(OriginReference reference, ByteRange? range, CancellationToken cancellationToken)
    {
        var slot = await (reference.IsUrgent ? _urgentSlots : _slots).AcquireAsync(1, cancellationToken);
        OriginResponse? handedOver = null;
        try
        {
            if (!slot.IsAcquired)
            {
                metrics.Unasked(UnaskedReason.QueueFull);
                return OriginAnswer.Unreachable($"too many reads wait, {reference.Given} was not asked");
            }

            var reply = await SendAsync(reference.Given!, range, cancellationToken);
            var response = reply.Message is { } message
                ? await _answer.ReadAsync(reference, range, HttpMethod.Get, message, challenge: null, cancellationToken)
                : OriginAnswer.Of(reply.Failure!);
            handedOver = response.Outcome == OriginOutcome.Ok ? response.Holding(slot) : null;
            return handedOver ?? response;
        }
        finally
        {
            if (handedOver is null)
            {
                slot.Dispose();
            }
        }
    }

    /// <inheritdoc cref="IOrigin.StatAsync"/>
    /// <remarks>By a GET of one byte: signed URLs are good for GET only.</remarks>
    public async Task<OriginResponse> StatAsync(OriginReference reference, CancellationToken cancellationToken)
    {
        await using var first = await ReadAsync(reference, new ByteRange(0, 1), cancellationToken);
        var isEmpty = first is { Status: HttpStatusCode.RequestedRangeNotSatisfiable, TotalSize: 0 };
        return first.Outcome != OriginOutcome.Ok && !isEmpty
            ? first
            : new OriginResponse { Outcome = OriginOutcome.Ok, Status = HttpStatusCode.OK, TotalSize = first.TotalSize, MediaType = first.MediaType };
    }

    public void Dispose()
    {
        _slots.Dispose();
        _urgentSlots.Dispose();
    }

    private async Task<OriginReply> SendAsync(GivenUrl given, ByteRange? range, CancellationToken cancellationToken)
    {
        if (given.Redirected is { } known && time.GetElapsedTime(known.Since) < RedirectLifetime)
        {
            var again = await FollowAsync(given, known.Target, range, cancellationToken);
            if (again.Message is { StatusCode: HttpStatusCode.OK or HttpStatusCode.PartialContent })
            {
                return again;
            }

            again.Message?.Dispose();
            given.Redirected = null;
        }

        return await FollowAsync(given, given.Url, range, cancellationToken);
    }

    private async Task<OriginReply> FollowAsync(GivenUrl given, Uri url, ByteRange? range, CancellationToken cancellationToken)
    {
        for (var redirects = 0; ;)
        {
            if (!hosts.Allows(url))
            {
                return new OriginFailure($"the redirect to {OriginUrl.Redact(url)} is not followed: its host is not on the list of hosts of blobs");
            }

            var reply = await SendOnceAsync(given, url, range, cancellationToken);
            if (reply.Message is not { } message || !RedirectPolicy.IsRedirect(message.StatusCode))
            {
                if (redirects > 0 && reply.Message is { StatusCode: HttpStatusCode.OK or HttpStatusCode.PartialContent })
                {
                    given.Redirected = new GivenUrl.Redirect(url, time.GetTimestamp());
                }

                return reply;
            }

            var location = RedirectPolicy.LocationOf(message);
            message.Dispose();
            if (++redirects > settings.MaxRedirects)
            {
                return new OriginFailure($"{given} redirects more than {settings.MaxRedirects} times");
            }

            if (!RedirectPolicy.TryResolve(url, location, out var target) || (url.Scheme == Uri.UriSchemeHttps && target.Scheme != Uri.UriSchemeHttps))
            {
                return new OriginFailure($"{OriginUrl.Redact(url)}: the Location of the redirect is missing, malformed, or clear text after TLS");
            }

            url = target;
        }
    }

    private async Task<OriginReply> SendOnceAsync(GivenUrl given, Uri url, ByteRange? range, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, url);
        request.Headers.TryAddWithoutValidation("Accept", "*/*");
        request.Headers.TryAddWithoutValidation("User-Agent", OriginExchange.UserAgent);
        if (range is { } bytes)
        {
            request.Headers.Range = new RangeHeaderValue(bytes.Offset, OriginExchange.LastByte(bytes));
        }

        if (given.Authorization is { } authorization && OriginUrl.IsSameOrigin(given.Url, url))
        {
            request.Headers.TryAddWithoutValidation("Authorization", authorization);
        }

        var started = time.GetTimestamp();
        var reply = await transport.SendToStoreAsync(request, cancellationToken);
        if (reply.Message is { } message)
        {
            metrics.Answered(message.StatusCode, time.GetElapsedTime(started));
            Log.Answered(logger, given, range?.Offset ?? 0, range?.Length ?? -1, (int)message.StatusCode, time.GetElapsedTime(started).TotalMilliseconds);
        }
        else
        {
            metrics.Failed(time.GetElapsedTime(started));
            Log.Failed(logger, given, reply.Failure!.Error);
        }

        return reply;
    }

    private static partial class Log
    {
        [LoggerMessage(320, LogLevel.Debug, "GET {Url} ({Offset}+{Length}): {Status} after {Milliseconds:0.0} ms")]
        public static partial void Answered(ILogger logger, GivenUrl url, long offset, long length, int status, double milliseconds);

        [LoggerMessage(321, LogLevel.Debug, "GET {Url}: {Error}")]
        public static partial void Failed(ILogger logger, GivenUrl url, string error);
    }
}
