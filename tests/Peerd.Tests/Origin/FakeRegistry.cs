using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Headers;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Peerd.Contracts;

namespace Peerd.Tests.Origin;

/// <summary>A request that a <see cref="FakeRegistry"/> got.</summary>
internal sealed record FakeRequest(string Method, string Target, string? Range, string? Authorization, string? AcceptEncoding, string? Accept)
{
    /// <summary>Status of the answer; 0 while there is none.</summary>
    public int Status { get; set; }
}

/// <summary>
/// A registry on loopback for tests: serves manifests and blobs, of every repository alike, with ranges; counts what it
/// serves; misbehaves on demand. Also a store that another fake registry redirects to. Thread-safe.
/// </summary>
/// <example>
/// <code>
/// await using var registry = await FakeRegistry.StartAsync();
/// var digest = registry.AddBlob(bytes);
/// </code>
/// </example>
internal sealed class FakeRegistry : IAsyncDisposable
{
    /// <summary>In the query of each redirect to a store: must never be seen in a log.</summary>
    public const string SignaturePrefix = "S3cretSignature";

    /// <summary>Begin of each token: must never be seen in a log.</summary>
    public const string TokenPrefix = "S3cretToken";

    private readonly WebApplication _app;
    private readonly CancellationTokenSource _stopping = new();
    private readonly ConcurrentDictionary<string, (byte[] Bytes, string MediaType, Digest Digest)> _contents = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<Digest, (int Requests, long Bytes)> _served = new();
    private readonly ConcurrentQueue<FakeRequest> _requests = new();
    private readonly Lock _lock = new();

    private FakeFault _fault;
    private int _faultsLeft;
    private int _status;
    private int _statusLeft;
    private string? _retryAfter;
    private FakeRegistry? _store;
    private Func<string, string?>? _redirect;
    private HttpStatusCode _redirectStatus;
    private int _signature;
    private int _token;
    private int _tokenRequests;
    private TaskCompletionSource? _gate;

