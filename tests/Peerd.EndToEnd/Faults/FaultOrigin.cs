using System.Collections.Concurrent;
using Microsoft.AspNetCore.Http;
using Peerd.Contracts;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Faults;

/// <summary>A registry of generated blobs, open to everybody, that fails on demand. Thread-safe.</summary>
internal sealed class FaultOrigin : IAsyncDisposable
{
    private const string BlobsPath = "/v2/team/app/blobs/";
    private const int UsualPort = 5000;

    private readonly ConcurrentDictionary<Digest, (GeneratedBlob Right, GeneratedBlob Wrong)> _blobs = new();
    private readonly Lock _gate = new();
    private readonly LabHost? _host;
    private readonly SignedStore _store;
    private readonly int _port;
    private LabServer _server = null!;
    private OriginFault _fault;
    private int _left;

    private FaultOrigin(LabHost? host, SignedStore store)
    {
        _host = host;
        _store = store;
        _port = host is null ? FreePorts.Take() : UsualPort;
    }

    /// <summary>For the configuration of nodes.</summary>
    public Upstream Upstream => new(new Uri(_server.Url).Authority, new Uri(_server.Url));

    /// <summary>Bytes of blobs that it has sent so far, wrong ones included.</summary>
    public long Bytes => _store.Bytes;

    /// <summary>Bytes of this blob that it has sent so far.</summary>
    public long BytesOf(GeneratedBlob blob) => _store.BytesOf(blob);

    /// <summary>Starts a registry without blobs.</summary>
    /// <param name="host">Where; null is loopback.</param>
    public static async Task<FaultOrigin> StartAsync(LabHost? host = null)
    {
        // Of the store only what writes a body is used.
        var origin = new FaultOrigin(host, await SignedStore.StartAsync());
        await origin.ListenAsync();
        return origin;
    }

    /// <summary>Keeps a blob.</summary>
    /// <param name="blob">The blob.</param>
    /// <param name="wrong">What it sends for it when it lies, of the same size.</param>
    public void Add(GeneratedBlob blob, GeneratedBlob wrong) => _blobs[blob.Digest] = (blob, wrong);

    /// <summary>Where the blob is, at the registry and at its mirrors.</summary>
    public string PathOf(GeneratedBlob blob) => $"{BlobsPath}{blob.Digest}?ns={Upstream.Name}";

    /// <summary>Fails from now on.</summary>
    /// <param name="fault">How.</param>
    /// <param name="requests">How many requests; not for <see cref="OriginFault.Down"/>.</param>
    public async Task FailAsync(OriginFault fault, int requests = int.MaxValue)
    {
        lock (_gate)
        {
            (_fault, _left) = (fault, requests);
        }

        if (fault == OriginFault.Down)
        {
            await _server.DisposeAsync();
        }
    }

    /// <summary>Is well again.</summary>
    public async Task HealAsync()
    {
        OriginFault former;
        lock (_gate)
        {
            (former, _fault) = (_fault, OriginFault.None);
        }

        if (former == OriginFault.Down)
        {
            await ListenAsync();
        }
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        await _store.DisposeAsync();
    }

    private async Task ListenAsync() =>
        _server = await (_host is null ? LabServer.StartAsync(HandleAsync, _port) : LabServer.StartAsync(HandleAsync, _host, _port));

    private async Task HandleAsync(HttpContext context)
    {
        var path = context.Request.Path.Value!;
        if (!path.StartsWith(BlobsPath, StringComparison.Ordinal) || !Digest.TryParse(path[BlobsPath.Length..], out var digest) || !_blobs.TryGetValue(digest, out var blob))
        {
            context.Response.StatusCode = 404;
            return;
        }

        switch (TakeFault())
        {
            case OriginFault.Silent:
                await Task.Delay(Timeout.Infinite, context.RequestAborted);
                break;
            case OriginFault.ResetRequest:
                context.Abort();
                break;
            case OriginFault.RateLimit:
                context.Response.StatusCode = 429;
                context.Response.Headers.RetryAfter = "1";
                break;
            case OriginFault.Unavailable:
                context.Response.StatusCode = 503;
                break;
            case OriginFault.Lie:
                await _store.SendAsync(context, blob.Wrong);
                break;
            case var fault:
                await _store.SendAsync(context, blob.Right, InBody(fault));
                break;
        }
    }

    private static StoreFault? InBody(OriginFault fault) => fault switch
    {
        OriginFault.StallBody => StoreFault.StallBody,
        OriginFault.CutBody => StoreFault.CutBody,
        OriginFault.ResetBody => StoreFault.ResetBody,
        _ => null,
    };

    private OriginFault TakeFault()
    {
        lock (_gate)
        {
            if (_left == 0)
            {
                return OriginFault.None;
            }

            _left -= _left == int.MaxValue ? 0 : 1;
            return _fault;
        }
    }
}
