using System.Security.Cryptography;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Peerd.Contracts;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// A registry that gives blobs to those who bring a token, which everybody gets: by a redirect to its store, or by itself.
/// Thread-safe.
/// </summary>
internal sealed class TokenRegistry : IAsyncDisposable
{
    private const string Service = "token-registry";
    private const string Repository = "team/app";
    private const string Scope = $"repository:{Repository}:pull";
    private const string TokenTarget = $"/token?service={Service}&scope={Scope}";
    private const string BlobsPath = $"/v2/{Repository}/blobs/";

    private readonly string _token = $"{TestOutput.SecretMarker}Token" + RandomNumberGenerator.GetHexString(32);
    private readonly SignedStore _store;
    private LabServer _server = null!;

    private TokenRegistry(SignedStore store)
    {
        _store = store;
        StoreUrl = store.Url;
    }

    /// <summary>Blobs are at the store; false: here.</summary>
    public bool Redirects { get; set; } = true;

    /// <summary>Where it says that its store is.</summary>
    public string StoreUrl { get; set; }

    /// <summary>For the configuration of nodes.</summary>
    public Upstream Upstream => new(new Uri(_server.Url).Authority, new Uri(_server.Url));

    /// <summary>Starts a registry of all blobs of a store.</summary>
    public static async Task<TokenRegistry> StartAsync(SignedStore store)
    {
        var registry = new TokenRegistry(store);
        registry._server = await LabServer.StartAsync(registry.HandleAsync);
        return registry;
    }

    /// <summary>How an image names the blob.</summary>
    public string UrlOf(GeneratedBlob blob) => $"{_server.Url}{BlobsPath}{blob.Digest}";

    /// <inheritdoc />
    public ValueTask DisposeAsync() => _server.DisposeAsync();

    private async Task HandleAsync(HttpContext context)
    {
        var (request, response) = (context.Request, context.Response);
        var target = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        if (target == TokenTarget)
        {
            await response.WriteAsync($$"""{"token":"{{_token}}","expires_in":300}""", context.RequestAborted);
            return;
        }

        if (request.Headers.Authorization != $"Bearer {_token}")
        {
            response.StatusCode = 401;
            response.Headers.WWWAuthenticate = $"Bearer realm=\"{_server.Url}/token\",service=\"{Service}\",scope=\"{Scope}\"";
        }
        else if (!target.StartsWith(BlobsPath, StringComparison.Ordinal) || !Digest.TryParse(target[BlobsPath.Length..], out var digest) || _store.Find(digest) is not { } blob)
        {
            response.StatusCode = 404;
        }
        else if (Redirects)
        {
            response.StatusCode = 307;
            response.Headers.Location = StoreUrl + _store.Sign(digest);
        }
        else
        {
            await _store.SendAsync(context, blob);
        }
    }
}