    private FakeRegistry()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrel(options => options.Listen(IPAddress.Loopback, 0));
        builder.Services.Configure<Microsoft.Extensions.Hosting.HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromMilliseconds(100));
        _app = builder.Build();
        _app.Run(HandleAsync);
    }

    /// <summary><c>127.0.0.1:port</c>.</summary>
    public string Host => new Uri(Url).Authority;

    /// <summary><c>http://127.0.0.1:port</c>.</summary>
    public string Url { get; private set; } = string.Empty;

    public int Port => new Uri(Url).Port;

    /// <summary>When true, requests need a Bearer token of <c>/token</c>.</summary>
    public bool RequiresToken { get; set; }

    /// <summary>The WWW-Authenticate of a 401; null for the usual Bearer challenge.</summary>
    public string? Challenge { get; set; }

    /// <summary>What <c>/token</c> answers; null for a good token.</summary>
    public Func<string, IResult>? TokenAnswer { get; set; }

    /// <summary>Requests for a token so far.</summary>
    public int TokenRequests => Volatile.Read(ref _tokenRequests);

    /// <summary>All requests so far, in order of their arrival; those for tokens included.</summary>
    public IReadOnlyList<FakeRequest> Requests => [.. _requests];

    /// <summary>Runs before content is served; may throw or wait.</summary>
    public Func<HttpContext, Task>? Before { get; set; }

    /// <summary>Last word: answers a request itself when it returns true.</summary>
    public Func<HttpContext, Task<bool>>? Intercept { get; set; }

    public static async Task<FakeRegistry> StartAsync()
    {
        var registry = new FakeRegistry();
        await registry._app.StartAsync();
        registry.Url = registry._app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        return registry;
    }

    /// <summary>Serves a blob.</summary>
    public Digest AddBlob(byte[] bytes) => AddBlob(bytes, Digest.OfSha256(bytes));

    /// <summary>Serves a blob under a digest, which may be of another algorithm, or wrong.</summary>
    public Digest AddBlob(byte[] bytes, Digest digest, string mediaType = "application/octet-stream")
    {
        _contents[$"blobs/{digest}"] = (bytes, mediaType, digest);
        return digest;
    }

    /// <summary>Serves a manifest by digest and under tags.</summary>
    public Digest AddManifest(byte[] bytes, string mediaType = "application/vnd.oci.image.manifest.v1+json", params ReadOnlySpan<string> tags)
    {
        var digest = Digest.OfSha256(bytes);
        _contents[$"manifests/{digest}"] = (bytes, mediaType, digest);
        foreach (var tag in tags)
        {
            _contents[$"manifests/{tag}"] = (bytes, mediaType, digest);
        }

        return digest;
    }

    /// <summary>Requests for the content that were answered with 200 or 206 (GET only).</summary>
    public int RequestsFor(Digest digest) => _served.GetValueOrDefault(digest).Requests;

    /// <summary>Bytes of the content that were sent.</summary>
    public long BytesOf(Digest digest) => _served.GetValueOrDefault(digest).Bytes;

    /// <summary>Misbehaves at the next requests for content.</summary>
    public void Fail(FakeFault fault, int times = int.MaxValue)
    {
        lock (_lock)
        {
            (_fault, _faultsLeft) = (fault, times);
        }
    }

    /// <summary>Answers the next requests for content with this status.</summary>
    public void AnswerWith(HttpStatusCode status, int times = int.MaxValue, string? retryAfter = null)
    {
        lock (_lock)
        {
            (_status, _statusLeft, _retryAfter) = ((int)status, times, retryAfter);
        }
    }

    /// <summary>Redirects blobs to another registry, which then serves them for signed URLs only and refuses tokens.</summary>
    public void RedirectBlobsTo(FakeRegistry store, HttpStatusCode status = HttpStatusCode.TemporaryRedirect)
    {
        store._store = null;
        foreach (var (path, content) in _contents)
        {
            store._contents[path] = content;
        }

        _store = store;
        _redirectStatus = status;
    }

    /// <summary>Redirects blobs to whatever the function makes of the path; null serves the blob.</summary>
    public void RedirectBlobsTo(Func<string, string?> location, HttpStatusCode status = HttpStatusCode.TemporaryRedirect) =>
        (_redirect, _redirectStatus) = (location, status);

    /// <summary>As a store: signed URLs given so far answer 403.</summary>
    public void ExpireSignatures() => Interlocked.Increment(ref _signature);

    /// <summary>Tokens given so far are no longer taken.</summary>
    public void RevokeTokens() => Interlocked.Increment(ref _token);

    /// <summary>Lets requests for content wait, once their headers and half of their body are sent, until the result is disposed.</summary>
    public IDisposable HoldBodies()
    {
        _gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        return new Gate(_gate);
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await _app.DisposeAsync();
        _stopping.Dispose();
    }

    private async Task HandleAsync(HttpContext context)
    {
        var target = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        var headers = context.Request.Headers;
        var request = new FakeRequest(context.Request.Method, target, headers.Range, headers.Authorization, headers.AcceptEncoding, headers.Accept);
        _requests.Enqueue(request);
        context.Response.OnStarting(() =>
        {
            request.Status = context.Response.StatusCode;
            return Task.CompletedTask;
        });
        try
        {
            await ServeAsync(context, target);
        }
        catch (OperationCanceledException)
        {
            // The registry ends, or the client went away.
        }
    }

    private async Task ServeAsync(HttpContext context, string target)
    {
        if (Intercept is not null && await Intercept(context))
        {
            return;
        }

        var path = target.Split('?')[0];
        if (path == "/token")
        {
            await ServeTokenAsync(context);
            return;
        }

        if (path.StartsWith("/storage//", StringComparison.Ordinal))
        {
            await ServeStoredAsync(context, target);
            return;
        }

        if (RequiresToken && context.Request.Headers.Authorization != $"Bearer {CurrentToken()}")
        {
            context.Response.StatusCode = 401;
            context.Response.Headers.WWWAuthenticate = Challenge ?? $"Bearer realm=\"{Url}/token\",service=\"fake, registry\",scope=\"repository:{Repository(path)}:pull\"";
            return;
        }

        await ServeContentAsync(context, path);
    }

    private string CurrentToken() => $"{TokenPrefix}{Volatile.Read(ref _token)}";

    private string Signature() => $"{SignaturePrefix}{Volatile.Read(ref _signature)}";

    private static string Repository(string path)
    {
        var parts = path.Split('/');
        return parts.Length > 4 ? string.Join('/', parts[2..^2]) : string.Empty;
    }

    private async Task ServeTokenAsync(HttpContext context)
    {
        Interlocked.Increment(ref _tokenRequests);
        if (TokenAnswer is not null)
        {
            await TokenAnswer(CurrentToken()).ExecuteAsync(context);
            return;
        }

        await context.Response.WriteAsync($$"""{"access_token":"{{CurrentToken()}}","expires_in":300}""");
    }

    // As the stores behind real registries: a double slash and escapes that must come through unchanged.
    private async Task ServeStoredAsync(HttpContext context, string target)
    {
        if (context.Request.Headers.Authorization.Count > 0)
        {
            context.Response.StatusCode = 400;
            return;
        }

        var path = target.Split('?')[0]["/storage//".Length..];
        if (target != StoredTarget(path, Signature()))
        {
            context.Response.StatusCode = 403;
            return;
        }

        await ServeContentAsync(context, $"/v2/stored/{path}");
    }

    private static string StoredTarget(string path, string signature) => $"/storage//{path}?sig={signature}%2Fx%2b%7E&se=2026-01-01T00%3A00%3A00Z&a=b+c";

    private async Task ServeContentAsync(HttpContext context, string path)
    {
        if (Before is not null)
        {
            await Before(context);
        }

        var response = context.Response;
        var (fault, status) = Take(context.Request.Headers.Range.Count > 0);
        if (status != 0)
        {
            response.StatusCode = status;
            if (_retryAfter is not null)
            {
                response.Headers.RetryAfter = _retryAfter;
            }

            return;
        }

        if (fault.HasFlag(FakeFault.Drop))
        {
            context.Abort();
            return;
        }

        if (fault.HasFlag(FakeFault.StallHeaders))
        {
            await WaitAsync(context, Timeout.InfiniteTimeSpan);
        }

        var key = string.Join('/', path.Split('/')[^2..]);
        if (key.StartsWith("blobs/", StringComparison.Ordinal) && LocationOf(path, key) is { } location)
        {
            response.StatusCode = (int)_redirectStatus;
            response.Headers.Location = location;
            return;
        }

        if (!_contents.TryGetValue(key, out var content))
        {
            response.StatusCode = 404;
            await response.WriteAsync("""{"errors":[{"code":"BLOB_UNKNOWN","message":"unknown"}]}""");
            return;
        }

        await SendAsync(context, content.Bytes, content.MediaType, content.Digest, fault);
    }

    private string? LocationOf(string path, string key) =>
        _redirect is not null ? _redirect(path) : _store is not null ? $"{_store.Url}{StoredTarget(key, _store.Signature())}" : null;

    private (FakeFault Fault, int Status) Take(bool isRange)
    {
        lock (_lock)
        {
            if (_statusLeft > 0)
            {
                _statusLeft--;
                return (FakeFault.None, _status);
            }

            // A lie about the range waits for a request that asks for one.
            if (_faultsLeft > 0 && (isRange || _fault != FakeFault.WrongTotal))
            {
                _faultsLeft--;
                return (_fault, 0);
            }

            return default;
        }
    }

    private async Task SendAsync(HttpContext context, byte[] bytes, string mediaType, Digest digest, FakeFault fault)
    {
        var response = context.Response;
        var isHead = HttpMethods.IsHead(context.Request.Method);
        if (isHead && (fault.HasFlag(FakeFault.NoHead) || fault.HasFlag(FakeFault.HeadUnauthorized)))
        {
            response.StatusCode = fault.HasFlag(FakeFault.NoHead) ? 405 : 401;
            return;
        }

        var (first, last) = (0L, bytes.LongLength - 1);
        var range = fault.HasFlag(FakeFault.IgnoreRange) ? null : new RequestHeaders(context.Request.Headers).Range?.Ranges.SingleOrDefault();
        if (range is not null)
        {
            if (range.From is null || range.To is null)
            {
                // As one real test registry: closed ranges only.
                response.StatusCode = 416;
                return;
            }

            (first, last) = (range.From.Value, Math.Min(range.To.Value, last));
            if (first > last)
            {
                response.StatusCode = 416;
                response.Headers.ContentRange = $"bytes */{bytes.Length}";
                return;
            }

            response.StatusCode = 206;
            if (!fault.HasFlag(FakeFault.NoContentRange))
            {
                var total = fault.HasFlag(FakeFault.UnknownTotal) ? "*" : $"{bytes.Length + (fault.HasFlag(FakeFault.WrongTotal) ? 1 : 0)}";
                response.Headers.ContentRange =
                    $"bytes {first + (fault.HasFlag(FakeFault.WrongContentRange) ? 1 : 0)}-{last + (fault.HasFlag(FakeFault.TooLongContentRange) ? 1 : 0)}/{total}";
            }
        }

        var body = bytes.AsMemory((int)first, (int)(last - first + 1));
        if (fault.HasFlag(FakeFault.WrongBytes) && last == bytes.Length - 1)
        {
            var flipped = body.ToArray();
            flipped[^1] ^= 1;
            body = flipped;
        }

        response.ContentType = mediaType;
        if (!fault.HasFlag(FakeFault.Chunked))
        {
            response.ContentLength = body.Length - (fault.HasFlag(FakeFault.LyingContentLength) ? 1 : 0);
        }

        if (fault.HasFlag(FakeFault.Encoded))
        {
            response.Headers.ContentEncoding = "gzip";
        }

        if (!fault.HasFlag(FakeFault.NoDigestHeader))
        {
            response.Headers["Docker-Content-Digest"] = (fault.HasFlag(FakeFault.WrongDigestHeader) ? Digest.OfSha256([1, 2, 3]) : digest).ToString();
        }

        if (isHead)
        {
            return;
        }

        var sent = response.ContentLength is { } length ? body[..(int)length] : body;
        _served.AddOrUpdate(digest, _ => (1, sent.Length), (_, old) => (old.Requests + 1, old.Bytes + sent.Length));
        await SendBodyAsync(context, sent, fault);
    }

    private async Task SendBodyAsync(HttpContext context, ReadOnlyMemory<byte> body, FakeFault fault)
    {
        var half = body[..(body.Length / 2)];
        var breaks = fault & (FakeFault.Truncate | FakeFault.Reset | FakeFault.StallBody);
        if (breaks == FakeFault.None && _gate is null)
        {
            await context.Response.Body.WriteAsync(body, context.RequestAborted);
            return;
        }

        await context.Response.Body.WriteAsync(half, context.RequestAborted);
        await context.Response.Body.FlushAsync(context.RequestAborted);
        switch (breaks)
        {
            case FakeFault.Truncate:
                // Kestrel ends a response that threw with FIN when some of it is on its way.
                throw new InvalidOperationException("truncated on purpose");
            case FakeFault.Reset:
                context.Abort();
                return;
            case FakeFault.StallBody:
                await WaitAsync(context, Timeout.InfiniteTimeSpan);
                return;
            default:
                await _gate!.Task.WaitAsync(context.RequestAborted);
                await context.Response.Body.WriteAsync(body[half.Length..], context.RequestAborted);
                return;
        }
    }

    private async Task WaitAsync(HttpContext context, TimeSpan time)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, _stopping.Token);
        await Task.Delay(time, either.Token);
    }

    private sealed class Gate(TaskCompletionSource gate) : IDisposable
    {
        public void Dispose() => gate.TrySetResult();
    }
}
