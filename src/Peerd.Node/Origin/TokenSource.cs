using System.Buffers;
using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization;
using BitFaster.Caching.Lru;

namespace Peerd.Node.Origin;

/// <summary>A token, or why there is none.</summary>
internal sealed record TokenAnswer(string? Token, DateTimeOffset FreshUntil, OriginFailure? Failure);

/// <summary>
/// Tokens of the registries' token servers, anonymous ones or those that the operator's credentials give, kept until shortly
/// before they end. One request at a time for the same realm, service, scope and credential, whoever waits for it. Thread-safe.
/// </summary>
internal sealed class TokenSource(OriginTransport transport, OriginSettings settings, TimeProvider time)
{
    private const int MaxAnswerSize = 64 * 1024;
    private static readonly TimeSpan DefaultLifetime = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan MaxLifetime = TimeSpan.FromHours(1);
    private static readonly SearchValues<char> TokenCharacters =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=");

    private readonly ConcurrentLru<(BearerChallenge, RegistryCredential?), Slot> _slots = new(1024);

    /// <summary>A token for the challenge.</summary>
    /// <param name="endpoint">The registry that challenged.</param>
    /// <param name="challenge">What it wants.</param>
    /// <param name="credential">The operator's, for this registry; null for an anonymous token.</param>
    /// <param name="rejected">A token that the registry no longer takes: it is not given again.</param>
    /// <param name="pause">Of the registry's token server.</param>
    /// <param name="cancellationToken">Ends this wait, not the request that others may wait for.</param>
    public Task<TokenAnswer> GetAsync(
        RegistryEndpoint endpoint, BearerChallenge challenge, RegistryCredential? credential, string? rejected, OriginPause pause, CancellationToken cancellationToken)
    {
        // Looked at for each registry: what one may use is not allowed for another that names the same realm.
        if (!challenge.TryLocate(out var url))
        {
            return Task.FromResult(Unauthorized("the realm in its challenge is no http or https URL"));
        }

        if (credential is not null && !endpoint.IsTokenServer(url))
        {
            return Task.FromResult(Unauthorized($"its token server {OriginUrl.RedactQuery(url)} gets no credentials: it is not of the registry's domain, nor among its TokenServers"));
        }

        return RedirectPolicy.RefusalOf(endpoint, url) is { } refusal
            ? Task.FromResult(Unauthorized($"its token server {OriginUrl.RedactQuery(url)} is not asked: {refusal}"))
            : _slots.GetOrAdd((challenge, credential), static _ => new Slot())
                .GetAsync(rejected, time.GetUtcNow(), () => pause.Refusal is { } paused ? Task.FromResult(Failed(paused)) : FetchAsync(endpoint, challenge, url, credential, pause))
                .WaitAsync(cancellationToken);
    }

    private static TokenAnswer Unauthorized(string error) => Failed(new OriginFailure(error, Status: HttpStatusCode.Unauthorized));

    private static TokenAnswer Failed(OriginFailure failure) => new(null, default, failure);

    // As Docker asks: a password by GET, an identity token as the refresh token that it is (OAuth2).
    private static HttpRequestMessage RequestFor(BearerChallenge challenge, Uri url, RegistryCredential? credential)
    {
        if (credential is { IsIdentityToken: true })
        {
            var form = new Dictionary<string, string>
            {
                ["grant_type"] = "refresh_token",
                ["client_id"] = OriginExchange.UserAgent,
                ["service"] = challenge.Service,
                ["scope"] = challenge.Scope,
                ["refresh_token"] = credential.Secret,
            };
            return new HttpRequestMessage(HttpMethod.Post, new Uri(challenge.Realm)) { Content = new FormUrlEncodedContent(form) };
        }

        var request = new HttpRequestMessage(HttpMethod.Get, url);
        if (credential is not null)
        {
            request.Headers.TryAddWithoutValidation("Authorization", credential.Basic);
        }

        return request;
    }

