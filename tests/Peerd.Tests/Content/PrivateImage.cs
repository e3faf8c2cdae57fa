using System.Net;
using System.Net.Http.Headers;
using Peerd.Contracts;
using Peerd.Tests.Hosting;
using Peerd.Tests.Origin;

namespace Peerd.Tests.Content;

/// <summary>What clients ask for that bring a token, or none.</summary>
internal static class PrivateImage
{
    public const string App = "team/app";

    public static string Token(string user, string repository) => $"Bearer {PrivateRegistry.TokenOf(user, repository)}";

    public static Task<HttpResponseMessage> BeginAsync(TestNode node, Digest digest, string? authorization, string? range = null)
    {
        var request = RequestFor("GET", App, $"blobs/{digest}", authorization);
        request.Headers.Range = range is null ? null : RangeHeaderValue.Parse(range);
        return node.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);
    }

    public static async Task<(HttpStatusCode Status, string? Challenge, byte[] Body)> SendAsync(TestNode node, string method, string repository, string target, string? authorization)
    {
        using var response = await node.Client.SendAsync(RequestFor(method, repository, target, authorization), TestContext.Current.CancellationToken);
        var challenge = response.Headers.NonValidated.TryGetValues("WWW-Authenticate", out var values) ? values.ToString() : null;
        return (response.StatusCode, challenge, await response.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken));
    }

    public static HttpRequestMessage RequestFor(string method, string repository, string target, string? authorization)
    {
        var request = new HttpRequestMessage(new HttpMethod(method), $"/v2/{repository}/{target}?ns={TestNode.Registry}");
        request.Headers.TryAddWithoutValidation("Authorization", authorization);
        return request;
    }
}
