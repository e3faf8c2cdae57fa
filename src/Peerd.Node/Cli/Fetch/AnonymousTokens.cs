using System.Net;
using System.Text.Json;
using Peerd.Node.Origin;

namespace Peerd.Node.Cli.Fetch;

/// <summary>
/// The tokens that everybody gets from a registry's token server: what a client must bring when the node hands on what the
/// registry asks for. May be used by several readers at once.
/// </summary>
internal sealed class AnonymousTokens : IDisposable
{
    private const int LargestAnswer = 64 * 1024;

    private readonly HttpClient _http = new(new SocketsHttpHandler { UseCookies = false, AllowAutoRedirect = false, ConnectTimeout = TimeSpan.FromSeconds(5) })
    {
        Timeout = TimeSpan.FromSeconds(20),
    };

    /// <summary>A token for what an answer asks for; null when it asks for something else, or there is none to be had.</summary>
    public async Task<string?> GetAsync(HttpResponseMessage refused, CancellationToken cancellationToken)
    {
        if (refused.StatusCode != HttpStatusCode.Unauthorized || BearerChallenge.Find(refused.Headers.WwwAuthenticate) is not { } challenge || !challenge.TryLocate(out var url))
        {
            return null;
        }

        try
        {
            using var response = await _http.GetAsync(url, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            var bytes = response.IsSuccessStatusCode ? await BoundedBody.ReadAsync(await response.Content.ReadAsStreamAsync(cancellationToken), LargestAnswer, cancellationToken) : null;
            var document = bytes is null ? null : JsonSerializer.Deserialize(bytes, TokenJson.Default.TokenDocument);
            return string.IsNullOrEmpty(document?.Token) ? document?.AccessToken : document.Token;
        }
        catch (Exception e) when (e is HttpRequestException or IOException or JsonException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            // The answer that asks for it says what is missing.
            return null;
        }
    }

    public void Dispose() => _http.Dispose();
}
