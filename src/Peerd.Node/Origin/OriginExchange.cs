using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Http.Headers;
using BitFaster.Caching.Lru;
using Peerd.Contracts;

namespace Peerd.Node.Origin;

/// <summary>
/// One question to a registry up to the headers of the answer that counts: answers its challenge, follows its
/// redirects, and goes straight to where it redirected a moment ago. Keeps to the registry's pace and pauses. Thread-safe.
/// </summary>
internal sealed partial class OriginExchange(OriginTransport transport, TokenSource tokens, CredentialFile credentials, OriginSettings settings, OriginMetrics metrics, TimeProvider time, ILogger<OriginExchange> logger)
{
    public const string UserAgent = "peerd";

    private const string ManifestTypes =
        "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
        + "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, */*";

    private readonly RedirectMemory _redirects = new(time);

    // What each repository asked for last, so that its next request has the token from the start. Not of clients that bring
    // credentials of their own.
    private readonly ConcurrentLru<(string Registry, string Repository), BearerChallenge> _challenges = new(1024);

    /// <summary>Why the question would not be sent now, for a pause that was asked for; null when it would.</summary>
    public OriginFailure? RefusalOf(OriginQuestion question)
    {
        var registry = question.Registry;

        // Without its store a registry has no blobs; without the registry the store still has those it led to.
        return question.Kind == OriginKind.Blob && registry.StorePause.Refusal is { } refusal ? refusal
            : TryGetRedirect(question, out _) ? null
            : registry.PauseOf(question.Kind).Refusal;
    }

    /// <summary>Sends the request; the reply's message has headers only and must be disposed.</summary>
    public async Task<OriginReply> SendAsync(OriginQuestion question, CancellationToken cancellationToken)
    {
        if (TryGetRedirect(question, out var remembered))
        {
            var reply = await FollowAsync(question, remembered, cancellationToken);
            if (IsContent(reply.Message))
            {
                return reply;
            }

            _redirects.Forget(question.Reference);
            if (reply.Message is not { } message || (int)message.StatusCode is < 400 or >= 500 || question.Registry.StorePause.Refusal is not null)
            {
                return reply;
            }

            message.Dispose();
        }

        return await FollowAsync(question, question.Url, cancellationToken);
    }

    // Signed URLs are good for one method, GET.
    private bool TryGetRedirect(OriginQuestion question, [NotNullWhen(true)] out Uri? target)
    {
        target = null;
        return question is { Kind: OriginKind.Blob, IsCheck: false } && question.Method == HttpMethod.Get && _redirects.TryGet(question.Reference, out target);
    }

