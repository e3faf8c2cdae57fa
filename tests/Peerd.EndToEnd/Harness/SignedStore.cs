using System.Collections.Concurrent;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Net.Http.Headers;
using Peerd.Contracts;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// The blob store behind a <see cref="TokenRegistry"/>: GETs of signed URLs in the layout of the distribution project, double
/// slash included. It counts what it sends, and fails on demand. Thread-safe.
/// </summary>
internal sealed class SignedStore : IAsyncDisposable
{
    private const int ChunkSize = 64 * 1024;

    /// <summary>So much of a body is sent before a <see cref="StoreFault"/>: less than a usual read, however much is asked for at once.</summary>
    private const int Beginning = 32 * 1024;

    // Long enough for the beginning to be passed on before the end is known.
    private static readonly TimeSpan PauseBeforeCut = TimeSpan.FromMilliseconds(50);

    private readonly ConcurrentDictionary<string, GeneratedBlob> _blobs = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<Digest, long> _bytesOf = new();
    private readonly StoreSignature _signature;
    private readonly Lock _gate = new();
    private LabServer _server = null!;
    private (StoreFault? Fault, int Status, int Left) _failing;
    private int _requests;
    private int _forbidden;
    private long _bytes;

    private SignedStore(TimeProvider time) => _signature = new StoreSignature(time);

    /// <summary><c>http://127.0.0.1:port</c>.</summary>
    public string Url => _server.Url;