    private async Task<TokenAnswer> FetchAsync(RegistryEndpoint endpoint, BearerChallenge challenge, Uri url, RegistryCredential? credential, OriginPause pause)
    {
        var server = OriginUrl.RedactQuery(url);
        using var deadline = new CancellationTokenSource(settings.HeaderTimeout * 2, time);
        try
        {
            using var request = RequestFor(challenge, url, credential);
            request.Headers.TryAddWithoutValidation("User-Agent", OriginExchange.UserAgent);
            var reply = await transport.SendAsync(endpoint, request, deadline.Token);
            if (reply.Message is null)
            {
                return Failed(reply.Failure! with { Error = $"no token from {server}: {reply.Failure!.Error}" });
            }

            using var message = reply.Message;
            var retryAfter = RetryAfter.Of(message, time);
            pause.Heed(message.StatusCode, retryAfter);
            return message.StatusCode switch
            {
                HttpStatusCode.OK => await ReadAsync(message, server, deadline.Token),
                var status when (int)status >= 500 => Failed(new OriginFailure($"the token server {server} answered {(int)status}", IsPassing: true, status, retryAfter)),
                HttpStatusCode.TooManyRequests => Failed(new OriginFailure($"the token server {server} answered 429", Status: message.StatusCode, RetryAfter: retryAfter)),
                var status => Unauthorized($"the token server {server} answered {(int)status}"),
            };
        }
        catch (Exception e) when (e is OperationCanceledException or IOException)
        {
            return Failed(new OriginFailure($"no token from {server} in time", IsPassing: true));
        }
    }

    private async Task<TokenAnswer> ReadAsync(HttpResponseMessage message, string server, CancellationToken cancellationToken)
    {
        var bytes = await BoundedBody.ReadAsync(await message.Content.ReadAsStreamAsync(cancellationToken), MaxAnswerSize, cancellationToken);
        if (bytes is null)
        {
            return Unauthorized($"the answer of the token server {server} is larger than 64 KiB");
        }

        TokenDocument? document;
        try
        {
            document = JsonSerializer.Deserialize(bytes, TokenJson.Default.TokenDocument);
        }
        catch (JsonException)
        {
            document = null;
        }

        var token = string.IsNullOrEmpty(document?.Token) ? document?.AccessToken : document.Token;
        if (string.IsNullOrEmpty(token) || token.AsSpan().ContainsAnyExcept(TokenCharacters))
        {
            return Unauthorized($"the answer of the token server {server} holds no token");
        }

        var lifetime = document!.ExpiresIn is > 0 and var seconds ? TimeSpan.FromSeconds(Math.Min(seconds, MaxLifetime.TotalSeconds)) : DefaultLifetime;

        // A fifth early, half a minute at most: a request may be on its way while the token ends.
        var margin = TimeSpan.FromSeconds(Math.Min(30, lifetime.TotalSeconds / 5));
        return new TokenAnswer(token, time.GetUtcNow() + lifetime - margin, null);
    }

    /// <summary>The newest token of one challenge, or the request for it.</summary>
    private sealed class Slot
    {
        private readonly Lock _lock = new();
        private TokenAnswer? _newest;
        private Task<TokenAnswer>? _flight;

        public Task<TokenAnswer> GetAsync(string? rejected, DateTimeOffset now, Func<Task<TokenAnswer>> fetch)
        {
            lock (_lock)
            {
                return _newest is { Token: { } token } && now < _newest.FreshUntil && token != rejected
                    ? Task.FromResult(_newest)
                    : _flight ??= Task.Run(() => RunAsync(fetch));
            }
        }

        private async Task<TokenAnswer> RunAsync(Func<Task<TokenAnswer>> fetch)
        {
            TokenAnswer? answer = null;
            try
            {
                return answer = await fetch();
            }
            finally
            {
                lock (_lock)
                {
                    (_newest, _flight) = (answer, null);
                }
            }
        }
    }
}

/// <summary>Answer of a token server.</summary>
internal sealed record TokenDocument(
    [property: JsonPropertyName("token")] string? Token,
    [property: JsonPropertyName("access_token")] string? AccessToken,
    [property: JsonPropertyName("expires_in")] double? ExpiresIn);

/// <summary>Reads <see cref="TokenDocument"/> without reflection.</summary>
[JsonSourceGenerationOptions(NumberHandling = JsonNumberHandling.AllowReadingFromString)]
[JsonSerializable(typeof(TokenDocument))]
internal sealed partial class TokenJson : JsonSerializerContext;
