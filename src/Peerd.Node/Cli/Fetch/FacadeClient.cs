using System.Buffers;
using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;
using Peerd.Contracts;

namespace Peerd.Node.Cli.Fetch;

/// <summary>A manifest that a reference stands for.</summary>
internal sealed record ResolvedManifest(Digest Digest, string? MediaType, long Size);

/// <summary>
/// Reads one registry through the facade of a node, with the requests that containerd makes. Verifies all that it
/// reads. Whatever keeps it from that is a <see cref="PullException"/>. May be used by several readers at once.
/// </summary>
/// <param name="http">Sends requests to the node.</param>
/// <param name="facade">The node's facade.</param>
/// <param name="registry">The registry that is read through it.</param>
/// <param name="idleLimit">Longest time without an answer or a byte.</param>
/// <param name="time">Clock.</param>
/// <param name="tokens">For registries that ask for a token; null when none does.</param>
internal sealed class FacadeClient(HttpClient http, Uri facade, string registry, TimeSpan idleLimit, TimeProvider time, AnonymousTokens? tokens = null)
{
    /// <summary>What containerd takes, too.</summary>
    private const long LargestManifest = 4 * 1024 * 1024;

    private const int LargestError = 64 * 1024;
    private const int BufferSize = 128 * 1024;

    private const string ManifestTypes = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, "
        + "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";

    private volatile string? _token;