    private async Task<OriginReply> FollowAsync(OriginQuestion question, Uri start, CancellationToken cancellationToken)
    {
        var (registry, reference) = (question.Registry, question.Reference);
        var endpoint = registry.Endpoint;
        var repository = (reference.Registry, reference.Repository);
        var url = start;
        var isOurs = reference.Credential is null && endpoint.Auth != RegistryAuth.Relay;
        var own = isOurs && endpoint.Auth == RegistryAuth.Static ? await credentials.FindAsync(endpoint.Name, cancellationToken) : null;
        var authorization = reference.Credential is { } credential && (!credential.IsPassword || registry.WantsPassword) ? credential.Authorization : null;
        string? token = null;
        if (isOurs && endpoint.IsOriginOf(url) && _challenges.TryGet(repository, out var known))
        {
            var answer = await tokens.GetAsync(endpoint, known, own, rejected: null, registry.TokenPause, cancellationToken);
            if (answer.Token is null && registry.TokenPause.Refusal is not null)
            {
                return answer.Failure!;
            }

            token = answer.Token;
            authorization = token is null ? null : $"Bearer {token}";
        }
        else if (isOurs && own is { IsIdentityToken: false } && registry.WantsPassword)
        {
            authorization = own.Basic;
        }

        var isAnswered = false;
        for (var redirects = 0; ;)
        {
            var reply = await SendOnceAsync(question, url, authorization, cancellationToken);
            if (reply.Message is not { } message)
            {
                return reply;
            }

            var isChallenge = message.StatusCode == HttpStatusCode.Unauthorized && endpoint.IsOriginOf(url);
            if (isChallenge && !isOurs)
            {
                var asked = BearerChallenge.FindForClient(message.Headers.WwwAuthenticate);
                registry.WantsPassword |= asked is not null && BearerChallenge.IsBasic(asked);
                return reply with { Challenge = asked };
            }

            if (isChallenge && !isAnswered && BearerChallenge.Find(message.Headers.WwwAuthenticate) is { } challenge)
            {
                message.Dispose();
                isAnswered = true;
                challenge = challenge.Scope.Length > 0 ? challenge : challenge with { Scope = $"repository:{reference.Repository}:pull" };
                var answer = await tokens.GetAsync(endpoint, challenge, own, token, registry.TokenPause, cancellationToken);
                if (answer.Token is null)
                {
                    return answer.Failure!;
                }

                token = answer.Token;
                authorization = $"Bearer {token}";
                _challenges.AddOrUpdate(repository, challenge);
            }
            else if (isChallenge && !isAnswered && own is { IsIdentityToken: false } && message.Headers.WwwAuthenticate.Any(BearerChallenge.IsBasic))
            {
                message.Dispose();
                isAnswered = true;
                authorization = own.Basic;
                registry.WantsPassword = true;
            }
            else if (RedirectPolicy.IsRedirect(message.StatusCode))
            {
                var location = RedirectPolicy.LocationOf(message);
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
                if (redirects > 0 && question.Method == HttpMethod.Get && question.Kind == OriginKind.Blob && IsContent(message))
                {
                    _redirects.Remember(reference, url);
                }

                return reply;
            }
        }
    }

    private async Task<OriginReply> SendOnceAsync(OriginQuestion question, Uri url, string? authorization, CancellationToken cancellationToken)
    {
        var (registry, method, range) = (question.Registry, question.Method, question.Range);
        var endpoint = registry.Endpoint;
        var isRegistry = endpoint.IsOriginOf(url);
        if (isRegistry && !await registry.LaneOf(question).PaceAsync(cancellationToken))
        {
            return registry.QueueFull;
        }

        // Not before: the pause may have begun meanwhile.
        var pause = isRegistry ? registry.PauseOf(question.Kind) : registry.StorePause;
        if (pause.Refusal is { } refusal)
        {
            return refusal;
        }

        // HTTP/1.1: each read has a TCP connection to itself, which is what makes many large reads fast.
        using var request = new HttpRequestMessage(method, url);
        request.Headers.TryAddWithoutValidation("Accept", question.Kind == OriginKind.Manifest ? ManifestTypes : "*/*");
        request.Headers.TryAddWithoutValidation("User-Agent", UserAgent);
        if (range is { } bytes)
        {
            request.Headers.Range = new RangeHeaderValue(bytes.Offset, LastByte(bytes));
        }

        if (authorization is not null && isRegistry)
        {
            request.Headers.TryAddWithoutValidation("Authorization", authorization);
        }

        var started = time.GetTimestamp();
        var reply = await transport.SendAsync(endpoint, request, cancellationToken);
        if (reply.Message is { } message)
        {
            metrics.Answered(message.StatusCode, time.GetElapsedTime(started));
            pause.Heed(message.StatusCode, RetryAfter.Of(message, time));
            if (logger.IsEnabled(LogLevel.Debug))
            {
                Log.Answered(logger, method.Method, OriginUrl.Redact(url), range?.Offset ?? 0, range?.Length ?? -1, (int)message.StatusCode, time.GetElapsedTime(started).TotalMilliseconds);
            }
        }
        else
        {
            metrics.Failed(time.GetElapsedTime(started));
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
