using System.Net;
using System.Net.Http.Headers;
using Peerd.Contracts;
using Peerd.Node.Limits;

namespace Peerd.Node.Origin;

/// <summary>
/// Reads blobs at the URLs that clients give, as these would read them themselves: once, with what came with the URL, and
/// what the host answers is the answer. Only hosts of the list are asked, redirects included, each of them as gently as a
/// registry: so many reads at a time, so many requests a second, and none while it asks who brought the same credential for a pause. Thread-safe.
/// </summary>
/// <remarks>
/// No 404 is remembered. It may be the answer to this URL only, whose signature is of another client or too old, and the
/// next URL of the same blob may be good.
/// </remarks>
internal sealed partial class BlobStores(OriginTransport transport, BlobHosts hosts, OriginSettings settings, OriginMetrics metrics, Bandwidth bandwidth, TimeProvider time, ILogger<BlobStores> logger) : IDisposable
{
    /// <summary>Hosts that are read from, were a moment ago, or asked for a pause that is not over; more are refused.</summary>
    public const int MaxStores = 1024;

    /// <summary>Signed URLs live for minutes; the ones that live shorter are refused, and then resolved anew.</summary>
    private static readonly TimeSpan RedirectLifetime = TimeSpan.FromSeconds(60);

    private readonly OriginAnswer _answer = new(settings, metrics, bandwidth, time);
    private readonly Lock _lock = new();
    private readonly Dictionary<(string Host, int Port), BlobStore> _stores = [];
    private readonly OriginFailure _tooManyHosts = new($"more than {MaxStores} hosts are read from or asked for a pause", Unasked: UnaskedReason.QueueFull);

    /// <inheritdoc cref="IOrigin.ReadAsync"/>
    public Task<OriginResponse> ReadAsync(OriginReference reference, ByteRange? range, CancellationToken cancellationToken) =>
        ReadAsync(reference, range, isSize: false, cancellationToken);

    /// <inheritdoc cref="IOrigin.StatAsync"/>
    /// <remarks>By a GET of one byte: signed URLs are good for GET only.</remarks>
    public async Task<OriginResponse> StatAsync(OriginReference reference, CancellationToken cancellationToken)
    {
        await using var first = await ReadAsync(reference, new ByteRange(0, 1), isSize: true, cancellationToken);
        var isEmpty = first is { Status: HttpStatusCode.RequestedRangeNotSatisfiable, TotalSize: 0 };
        return first.Outcome != OriginOutcome.Ok && !isEmpty
            ? first
            : new OriginResponse { Outcome = OriginOutcome.Ok, Status = HttpStatusCode.OK, TotalSize = first.TotalSize, MediaType = first.MediaType };
    }

    public void Dispose()
    {
        lock (_lock)
        {
            foreach (var store in _stores.Values)
            {
                store.Dispose();
            }

            _stores.Clear();
        }
    }

    private async Task<OriginResponse> ReadAsync(OriginReference reference, ByteRange? range, bool isSize, CancellationToken cancellationToken)
    {
        var place = new BlobStorePlace();
        OriginResponse? handedOver = null;
        try
        {
            var reply = await SendAsync(new Read(reference.Given!, range, reference.IsUrgent, isSize, place), cancellationToken);
            if (reply.Message is not { } message)
            {
                if (reply.Failure!.Unasked is { } reason)
                {
                    metrics.Unasked(reason);
                }

                return OriginAnswer.Of(reply.Failure);
            }

            var response = await _answer.ReadAsync(reference, range, HttpMethod.Get, message, challenge: null, cancellationToken);
            handedOver = response.Outcome == OriginOutcome.Ok ? response.Holding(place) : null;
            return handedOver ?? response;
        }
        finally
        {
            if (handedOver is null)
            {
                place.Dispose();
            }
        }
    }

    private async Task<OriginReply> SendAsync(Read read, CancellationToken cancellationToken)
    {
        var given = read.Given;
        if (given.Redirected is { } known && time.GetElapsedTime(known.Since) < RedirectLifetime)
        {
            var again = await FollowAsync(read, known.Target, cancellationToken);
            if (again.Message is { StatusCode: HttpStatusCode.OK or HttpStatusCode.PartialContent } || again.Failure is { Unasked: not null } || read.Place.IsPaused)
            {
                // Who led there would lead there again.
                return again;
            }

            again.Message?.Dispose();
            given.Redirected = null;
        }

        return await FollowAsync(read, given.Url, cancellationToken);
    }