    /// <summary>How long a signed URL is good for.</summary>
    public TimeSpan Lifetime { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>Requests so far, however they were answered.</summary>
    public int Requests => Volatile.Read(ref _requests);

    /// <summary>Requests so far whose signature was over or wrong.</summary>
    public int Forbidden => Volatile.Read(ref _forbidden);

    /// <summary>Bytes of blobs that it has sent so far.</summary>
    public long Bytes => Interlocked.Read(ref _bytes);

    /// <summary>Bytes of this blob that it has sent so far.</summary>
    public long BytesOf(GeneratedBlob blob) => _bytesOf.GetValueOrDefault(blob.Digest);

    /// <summary>Starts an empty store.</summary>
    /// <param name="time">Decides when signatures are over; null is the real time.</param>
    public static async Task<SignedStore> StartAsync(TimeProvider? time = null)
    {
        var store = new SignedStore(time ?? TimeProvider.System);
        store._server = await LabServer.StartAsync(store.HandleAsync);
        return store;
    }

    /// <summary>Keeps a blob.</summary>
    public void Add(GeneratedBlob blob) => _blobs[PathOf(blob.Digest)] = blob;

    /// <summary>The blob of this name; null when there is none.</summary>
    public GeneratedBlob? Find(Digest digest) => _blobs.GetValueOrDefault(PathOf(digest));

    /// <summary>A path and query that the blob may be read at for a while.</summary>
    public string Sign(Digest digest) => _signature.Sign(PathOf(digest), Lifetime);

    /// <summary>Fails the next requests.</summary>
    public void Fail(StoreFault fault, int times = int.MaxValue)
    {
        lock (_gate)
        {
            _failing = (fault, 0, times);
        }
    }

    /// <summary>Answers the next requests with this status.</summary>
    public void AnswerWith(int status, int times = int.MaxValue)
    {
        lock (_gate)
        {
            _failing = (null, status, times);
        }
    }

    /// <summary>Breaks all connections; new ones are refused from now on.</summary>
    public Task StopAsync() => _server.StopAsync();

    /// <inheritdoc />
    public ValueTask DisposeAsync() => _server.DisposeAsync();

    /// <summary>Sends what a GET asks for of a blob; to a HEAD only its size.</summary>
    public async Task SendAsync(HttpContext context, GeneratedBlob blob, StoreFault? fault = null)
    {
        var response = context.Response;
        response.ContentType = "application/octet-stream";
        if (HttpMethods.IsHead(context.Request.Method))
        {
            // No byte of it is sent, and none may be counted.
            response.ContentLength = blob.Size;
            return;
        }

        var range = new ByteRange(0, blob.Size);
        if (context.Request.GetTypedHeaders().Range is { Unit.Value: "bytes", Ranges.Count: 1 } wanted)
        {
            range = Clip(wanted.Ranges.First(), blob.Size);
            if (range.IsEmpty)
            {
                response.StatusCode = 416;
                response.ContentLength = 0;
                response.Headers.ContentRange = new ContentRangeHeaderValue(blob.Size).ToString();
                return;
            }

            response.StatusCode = 206;
            response.Headers.ContentRange = new ContentRangeHeaderValue(range.Offset, range.End - 1, blob.Size).ToString();
        }

        response.ContentLength = range.Length;
        await WriteAsync(context, blob, fault is null ? range : range with { Length = Math.Min(Beginning, range.Length / 2) });
        switch (fault)
        {
            case StoreFault.StallBody:
                await Task.Delay(Timeout.Infinite, context.RequestAborted);
                break;
            case StoreFault.CutBody:
                await Task.Delay(PauseBeforeCut, context.RequestAborted);

                // Kestrel ends the connection of an answer that is shorter than its Content-Length, with FIN.
                throw new InvalidOperationException("cut on purpose");
            case StoreFault.ResetBody:
                await Task.Delay(PauseBeforeCut, context.RequestAborted);
                context.Abort();
                break;
            default:
                break;
        }
    }

    private static string PathOf(Digest digest) => $"//docker/registry/v2/blobs/sha256/{digest.Hex[..2]}/{digest.Hex}/data";

    private async Task HandleAsync(HttpContext context)
    {
        Interlocked.Increment(ref _requests);
        var (fault, status) = TakeFailure();
        if (fault is StoreFault.Silent)
        {
            await Task.Delay(Timeout.Infinite, context.RequestAborted);
        }

        var target = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        if (status == 0)
        {
            status = Judge(context.Request, target);
        }

        if (status != 0)
        {
            context.Response.StatusCode = status;
            context.Response.ContentLength = 0;
            return;
        }

        await SendAsync(context, _blobs[target.Split('?')[0]], fault);
    }

    // What stores say to a request; 0 when it may be answered.
    private int Judge(HttpRequest request, string target)
    {
        if (request.Headers.Authorization.Count > 0)
        {
            // Two ways to prove one's rights are one too many.
            return 400;
        }

        // It is signed for GET alone.
        if (!HttpMethods.IsGet(request.Method) || !_signature.IsValid(target))
        {
            Interlocked.Increment(ref _forbidden);
            return 403;
        }

        return _blobs.ContainsKey(target.Split('?')[0]) ? 0 : 404;
    }

    private (StoreFault? Fault, int Status) TakeFailure()
    {
        lock (_gate)
        {
            if (_failing.Left == 0)
            {
                return default;
            }

            _failing.Left--;
            return (_failing.Fault, _failing.Status);
        }
    }

    private static ByteRange Clip(RangeItemHeaderValue item, long size) => item switch
    {
        { From: { } from, To: var to } => ByteRange.FromBounds(from, Math.Min(size, (to ?? size - 1) + 1)),
        { To: { } last } => ByteRange.FromBounds(Math.Max(0, size - last), size),
        _ => default,
    };

    private async Task WriteAsync(HttpContext context, GeneratedBlob blob, ByteRange range)
    {
        var buffer = new byte[Math.Min(ChunkSize, range.Length)];
        for (var offset = range.Offset; offset < range.End;)
        {
            var count = (int)Math.Min(buffer.Length, range.End - offset);
            blob.Read(offset, buffer.AsSpan(0, count));
            await context.Response.Body.WriteAsync(buffer.AsMemory(0, count), context.RequestAborted);
            Interlocked.Add(ref _bytes, count);
            _bytesOf.AddOrUpdate(blob.Digest, count, (_, sent) => sent + count);
            offset += count;
        }

        await context.Response.Body.FlushAsync(context.RequestAborted);
    }
}
