using System.Buffers;
using System.Collections.Frozen;
using System.Net;
using System.Text;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Net.Http.Headers;
using Peerd.Contracts;

namespace Peerd.Node.Cli.Demo;

/// <summary>
/// A registry on loopback that serves one generated image under one tag, and counts what it sends. It reads nothing
/// from the nodes that pull from it, so its counts are evidence.
/// </summary>
internal sealed class DemoRegistry : IAsyncDisposable
{
    private const int ChunkSize = 128 * 1024;
    private const string ApiPrefix = "/v2/";

    private readonly WebApplication _app;
    private readonly FrozenDictionary<Digest, ImageContent> _manifests;
    private readonly FrozenDictionary<Digest, ImageContent> _blobs;
    private readonly GeneratedImage _image;
    private readonly string _repository;
    private readonly string _tag;

    private DemoRegistry(GeneratedImage image, string repository, string tag)
    {
        _image = image;
        _repository = repository;
        _tag = tag;
        _manifests = new[] { image.Index, image.Manifest }.ToFrozenDictionary(content => content.Digest);

        // Two layers of one image are the same content when both are empty.
        _blobs = image.Layers.Prepend(image.Config).DistinctBy(content => content.Digest).ToFrozenDictionary(content => content.Digest);
        Counts = new OriginCounts(image.Contents.Select(content => content.Digest));

        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;

            // A flush then ends when the socket has taken the bytes: what was counted was sent.
            kestrel.Limits.MaxResponseBufferSize = 0;
            kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http1);
        });
        _app = builder.Build();
        _app.Run(HandleAsync);
    }

    /// <summary>Where it listens: <c>http://127.0.0.1:port</c>.</summary>
    public Uri Endpoint => new(_app.Urls.First());

    public OriginCounts Counts { get; }

    public static async Task<DemoRegistry> StartAsync(GeneratedImage image, string repository, string tag, CancellationToken cancellationToken)
    {
        var registry = new DemoRegistry(image, repository, tag);
        await registry._app.StartAsync(cancellationToken);
        return registry;
    }

    public async ValueTask DisposeAsync()
    {
        // Clients that are still reading are cut off.
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _app.StopAsync(now.Token);
        await _app.DisposeAsync();
    }

    private Task HandleAsync(HttpContext context)
    {
        Counts.AddRequest();
        var path = context.Request.Path.Value ?? string.Empty;
        if (!HttpMethods.IsGet(context.Request.Method) && !HttpMethods.IsHead(context.Request.Method))
        {
            context.Response.Headers.Allow = "GET, HEAD";
            return RefuseAsync(context, StatusCodes.Status405MethodNotAllowed, "UNSUPPORTED", "this registry is read-only");
        }

        if (path is "/v2/" or "/v2")
        {
            context.Response.ContentType = "application/json";
            return SendSmallAsync(context, "{}"u8.ToArray());
        }

        return Find(path) is { } content
            ? SendAsync(context, content)
            : RefuseAsync(context, StatusCodes.Status404NotFound, path.Contains("/manifests/", StringComparison.Ordinal) ? "MANIFEST_UNKNOWN" : "BLOB_UNKNOWN", "this registry has one image only");
    }

    private ImageContent? Find(string path)
    {
        if (!path.StartsWith(ApiPrefix + _repository + "/", StringComparison.Ordinal))
        {
            return null;
        }

        return path[(ApiPrefix.Length + _repository.Length + 1)..].Split('/') switch
        {
            ["manifests", var tag] when tag == _tag => _image.Index,
            ["manifests", var text] when Digest.TryParse(text, out var digest) => _manifests.GetValueOrDefault(digest),
            ["blobs", var text] when Digest.TryParse(text, out var digest) => _blobs.GetValueOrDefault(digest),
            _ => null,
        };
    }

    private async Task SendAsync(HttpContext context, ImageContent content)
    {
        Counts.AddRequestFor(content.Digest);
        var response = context.Response;
        response.ContentType = _manifests.ContainsKey(content.Digest) ? content.MediaType : "application/octet-stream";
        response.Headers["Docker-Content-Digest"] = content.Digest.ToString();
        response.Headers.AcceptRanges = "bytes";

        var range = new ByteRange(0, content.Size);
        if (HttpMethods.IsGet(context.Request.Method) && context.Request.GetTypedHeaders().Range is { Unit.Value: "bytes", Ranges.Count: 1 } wanted)
        {
            range = Clip(wanted.Ranges.First(), content.Size);
            if (range.IsEmpty)
            {
                response.Headers.ContentRange = new ContentRangeHeaderValue(content.Size).ToString();
                await RefuseAsync(context, StatusCodes.Status416RangeNotSatisfiable, "SIZE_INVALID", "the range lies outside the content");
                return;
            }

            response.StatusCode = StatusCodes.Status206PartialContent;
            response.Headers.ContentRange = new ContentRangeHeaderValue(range.Offset, range.End - 1, content.Size).ToString();
        }

        response.ContentLength = range.Length;
        if (HttpMethods.IsGet(context.Request.Method))
        {
            await SendBytesAsync(context, content, range);
        }
    }

    private static ByteRange Clip(RangeItemHeaderValue item, long size) => item switch
    {
        { From: { } from, To: var to } => ByteRange.FromBounds(from, Math.Min(size, (to ?? size - 1) + 1)),
        { To: { } last } => ByteRange.FromBounds(Math.Max(0, size - last), size),
        _ => default,
    };

    private async Task SendBytesAsync(HttpContext context, ImageContent content, ByteRange range)
    {
        var gone = context.RequestAborted;
        var buffer = ArrayPool<byte>.Shared.Rent(ChunkSize);
        try
        {
            for (var offset = range.Offset; offset < range.End && !gone.IsCancellationRequested;)
            {
                var count = (int)Math.Min(ChunkSize, range.End - offset);
                content.Bytes.Read(offset, buffer.AsSpan(0, count));

                // Counted before it is sent: of a client that goes away in the middle of a chunk the origin counts
                // a little too much rather than too little.
                Counts.AddBodyBytes(content.Digest, count);
                await context.Response.Body.WriteAsync(buffer.AsMemory(0, count), gone);
                await context.Response.Body.FlushAsync(gone);
                offset += count;
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or IOException)
        {
            // The client went away.
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static Task RefuseAsync(HttpContext context, int status, string code, string message)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        return SendSmallAsync(context, Encoding.UTF8.GetBytes($$"""{"errors":[{"code":"{{code}}","message":"{{message}}"}]}"""));
    }

    private static async Task SendSmallAsync(HttpContext context, byte[] body)
    {
        context.Response.ContentLength = body.Length;
        if (!HttpMethods.IsHead(context.Request.Method))
        {
            await context.Response.Body.WriteAsync(body, context.RequestAborted);
        }
    }
}
