using System.Net;
using System.Net.Http.Headers;
using BitFaster.Caching.Lru;
using Peerd.Contracts;

namespace Peerd.Node.Origin;

/// <summary>
/// One question to a registry up to the headers of the answer that counts: answers its challenge, follows its
/// redirects, and goes straight to where it redirected a moment ago. Thread-safe.
/// </summary>
internal sealed partial class OriginExchange(OriginTransport transport, TokenSource tokens, OriginSettings settings, OriginMetrics metrics, TimeProvider time, ILogger<OriginExchange> logger)
{
    public const string UserAgent = "peerd";

    private const string ManifestTypes =
        "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
        + "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, */*";

    private readonly RedirectMemory _redirects = new(time);

    // What each repository asked for last, so that its next request has the token from the start.
    private readonly ConcurrentLru<(string Registry, string Repository), BearerChallenge> _challenges = new(1024);

    /// <summary>Sends the request; the reply's message has headers only and must be disposed.</summary>
    public async Task<OriginReply> SendAsync(RegistryEndpoint endpoint, OriginReference reference, Uri url, HttpMethod method, ByteRange? range, CancellationToken cancellationToken)
    {
        // Signed URLs are good for one method, GET.
        if (method == HttpMethod.Get && reference.Kind == OriginKind.Blob && _redirects.TryGet(reference, out var remembered))
        {
            var reply = await FollowAsync(endpoint, reference, remembered, method, range, cancellationToken);
            if (IsContent(reply.Message))
            {
                return reply;
            }

            _redirects.Forget(reference);
            if (reply.Message is not { } message || (int)message.StatusCode is < 400 or >= 500)
            {
                return reply;
            }

            message.Dispose();
        }

        return await FollowAsync(endpoint, reference, url, method, range, cancellationToken);
    }

    private async Task<OriginReply> FollowAsync(RegistryEndpoint endpoint, OriginReference reference, Uri start, HttpMethod method, ByteRange? range, CancellationToken cancellationToken)
    {
        var repository = (reference.Registry, reference.Repository);
        var url = start;
        var token = endpoint.IsOriginOf(url) && _challenges.TryGet(repository, out var known)
            ? (await tokens.GetAsync(endpoint, known, rejected: null, cancellationToken)).Token
            : null;
        var isAnswered = false;
        for (var redirects = 0; ;)
        {
            var reply = await SendOnceAsync(endpoint, reference.Kind, url, method, range, token, cancellationToken);
            if (reply.Message is not { } message)
            {
                return reply;
            }

            if (message.StatusCode == HttpStatusCode.Unauthorized && !isAnswered && endpoint.IsOriginOf(url)
                && BearerChallenge.Find(message.Headers.WwwAuthenticate) is { } challenge)
            {
                message.Dispose();
                isAnswered = true;
                challenge = challenge.Scope.Length > 0 ? challenge : challenge with { Scope = $"repository:{reference.Repository}:pull" };
                var answer = await tokens.GetAsync(endpoint, challenge, token, cancellationToken);
                if (answer.Token is null)
                {
                    return answer.Failure!;
                }

                token = answer.Token;
                _challenges.AddOrUpdate(repository, challenge);
            }
            else if (RedirectPolicy.IsRedirect(message.StatusCode))
            {
                var location = message.Headers.NonValidated.TryGetValues("Location", out var values) && values.Count == 1 ? values.ToString() : null;
                message.Dispose();
                if (++redirects > settings.MaxRedirects)
                {
                    return new OriginFailure($"{OriginUrl.Redact(start)} redirects more than {settings.MaxRedirects} times");
                }

                if (!RedirectPolicy.TryFollow(endpoint, url, location, out var target, out var reason))
                {
                    return new OriginFailure($"{OriginUrl.Redact(url)}: {reason}");
                }

                url = target;
            }
            else
            {
                if (redirects > 0 && method == HttpMethod.Get && reference.Kind == OriginKind.Blob && IsContent(message))
                {
                    _redirects.Remember(reference, url);
                }

                return reply;
            }
        }
    }

    private async Task<OriginReply> SendOnceAsync(RegistryEndpoint endpoint, OriginKind kind, Uri url, HttpMethod method, ByteRange? range, string? token, CancellationToken cancellationToken)
    {
        // HTTP/1.1: each read has a TCP connection to itself, which is what makes many large reads fast.
        using var request = new HttpRequestMessage(method, url);
        request.Headers.TryAddWithoutValidation("Accept", kind == OriginKind.Manifest ? ManifestTypes : "*/*");
        request.Headers.TryAddWithoutValidation("User-Agent", UserAgent);
        if (range is { } bytes)
        {
            request.Headers.Range = new RangeHeaderValue(bytes.Offset, LastByte(bytes));
        }

        if (token is not null && endpoint.IsOriginOf(url))
        {
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        }

        var started = time.GetTimestamp();
        var reply = await transport.SendAsync(endpoint, request, cancellationToken);
        if (reply.Message is { } message)
        {
            metrics.Answered(message.StatusCode);
            if (logger.IsEnabled(LogLevel.Debug))
            {
                Log.Answered(logger, method.Method, OriginUrl.Redact(url), range?.Offset ?? 0, range?.Length ?? -1, (int)message.StatusCode, time.GetElapsedTime(started).TotalMilliseconds);
            }
        }
        else
        {
            metrics.Failed();
            if (logger.IsEnabled(LogLevel.Debug))
            {
                Log.Failed(logger, method.Method, OriginUrl.Redact(url), reply.Failure!.Error);
            }
        }

        return reply;
    }

    /// <summary>The last byte of a range that may reach past every end.</summary>
    public static long LastByte(ByteRange range) => range.Length > long.MaxValue - range.Offset ? long.MaxValue - 1 : range.End - 1;

    private static bool IsContent(HttpResponseMessage? message) => message?.StatusCode is HttpStatusCode.OK or HttpStatusCode.PartialContent;

    private static partial class Log
    {
        [LoggerMessage(300, LogLevel.Debug, "{Method} {Url} ({Offset}+{Length}): {Status} after {Milliseconds:0.0} ms")]
        public static partial void Answered(ILogger logger, string method, string url, long offset, long length, int status, double milliseconds);

        [LoggerMessage(301, LogLevel.Debug, "{Method} {Url}: {Error}")]
        public static partial void Failed(ILogger logger, string method, string url, string error);
    }
}