    private async Task<OriginReply> FollowAsync(Read read, Uri url, CancellationToken cancellationToken)
    {
        for (var redirects = 0; ;)
        {
            if (!hosts.Allows(url))
            {
                return new OriginFailure($"the redirect to {OriginUrl.Redact(url)} is not followed: its host is not on the list of hosts of blobs");
            }

            var reply = await SendOnceAsync(read, url, cancellationToken);
            if (reply.Message is not { } message || !RedirectPolicy.IsRedirect(message.StatusCode))
            {
                if (redirects > 0 && reply.Message is { StatusCode: HttpStatusCode.OK or HttpStatusCode.PartialContent })
                {
                    read.Given.Redirected = new GivenUrl.Redirect(url, time.GetTimestamp());
                }

                return reply;
            }

            var location = RedirectPolicy.LocationOf(message);
            message.Dispose();
            if (++redirects > settings.MaxRedirects)
            {
                return new OriginFailure($"{read.Given} redirects more than {settings.MaxRedirects} times");
            }

            if (!RedirectPolicy.TryResolve(url, location, out var target) || (url.Scheme == Uri.UriSchemeHttps && target.Scheme != Uri.UriSchemeHttps))
            {
                return new OriginFailure($"{OriginUrl.Redact(url)}: the Location of the redirect is missing, malformed, or clear text after TLS");
            }

            url = target;
        }
    }

    private async Task<OriginReply> SendOnceAsync(Read read, Uri url, CancellationToken cancellationToken)
    {
        var (given, range) = (read.Given, read.Range);
        if (TryEnter(url) is not { } store)
        {
            return _tooManyHosts;
        }

        var authorization = OriginUrl.IsSameOrigin(given.Url, url) ? given.Authorization : null;
        var who = BlobPauses.WhoBrings(authorization);
        if (await read.Place.MoveAsync(store, who, read.IsUrgent, read.IsSize, cancellationToken) is { } refusal)
        {
            return refusal;
        }

        using var request = new HttpRequestMessage(HttpMethod.Get, url);
        request.Headers.TryAddWithoutValidation("Accept", "*/*");
        request.Headers.TryAddWithoutValidation("User-Agent", OriginExchange.UserAgent);
        if (range is { } bytes)
        {
            request.Headers.Range = new RangeHeaderValue(bytes.Offset, OriginExchange.LastByte(bytes));
        }

        if (authorization is not null)
        {
            request.Headers.TryAddWithoutValidation("Authorization", authorization);
        }

        var started = time.GetTimestamp();
        var reply = await transport.SendToStoreAsync(request, cancellationToken);
        if (reply.Message is { } message)
        {
            metrics.Answered(message.StatusCode, time.GetElapsedTime(started));
            store.Pauses.Heed(who, message.StatusCode, RetryAfter.Of(message, time));
            Log.Answered(logger, given, range?.Offset ?? 0, range?.Length ?? -1, (int)message.StatusCode, time.GetElapsedTime(started).TotalMilliseconds);
        }
        else
        {
            metrics.Failed(time.GetElapsedTime(started));
            Log.Failed(logger, given, reply.Failure!.Error);
        }

        return reply;
    }

    /// <summary>Somebody who names hosts without end must not make those be forgotten that need a rest.</summary>
    private BlobStore? TryEnter(Uri url)
    {
        lock (_lock)
        {
            if (!_stores.TryGetValue((url.IdnHost, url.Port), out var store))
            {
                if (_stores.Count >= MaxStores)
                {
                    ForgetIdle();
                }

                if (_stores.Count >= MaxStores)
                {
                    return null;
                }

                _stores.Add((url.IdnHost, url.Port), store = new BlobStore($"{url.IdnHost}:{url.Port}", settings, time, logger));
            }

            store.Enter();
            return store;
        }
    }

    private void ForgetIdle()
    {
        foreach (var (host, store) in _stores)
        {
            if (store.IsIdle)
            {
                _stores.Remove(host);
                store.Dispose();
            }
        }
    }

    /// <param name="Given">The URL.</param>
    /// <param name="Range">Bytes to read; null for all.</param>
    /// <param name="IsUrgent">A container waits for it.</param>
    /// <param name="IsSize">Only the size is asked for.</param>
    /// <param name="Place">Where it is.</param>
    private sealed record Read(GivenUrl Given, ByteRange? Range, bool IsUrgent, bool IsSize, BlobStorePlace Place);

    private static partial class Log
    {
        [LoggerMessage(320, LogLevel.Debug, "GET {Url} ({Offset}+{Length}): {Status} after {Milliseconds:0.0} ms")]
        public static partial void Answered(ILogger logger, GivenUrl url, long offset, long length, int status, double milliseconds);

        [LoggerMessage(321, LogLevel.Debug, "GET {Url}: {Error}")]
        public static partial void Failed(ILogger logger, GivenUrl url, string error);
    }
}