    /// <summary>
    /// A client without proxy and without any rewriting of what is sent; dispose it after use. All that it asks for is one trace (W3C Trace
    /// Context), which nodes that trace keep whatever their sampling ratio is. Its parent is told by nobody.
    /// </summary>
    public static HttpClient CreateHttpClient()
    {
        var client = new HttpClient(new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AutomaticDecompression = DecompressionMethods.None,
            ConnectTimeout = TimeSpan.FromSeconds(5),
        })
        {
            // Time is limited per read: a large layer may take long.
            Timeout = Timeout.InfiniteTimeSpan,
        };
        client.DefaultRequestHeaders.Add("traceparent", $"00-{ActivityTraceId.CreateRandom()}-{ActivitySpanId.CreateRandom()}-01");
        return client;
    }

    /// <summary>Asks what a tag or digest stands for.</summary>
    public async Task<ResolvedManifest> ResolveAsync(string repository, string reference, CancellationToken cancellationToken)
    {
        using var idle = new IdleTimeout(idleLimit, time, cancellationToken);
        using (var response = await ExchangeAsync(HttpMethod.Head, repository, "manifests", reference, ManifestTypes, idle))
        {
            if (response.IsSuccessStatusCode
                && response.Headers.TryGetValues("Docker-Content-Digest", out var values)
                && Digest.TryParse(values.First(), out var digest)
                && response.Content.Headers.ContentLength is { } size)
            {
                return new ResolvedManifest(digest, response.Content.Headers.ContentType?.MediaType, size);
            }
        }

        // Either the registry keeps the digest to itself, and it follows from the bytes, or it refuses, and only the
        // answer to a GET says why.
        using var full = await SendAsync(HttpMethod.Get, repository, "manifests", reference, ManifestTypes, idle);
        using var content = new MemoryStream();
        var what = $"{registry}/{repository} manifest {reference}";
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        await CopyAsync(full, content, hash, LargestManifest, null, what, idle);
        return new ResolvedManifest(Digest.FromHash(HashAlgorithmName.SHA256, hash.GetHashAndReset()), full.Content.Headers.ContentType?.MediaType, content.Length);
    }

    /// <summary>Reads an index or a manifest.</summary>
    public async Task<byte[]> ReadManifestAsync(string repository, Digest digest, string? mediaType, ContentProgress progress, CancellationToken cancellationToken)
    {
        using var content = new MemoryStream();
        await ReadAsync(repository, "manifests", mediaType is null ? "*/*" : mediaType + ", */*", content, LargestManifest, digest, progress, cancellationToken);
        return content.ToArray();
    }

    /// <summary>
    /// Reads a blob. What has been written to the destination is worth nothing when this throws.
    /// </summary>
    public Task ReadBlobAsync(string repository, Digest digest, string? mediaType, Stream destination, ContentProgress progress, CancellationToken cancellationToken) =>
        ReadAsync(repository, "blobs", mediaType is null ? "*/*" : mediaType + ", */*", destination, long.MaxValue, digest, progress, cancellationToken);

    private async Task ReadAsync(string repository, string kind, string accept, Stream destination, long limit, Digest digest, ContentProgress progress, CancellationToken cancellationToken)
    {
        using var idle = new IdleTimeout(idleLimit, time, cancellationToken);
        using var response = await SendAsync(HttpMethod.Get, repository, kind, digest.ToString(), accept, idle);
        if (response.Content.Headers.ContentLength is { } length)
        {
            if (progress.Size > 0 && length != progress.Size)
            {
                throw new PullException($"{progress.Name} {digest} should have {progress.Size} bytes, but the node offers {length}");
            }

            progress.Size = length;
        }

        using var hash = digest.CreateHash();
        await CopyAsync(response, destination, hash, progress.Size > 0 ? progress.Size : limit, progress, $"{progress.Name} {digest}", idle);
        if (!digest.Matches(hash))
        {
            throw new PullException($"{progress.Name} {digest}: the bytes that came do not match the digest");
        }

        progress.Verified();
    }

    private static async Task CopyAsync(HttpResponseMessage response, Stream destination, IncrementalHash hash, long limit, ContentProgress? progress, string what, IdleTimeout idle)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            await using var body = await response.Content.ReadAsStreamAsync(idle.Caller);
            var received = 0L;
            while (await ReadSomeAsync(body, buffer, received, what, idle) is > 0 and var count)
            {
                received += count;
                if (received > limit)
                {
                    throw new PullException($"{what} has more than {limit} bytes");
                }

                hash.AppendData(buffer, 0, count);
                await destination.WriteAsync(buffer.AsMemory(0, count), idle.Caller);
                progress?.Receive(count);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static async Task<int> ReadSomeAsync(Stream body, byte[] buffer, long received, string what, IdleTimeout idle)
    {
        try
        {
            // Anew before and after: the time for writing the last bytes is not the node's.
            idle.Restart();
            var count = await body.ReadAsync(buffer, idle.Token);
            idle.Restart();
            return count;
        }
        catch (Exception exception) when (exception is IOException or HttpRequestException)
        {
            throw new PullException($"{what}: the node ended the connection after {received} bytes", exception);
        }
        catch (OperationCanceledException exception) when (idle.HasExpired)
        {
            throw new PullException($"{what}: no bytes for {idle.Limit.TotalSeconds:0} s, after {received} bytes", exception);
        }
    }

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, string repository, string kind, string reference, string accept, IdleTimeout idle)
    {
        var response = await ExchangeAsync(method, repository, kind, reference, accept, idle);
        if (response.IsSuccessStatusCode)
        {
            return response;
        }

        using (response)
        {
            throw new PullException($"{registry}/{repository} {kind}/{reference}: {(int)response.StatusCode} {await ReadErrorAsync(response, idle)}");
        }
    }

    private async Task<HttpResponseMessage> ExchangeAsync(HttpMethod method, string repository, string kind, string reference, string accept, IdleTimeout idle)
    {
        var response = await SendOnceAsync(method, repository, kind, reference, accept, idle);
        if (response.StatusCode != HttpStatusCode.Unauthorized || tokens is null || await tokens.GetAsync(response, idle.Caller) is not { } token)
        {
            return response;
        }

        response.Dispose();
        _token = token;
        idle.Restart();
        return await SendOnceAsync(method, repository, kind, reference, accept, idle);
    }

    private async Task<HttpResponseMessage> SendOnceAsync(HttpMethod method, string repository, string kind, string reference, string accept, IdleTimeout idle)
    {
        using var request = new HttpRequestMessage(method, new Uri(facade, $"/v2/{repository}/{kind}/{reference}?ns={Uri.EscapeDataString(registry)}"));
        request.Headers.TryAddWithoutValidation("Accept", accept);
        request.Headers.UserAgent.Add(new ProductInfoHeaderValue("peerd", null));
        if (_token is { } token)
        {
            request.Headers.TryAddWithoutValidation("Authorization", $"Bearer {token}");
        }

        try
        {
            var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, idle.Token);
            idle.Restart();
            return response;
        }
        catch (HttpRequestException exception)
        {
            throw new PullException(
                exception.HttpRequestError is HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError
                    ? $"no node answers at {facade.GetLeftPart(UriPartial.Authority)}: is peerd running there? ({exception.Message})"
                    : $"{registry}/{repository} {kind}/{reference}: {exception.Message}",
                exception);
        }
        catch (OperationCanceledException exception) when (idle.HasExpired)
        {
            throw new PullException($"{registry}/{repository} {kind}/{reference}: no answer for {idle.Limit.TotalSeconds:0} s", exception);
        }
    }

    /// <summary>The first error of an OCI error answer; else the name of the status.</summary>
    private static async Task<string> ReadErrorAsync(HttpResponseMessage response, IdleTimeout idle)
    {
        var status = OneLine(response.ReasonPhrase ?? response.StatusCode.ToString());
        try
        {
            using var body = new MemoryStream();
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            await CopyAsync(response, body, hash, LargestError, null, "error", idle);
            var errors = JsonSerializer.Deserialize(body.ToArray(), ImageDocumentJson.Default.RegistryErrors)?.Errors;
            return errors is [{ } first, ..] ? OneLine($"{first.Code}: {first.Message}") : status;
        }
        catch (Exception exception) when (exception is PullException or JsonException)
        {
            return status;
        }
    }

    private static string OneLine(string text) => string.Create(Math.Min(text.Length, 500), text, (line, source) =>
    {
        for (var i = 0; i < line.Length; i++)
        {
            line[i] = char.IsControl(source[i]) ? ' ' : source[i];
        }
    });
}
