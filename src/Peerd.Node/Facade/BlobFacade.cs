using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;
using Peerd.Contracts;
using Peerd.Node.Content;
using Peerd.Node.Limits;
using Peerd.Node.Origin;
using Peerd.Node.Storage;

namespace Peerd.Node.Facade;

/// <summary>
/// overlaybd's p2p address: <c>GET</c> and <c>HEAD</c> of <c>/blobs/&lt;absolute URL&gt;</c>, from the mesh where the URL
/// names a digest, else from the URL itself. overlaybd asks nobody else, believes any success and fills what is missing
/// with zeros: what cannot be answered exactly is an error, and the given URL is read as long as it answers. Thread-safe.
/// </summary>
internal sealed partial class BlobFacade(
    BlobStreams streams, WholeBlob whole, DirectBlob direct, BlobHosts hosts, AskedHosts askedHosts, AccessCheck access, IOptions<BlobOptions> options, FacadeMetrics metrics, ServedBytes served, HeldMemory memory, TimeProvider time, ILogger<BlobFacade> logger)
{
    /// <summary>So much is here before a byte of it is sent. Reads of overlaybd are no larger, and so go out in one write.</summary>
    private const int ChunkSize = 4 * 1024 * 1024;

    private const int BlockSize = 64 * 1024;

    /// <summary>So much of it goes out in one write when too much memory is held.</summary>
    private const int WriteWhenOver = 4 * BlockSize;

    /// <summary>How often bytes of one read may be lost between their arrival and their reading: memory is short then.</summary>
    private const int MaxLosses = 3;

    /// <summary>How long a read waits for the mesh before its URL is read.</summary>
    private readonly TimeSpan _meshTime = options.Value.MeshTime;

    /// <summary>Answers a GET or HEAD.</summary>
    /// <param name="context">The exchange.</param>
    /// <param name="isDirect">What is not here is read from the URL itself, whatever the mesh has.</param>
    /// <param name="waited">How long the client has waited before: the mesh has so much less time.</param>
    /// <param name="deadline">Ends the wait for the head of the answer.</param>
    public async Task AnswerAsync(HttpContext context, bool isDirect, TimeSpan waited, CancellationToken deadline)
    {
        var started = time.GetTimestamp() - (long)(waited.TotalSeconds * time.TimestampFrequency);
        var target = FacadeHandler.TargetOf(context);
        var authorization = context.Request.Headers.Authorization;
        var items = context.Features.GetRequiredFeature<IConnectionItemsFeature>().Items;
        var last = items.TryGetValue(typeof(BlobFacade), out var item) ? item as LastAsked : null;
        if (last?.IsFor(target, authorization) != true)
        {
            if (!TryUnderstand(target, authorization, out last, out var refused))
            {
                await RegistryAnswer.WriteErrorAsync(context, refused);
                return;
            }

            items[typeof(BlobFacade)] = last;
        }

        // New for each request: it remembers where its URL led, and who asks a registry again is not to be sent there.
        var given = new GivenUrl(last.Url, authorization.Count == 1 ? authorization[0] : null);
        var request = new ContentRequest(last.Digest, OriginReference.Of(given, last.Reference));
        if (!request.Digest.IsEmpty && await access.RefusalAsync(request.Origin, deadline) is not null)
        {
            // Nothing of what is here is for this client: what the URL itself answers is its answer.
            request = new ContentRequest(default, OriginReference.Of(given, string.Empty));
        }

        Log.Asked(logger, context.Request.Method, given, request.Digest);
        if (HttpMethods.IsHead(context.Request.Method))
        {
            await HeadAsync(context, request, isDirect, started, deadline);
        }
        else if (context.Request.Headers.Range.Count == 0)
        {
            await WholeAsync(context, request, isDirect, deadline);
        }
        else if (RequestedRange.Parse(context.Request.Headers.Range) is not { } range)
        {
            // The whole instead would be taken for the part.
            await RegistryAnswer.WriteErrorAsync(context, new RegistryError(HttpStatusCode.RequestedRangeNotSatisfiable, RegistryError.RangeInvalid, "one range of bytes, such as bytes=0-99, can be asked for"));
        }
        else
        {
            await RangeAsync(context, request, range, isDirect, started, deadline);
        }
    }

    /// <summary>Finds out what is asked for; false when that is not served, with what the client is told.</summary>
    private bool TryUnderstand(
        string target, StringValues authorization, [NotNullWhen(true)] out LastAsked? asked, [NotNullWhen(false)] out RegistryError? refused)
    {
        (asked, refused) = (null, null);
        if (!BlobUrl.TryParse(target, out var blob))
        {
            refused = RegistryError.BadRequest(RegistryError.NameInvalid, "behind /blobs/ there must be an absolute http or https URL, as it is, without user and fragment");
            return false;
        }

        if (!hosts.Allows(blob.Url))
        {
            // Told once each: an image whose registry is not listed fails on every read.
            if (askedHosts.NoteRefused(blob.Url))
            {
                Log.Refused(logger, blob.Url.Scheme, blob.Url.Authority);
            }

            refused = new RegistryError(HttpStatusCode.Forbidden, RegistryError.Denied, $"{blob.Url.Scheme}://{blob.Url.Authority} is not on this node's list of hosts of blobs (Peerd:Blobs:Hosts, Peerd:Blobs:MoreHosts)");
            return false;
        }

        if (authorization.Count > 1)
        {
            refused = RegistryError.BadRequest(RegistryError.Unauthorized, "more than one Authorization");
            return false;
        }

        // What it says of itself counts for nothing where anybody can put things, or where the host does not look at it.
        var trust = hosts.TrustIn(blob.Url);
        var digest = trust switch
        {
            HostTrust.Registry when blob.Digest != blob.ShownDigest(isRegistry: true) => default,
            HostTrust.Account when !blob.IsOfStore => default,
            HostTrust.None => default,
            _ => blob.Digest,
        };
        if (access.IsOn && digest != blob.ShownDigest(hosts.IsRegistry(new DnsEndPoint(blob.Url.IdnHost, blob.Url.Port))))
        {
            // Who may read the URL would otherwise get another content, whose digest he wrote into it.
            digest = default;
        }

        if (digest.IsEmpty)
        {
            TellUnshared(blob, trust);
        }

        // Who rents an account puts what he likes under any digest there, and harms nobody who reads another.
        var name = trust == HostTrust.Account && !digest.IsEmpty ? digest.Within($"{blob.Url.Scheme}://{blob.Url.IdnHost}:{blob.Url.Port}") : digest;
        asked = new LastAsked(target, authorization, blob.Url, name, digest.ToString());
        return true;
    }

    // Nobody sees it but by what it costs: it is told once of each host, with what was wrong with the first such URL.
    private void TellUnshared(BlobUrl blob, HostTrust trust)
    {
        if (trust == HostTrust.None)
        {
            if (askedHosts.NoteUnshared(blob.Url))
            {
                Log.NotShared(logger, blob.Url.Scheme, blob.Url.Authority);
            }
        }
        else if (askedHosts.NoteUnsharedUrl(blob.Url))
        {
            var reason = blob.AsksForSomethingElse ? "a parameter, such as comp or versionId, asks for something else than the blob"
                : trust == HostTrust.Registry ? "of this host no other path than /v2/<name>/blobs/<digest> is believed"
                : trust == HostTrust.Account ? "of this host no other path than …/docker/registry/v2/blobs/sha256/<xx>/<hex>/data is believed, unless Peerd:Blobs:MoreHosts has it"
                : "they name no digest, or not where it is believed";
            Log.UrlNotShared(logger, blob.Url.Scheme, blob.Url.Authority, reason);
        }
    }

    private async Task HeadAsync(HttpContext context, ContentRequest request, bool isDirect, long started, CancellationToken deadline)
    {
        if (!request.Digest.IsEmpty && await OpenAsync(request, isDirect, started, deadline) is { } stream)
        {
            try
            {
                DirectBlob.Describe(context.Response, stream.Size, stream.MediaType);
            }
            finally
            {
                streams.Close(stream);
            }

            return;
        }

        await direct.HeadAsync(context, request.Origin, deadline);
    }

    private async Task WholeAsync(HttpContext context, ContentRequest request, bool isDirect, CancellationToken deadline)
    {
        switch (request.Digest.IsEmpty || isDirect ? WholeOutcome.NothingSent : await whole.SendAsync(context, request, deadline))
        {
            case WholeOutcome.NothingSent:
                await direct.SendAsync(context, request.Origin, range: null, deadline, request.Digest);
                break;
            case WholeOutcome.Cut:
                Cut(context, request.Origin);
                break;
        }
    }

    private async Task RangeAsync(HttpContext context, ContentRequest request, RequestedRange range, bool isDirect, long started, CancellationToken deadline)
    {
        long? told = null;
        if (!request.Digest.IsEmpty && await OpenAsync(request, isDirect, started, deadline) is { } stream)
        {
            try
            {
                var wanted = range.Resolve(stream.Size);
                if (wanted is not { IsEmpty: false } && stream.IsVerified)
                {
                    var refused = new RegistryError(HttpStatusCode.RequestedRangeNotSatisfiable, RegistryError.RangeInvalid, $"the blob has {stream.Size} bytes");
                    await RegistryAnswer.WriteErrorAsync(context, refused, (HeaderNames.ContentRange, $"bytes */{stream.Size}"));
                    return;
                }

                if (wanted is not { IsEmpty: false } bytes)
                {
                    // A size that was only told may be wrong: then the URL itself knows, as long as it answers.
                    told = stream.Size;
                }
                else if (await SendAsync(context, stream, bytes, request.Origin, isDirect ? null : started, deadline))
                {
                    return;
                }
            }
            finally
            {
                streams.Close(stream);
            }
        }

        metrics.BlobRead(BlobSource.None);
        await direct.SendAsync(context, request.Origin, range, deadline, told: told);
    }

    /// <summary>Opens the content; null when its size is not found out soon: then the URL itself may know more.</summary>
    private async ValueTask<BlobStream?> OpenAsync(ContentRequest request, bool isDirect, long started, CancellationToken deadline)
    {
        if (streams.TryOpen(request.Digest) is { } stream)
        {
            return stream;
        }

        var left = _meshTime - time.GetElapsedTime(started);
        if (isDirect || left <= TimeSpan.Zero)
        {
            return null;
        }

        using var patience = new CancellationTokenSource(left, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, deadline);
        try
        {
            return await streams.OpenAsync(request.Digest, request.Origin, either.Token);
        }
        catch (OperationCanceledException) when (!deadline.IsCancellationRequested)
        {
            return null;
        }
    }

    /// <summary>Sends a range; false when nothing was sent because its first bytes do not come.</summary>
    /// <param name="context">The exchange.</param>
    /// <param name="stream">The content.</param>
    /// <param name="bytes">What is sent.</param>
    /// <param name="origin">Where the client would read it.</param>
    /// <param name="started">When the request came, as a timestamp; null when the mesh is not asked for what is not here.</param>
    /// <param name="deadline">Ends the wait for the first bytes.</param>
    private async Task<bool> SendAsync(HttpContext context, BlobStream stream, ByteRange bytes, OriginReference origin, long? started, CancellationToken deadline)
    {
        var losses = 0;
        var resets = stream.Resets;
        var offset = bytes.Offset;
        BlobSource? furthest = null;
        try
        {
            while (offset < bytes.End)
            {
                var hasStarted = context.Response.HasStarted;
                var chunk = ByteRange.FromBounds(offset, Math.Min(bytes.End, offset + ChunkSize));

                // What is left of the time for the head is for the URL itself.
                var limit = started is not { } since ? TimeSpan.Zero : hasStarted ? TimeSpan.MaxValue : _meshTime - time.GetElapsedTime(since);
                var source = await stream.EnsureAsync(chunk, origin, limit, hasStarted ? context.RequestAborted : deadline);
                var part = memory.IsOver ? ByteRange.FromBounds(offset, Math.Min(chunk.End, offset + WriteWhenOver)) : chunk;
                var copied = source == BlobSource.None ? 0 : Copy(context.Response, stream, part, bytes, resets);
                offset += copied;
                if (stream.Resets != resets)
                {
                    if (offset > bytes.Offset)
                    {
                        // Right bytes do not mend a body that began with wrong ones.
                        furthest = source;
                        Cut(context, origin);
                        return true;
                    }

                    resets = stream.Resets;
                }

                if (copied < part.Length && (source == BlobSource.None || ++losses > MaxLosses))
                {
                    if (offset == bytes.Offset)
                    {
                        return false;
                    }

                    furthest = BlobSource.None;
                    await SendRestAsync(context, ByteRange.FromBounds(offset, bytes.End), stream.Size, origin, deadline);
                    return true;
                }

                if (copied > 0)
                {
                    FacadeRequest.CameFrom(context, stream.Served(ByteRange.FromBounds(offset - copied, offset), source, served));
                    furthest = furthest > source ? furthest : source;
                }

                if (copied < part.Length)
                {
                    // Not sent without the rest: a client may take a part for the whole.
                    continue;
                }

                if (!await ClientFlush.SendAsync(context, time))
                {
                    return true;
                }

                if (offset < bytes.End)
                {
                    // Writing to a client that is as fast as this node never waits, and the thread is one of few.
                    await Task.Yield();
                }
            }

            return true;
        }
        catch (OperationCanceledException) when (offset > bytes.Offset && !context.Response.HasStarted && !context.RequestAborted.IsCancellationRequested)
        {
            // What is in the answer cannot be taken back.
            Cut(context, origin);
            return true;
        }
        finally
        {
            // A read of which nothing was sent is left to the URL itself, and counted there.
            if (furthest is { } needed)
            {
                metrics.BlobRead(needed);
            }
        }
    }

    /// <summary>The answer has its beginning: it gets the rest of exactly these bytes, or is cut. Of a read of overlaybd's the client gets nothing then.</summary>
    private async Task SendRestAsync(HttpContext context, ByteRange rest, long size, OriginReference origin, CancellationToken deadline)
    {
        var fault = context.Response.HasStarted || rest.Length > ChunkSize
            ? await direct.CopyRestAsync(context, origin, rest, size, deadline: deadline)
            : await direct.SendRestAtOnceAsync(context, origin, rest, size, deadline);
        if (fault is not null)
        {
            Cut(context, origin);
        }
    }

    /// <summary>Breaks an answer off, which the client sees.</summary>
    private void Cut(HttpContext context, OriginReference origin)
    {
        metrics.Truncated(isBlob: true);
        Log.Truncated(logger, origin.Given!);
        context.Abort();
    }

    /// <summary>Puts a chunk into the answer, and the head before its first byte. How many bytes: what is lost, or dropped as wrong, meanwhile ends it.</summary>
    private static long Copy(HttpResponse response, BlobStream stream, ByteRange chunk, ByteRange all, int resets)
    {
        var offset = chunk.Offset;
        try
        {
            while (offset < chunk.End)
            {
                var length = (int)Math.Min(BlockSize, chunk.End - offset);
                stream.Read(offset, response.BodyWriter.GetSpan(length)[..length]);
                if (stream.Resets != resets)
                {
                    // A part may be from before, and another from after.
                    break;
                }

                if (offset == all.Offset)
                {
                    response.StatusCode = StatusCodes.Status206PartialContent;
                    DirectBlob.Describe(response, all.Length, stream.MediaType);
                    response.Headers.ContentRange = string.Create(CultureInfo.InvariantCulture, $"bytes {all.Offset}-{all.End - 1}/{stream.Size}");
                }

                response.BodyWriter.Advance(length);
                offset += length;
            }
        }
        catch (FrameLostException)
        {
        }

        return offset - chunk.Offset;
    }

    /// <summary>
    /// What a connection asked for last, and what that means: most clients ask for it again and again, with other ranges. Kept
    /// as long as the connection, with the secrets that are in it.
    /// </summary>
    /// <param name="Target">The target of the request line.</param>
    /// <param name="Authorization">What came with it.</param>
    /// <param name="Url">The URL behind the prefix.</param>
    /// <param name="Digest">The content that it is believed to name; none: the URL itself is read.</param>
    /// <param name="Reference">The digest of its bytes as a registry writes it; empty when there is none.</param>
    private sealed record LastAsked(string Target, StringValues Authorization, Uri Url, Digest Digest, string Reference)
    {
        public bool IsFor(string target, StringValues authorization) => Target == target && Authorization == authorization;
    }

    private static partial class Log
    {
        [LoggerMessage(10, LogLevel.Debug, "{Method} blob {Url} {Digest}")]
        public static partial void Asked(ILogger logger, string method, GivenUrl url, Digest digest);

        [LoggerMessage(12, LogLevel.Warning, "Blobs of {Scheme}://{Host} are not read: it is neither in Peerd:Blobs:Hosts nor in Peerd:Blobs:MoreHosts")]
        public static partial void Refused(ILogger logger, string scheme, string host);

        [LoggerMessage(13, LogLevel.Warning, "Blobs of {Scheme}://{Host} are read for each container and not shared, for anybody can put things there: let the registry keep them at a host of its own, and add that to Peerd:Blobs:MoreHosts")]
        public static partial void NotShared(ILogger logger, string scheme, string host);

        [LoggerMessage(14, LogLevel.Warning, "Some blobs of {Scheme}://{Host} are read for each container and not shared, for their URLs do not tell for sure what they lead to: {Reason}")]
        public static partial void UrlNotShared(ILogger logger, string scheme, string host, string reason);

        [LoggerMessage(11, LogLevel.Warning, "{Url} cut: neither the mesh nor the URL has the rest, or what was sent may be wrong")]
        public static partial void Truncated(ILogger logger, GivenUrl url);
    }
}
