using System.Buffers;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using BitFaster.Caching.Lru;

namespace Peerd.Node.Origin;

/// <summary>A token, or why there is none.</summary>
internal sealed record TokenAnswer(string? Token, DateTimeOffset FreshUntil, OriginFailure? Failure);

/// <summary>
/// Anonymous tokens of the registries' token servers, kept until shortly before they end. One request at a time for
/// the same realm, service and scope, whoever waits for it. Thread-safe.
/// </summary>
internal sealed class TokenSource(OriginTransport transport, OriginSettings settings, TimeProvider time)
{
    private const int MaxAnswerSize = 64 * 1024;
    private static readonly TimeSpan DefaultLifetime = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan MaxLifetime = TimeSpan.FromHours(1);
    private static readonly SearchValues<char> TokenCharacters =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=");

    private readonly ConcurrentLru<BearerChallenge, Slot> _slots = new(1024);

    /// <summary>A token for the challenge.</summary>
    /// <param name="endpoint">The registry that challenged.</param>
    /// <param name="challenge">What it wants.</param>
    /// <param name="rejected">A token that the registry no longer takes: it is not given again.</param>
    /// <param name="pause">Of the registry's token server.</param>
    /// <param name="cancellationToken">Ends this wait, not the request that others may wait for.</param>
    public Task<TokenAnswer> GetAsync(RegistryEndpoint endpoint, BearerChallenge challenge, string? rejected, OriginPause pause, CancellationToken cancellationToken)
    {
        // Looked at for each registry: what one may use is not allowed for another that names the same realm.
        if (!TryLocate(challenge, out var url))
        {
            return Task.FromResult(Unauthorized("the realm in its challenge is no http or https URL"));
        }

        return RedirectPolicy.RefusalOf(endpoint, url) is { } refusal
            ? Task.FromResult(Unauthorized($"its token server {OriginUrl.Redact(url)} is not asked: {refusal}"))
            : _slots.GetOrAdd(challenge, static _ => new Slot())
                .GetAsync(rejected, time.GetUtcNow(), () => pause.Refusal is { } paused ? Task.FromResult(Failed(paused)) : FetchAsync(endpoint, url, pause))
                .WaitAsync(cancellationToken);
    }

    private static TokenAnswer Unauthorized(string error) => Failed(new OriginFailure(error, Status: HttpStatusCode.Unauthorized));

    private static TokenAnswer Failed(OriginFailure failure) => new(null, default, failure);

    private static bool TryLocate(BearerChallenge challenge, out Uri url)
    {
        var text = new StringBuilder(challenge.Realm);
        var separator = challenge.Realm.Contains('?', StringComparison.Ordinal) ? '&' : '?';
        if (challenge.Service.Length > 0)
        {
            text.Append(separator).Append("service=").Append(Uri.EscapeDataString(challenge.Service));
            separator = '&';
        }

        foreach (var scope in challenge.Scope.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            text.Append(separator).Append("scope=").Append(Uri.EscapeDataString(scope));
            separator = '&';
        }

        var isUrl = OriginUrl.TryParse(text.ToString(), out var parsed) && !challenge.Realm.Contains('#', StringComparison.Ordinal);
        url = parsed!;
        return isUrl;
    }

    private async Task<TokenAnswer> FetchAsync(RegistryEndpoint endpoint, Uri url, OriginPause pause)
    {
        var server = OriginUrl.Redact(url);
        using var deadline = new CancellationTokenSource(settings.HeaderTimeout * 2, time);
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, url);
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
