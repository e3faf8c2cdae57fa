using System.Globalization;
using System.Net;
using Microsoft.Net.Http.Headers;
using Peerd.Contracts;
using Peerd.Node.Content;
using Peerd.Node.Limits;
using Peerd.Node.Origin;
using Peerd.Node.Storage;

namespace Peerd.Node.Facade;

/// <summary>
/// Passes on what a given URL answers: its bytes where it has them, its status where it refuses. Nothing of it is kept or
/// shared. Bytes of a range are never passed on as anything else than exactly that range.
/// </summary>
internal sealed class DirectBlob(IOrigin origin, FacadeMetrics metrics, ServedBytes served, HeldMemory memory, TimeProvider time)
{
    private const int BlockSize = 64 * 1024;

    /// <summary>How often what is left of a body is asked for when the source breaks off, each time after less than a block.</summary>
    private const int MaxTries = 3;

    /// <summary>So much of what is here is put into an answer before the client has to take it.</summary>
    private const int WriteSize = 4 * BlockSize;

    /// <summary>
    /// Ranges of up to so many bytes are here before their head is sent: overlaybd reads no more at once, and may take a part for the whole.
    /// Those that ask for more are passed on as they come, however few bytes there are: so much was not announced to be held.
    /// </summary>
    private const int MaxHeld = 4 * 1024 * 1024;

    /// <summary>
    /// Ranges of up to so many bytes wait for no place, as most reads of overlaybd are no larger: one host that is silent would keep those of
    /// all others from being read. Each connection has one at a time, and what is held for it is counted when its first bytes are here.
    /// </summary>
    private const int MaxWithoutPlace = BlockSize;

    /// <summary>Answers a HEAD.</summary>
    public async Task HeadAsync(HttpContext context, OriginReference reference, CancellationToken deadline)
    {
        await using var answer = await origin.StatAsync(reference, deadline);
        if (answer.Outcome == OriginOutcome.Ok)
        {
            Describe(context.Response, answer.TotalSize, answer.MediaType);
            return;
        }

        await RefuseAsync(context, answer);
    }

    /// <summary>Answers a GET.</summary>
    /// <param name="context">The exchange.</param>
    /// <param name="reference">With a given URL.</param>
    /// <param name="range">What the client asks for; null for all.</param>
    /// <param name="deadline">Ends the wait for the head of the answer.</param>
    /// <param name="digest">What all of it must be, if that is known: else the client does not get its end.</param>
    /// <param name="told">Bytes of the content as others tell, behind which the range begins: the answer when the URL gives none. Null when that is not so.</param>
    public async Task SendAsync(
        HttpContext context, OriginReference reference, RequestedRange? range, CancellationToken deadline, Digest digest = default, long? told = null)
    {
        reference = reference with { IsUrgent = true };
        ByteRange? wanted = null;
        if (range is { } asked)
        {
            wanted = asked.IsSuffix ? await SuffixAsync(context, reference, asked, deadline) : asked.Resolve(long.MaxValue);
            if (wanted is null)
            {
                // Of a suffix that is answered already; else no content is so long.
                if (!asked.IsSuffix)
                {
                    await RefuseAsync(context, new OriginResponse { Outcome = OriginOutcome.Refused, Status = HttpStatusCode.RequestedRangeNotSatisfiable });
                }

                return;
            }
        }

        var mayHold = wanted is { Length: <= MaxHeld };

        // Before the URL is asked, or those who wait for a place would keep an answer that others wait for.
        using var place = wanted is { } needed ? await EnterAsync(needed.Length, deadline) : null;
        var answer = await origin.ReadAsync(reference, wanted, deadline);
        try
        {
            // Of what ends with the connection, as all does for HTTP/1.0, nobody sees that it was cut.
            if (wanted is null && answer is { Outcome: OriginOutcome.Ok, TotalSize: null } && !HttpProtocol.IsHttp10(context.Request.Protocol))
            {
                Describe(context.Response, length: null, answer.MediaType);
                await EndAsync(context, await CopyUnsizedAsync(context, reference, answer, digest, deadline));
                return;
            }

            if (answer is not { Outcome: OriginOutcome.Ok, TotalSize: { } total })
            {
                await RefuseAsync(context, answer is { Outcome: OriginOutcome.Unreachable, IsOwnWord: false } && told is { } size ? BehindTheEnd(size) : answer);
                return;
            }

            // Some caches cap what they answer; the client asked for more, and believes that it got it.
            var all = wanted is { } part ? ByteRange.FromBounds(answer.Range.Offset, Math.Min(part.Length > long.MaxValue - part.Offset ? long.MaxValue : part.End, total)) : answer.Range;
            if (mayHold)
            {
                using var held = PooledBuffer.Rent((int)all.Length);
                place?.Holds();
                var bytes = held.Memory[..(int)all.Length];
                var filled = await ReadAsync(answer, bytes, deadline);
                Describe(context.Response, answer, all, isPart: true);

                // Before the rest is asked for, or those who wait for a place would wait for each other.
                await answer.DisposeAsync();
                if (filled < bytes.Length && await FillAsync(bytes[filled..], ByteRange.FromBounds(all.Offset + filled, all.End), total, reference, deadline) is { } refusal)
                {
                    await RefuseAsync(context, refusal);
                    return;
                }

                await WriteAsync(context, bytes);
                return;
            }

            place?.Dispose();
            using var check = wanted is null && !digest.IsEmpty ? new WholeCheck(digest, total) : null;
            if (check is { IsWrong: true })
            {
                await RefuseAsync(context, new OriginResponse { Outcome = OriginOutcome.Unreachable, Error = $"{reference.Given} has no bytes, and what is asked for has some" });
                return;
            }

            Describe(context.Response, answer, all, isPart: wanted is not null);
            var rest = ByteRange.FromBounds(all.Offset + await CopyAsync(context, answer, check, deadline), all.End);
            await answer.DisposeAsync();
            var fault = check is { IsWrong: true } ? Wrong(reference)
                : rest.IsEmpty ? null
                : await CopyRestAsync(context, reference, rest, total, check, deadline);
            await EndAsync(context, fault);
        }
        finally
        {
            await answer.DisposeAsync();
        }
    }

    /// <summary>All is sent if there is no fault; else the client is told of it, or sees that its answer ends too early.</summary>
    private async Task EndAsync(HttpContext context, OriginResponse? fault)
    {
        if (fault is not null && !context.Response.HasStarted)
        {
            await RefuseAsync(context, fault);
        }
        else if (fault is not null)
        {
            // The client must not take the part for the whole.
            metrics.Truncated(isBlob: true);
            context.Abort();
        }
    }

    private async ValueTask<HeldPlace?> EnterAsync(long length, CancellationToken deadline) =>
        length <= MaxWithoutPlace ? null : await memory.EnterAsync(length <= MaxHeld ? length : 0, deadline);

    /// <summary>False when the client takes no more.</summary>
    private async Task<bool> WriteAsync(HttpContext context, ReadOnlyMemory<byte> bytes)
    {
        var writer = context.Response.BodyWriter;
        for (var written = 0; written < bytes.Length;)
        {
            // Not all in one span: it would be held twice, and the second time in nobody's account.
            for (var end = Math.Min(bytes.Length, written + WriteSize); written < end;)
            {
                var block = bytes.Span[written..Math.Min(end, written + BlockSize)];
                block.CopyTo(writer.GetSpan(block.Length));
                writer.Advance(block.Length);
                Served(context, block.Length);
                written += block.Length;
            }

            if (!await ClientFlush.SendAsync(context, time))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The head of an answer with bytes of a blob, of the mesh or of a URL.</summary>
    /// <param name="response">The answer.</param>
    /// <param name="length">Bytes that it has; null when only its end tells, and nothing of parts can be promised.</param>
    /// <param name="mediaType">Media type of the whole; null when unknown.</param>
    public static void Describe(HttpResponse response, long? length, string? mediaType)
    {
        response.ContentType = mediaType ?? "application/octet-stream";
        if (mediaType is not null)
        {
            // Whoever told it: a browser takes it for nothing else, and for no page of this node.
            response.Headers.XContentTypeOptions = "nosniff";
            response.Headers.ContentSecurityPolicy = "sandbox";
        }

        response.ContentLength = length;
        if (length is not null)
        {
            response.Headers.AcceptRanges = "bytes";
        }
    }

    private static void Describe(HttpResponse response, OriginResponse answer, ByteRange bytes, bool isPart)
    {
        Describe(response, bytes.Length, answer.MediaType);
        if (isPart)
        {
            response.StatusCode = StatusCodes.Status206PartialContent;
            response.Headers.ContentRange = string.Create(CultureInfo.InvariantCulture, $"bytes {bytes.Offset}-{bytes.End - 1}/{answer.TotalSize}");
        }
    }

    /// <summary>Reads a range, from several answers when they break off; null, or what is to be told when these do not help.</summary>
    private async Task<OriginResponse?> FillAsync(Memory<byte> buffer, ByteRange range, long size, OriginReference reference, CancellationToken deadline)
    {
        for (var tries = 0; tries < MaxTries; tries++)
        {
            await using var answer = await origin.ReadAsync(reference, range, deadline);
            if (answer.Outcome != OriginOutcome.Ok || answer.Range.Offset != range.Offset || answer.TotalSize != size)
            {
                return OfTheRest(answer, reference);
            }

            var filled = await ReadAsync(answer, buffer, deadline);
            tries = filled >= BlockSize ? 0 : tries;
            buffer = buffer[filled..];
            range = ByteRange.FromBounds(range.Offset + filled, range.End);
            if (buffer.IsEmpty)
            {
                return null;
            }
        }

        return BreaksOff(reference);
    }

    private static async Task<int> ReadAsync(OriginResponse answer, Memory<byte> buffer, CancellationToken deadline)
    {
        var filled = 0;
        try
        {
            int read;
            while (filled < buffer.Length && (read = await answer.Body.ReadAsync(buffer[filled..], deadline)) > 0)
            {
                filled += read;
            }
        }
        catch (IOException)
        {
        }

        return filled;
    }

    /// <summary>Sends the rest of a body, which mostly has begun; null, or what is to be told if it has not when the URL does not have the rest.</summary>
    /// <param name="context">The exchange.</param>
    /// <param name="reference">With a given URL.</param>
    /// <param name="rest">What the client still lacks.</param>
    /// <param name="size">Bytes of the whole.</param>
    /// <param name="check">Has seen all before the rest, to compare the whole; null when the client does not read the whole.</param>
    /// <param name="deadline">Ends the wait for the first bytes, if nothing was sent yet; <c>default</c> when the client has the beginning.</param>
    public async Task<OriginResponse?> CopyRestAsync(
        HttpContext context, OriginReference reference, ByteRange rest, long size, WholeCheck? check = null, CancellationToken deadline = default)
    {
        reference = reference with { IsUrgent = true };
        for (var tries = 0; tries < MaxTries; tries++)
        {
            await using var answer = await origin.ReadAsync(reference, rest, Patience(context, deadline));
            if (answer.Outcome != OriginOutcome.Ok || answer.Range.Offset != rest.Offset || answer.TotalSize != size)
            {
                return OfTheRest(answer, reference);
            }

            var copied = await CopyAsync(context, answer, check, deadline);
            if (check is { IsWrong: true })
            {
                return Wrong(reference);
            }

            tries = copied >= BlockSize ? 0 : tries;
            rest = ByteRange.FromBounds(rest.Offset + copied, rest.End);
            if (rest.IsEmpty)
            {
                return null;
            }
        }

        return BreaksOff(reference);
    }

    /// <summary>The same for a body of which nothing was sent, and nothing is before all of the rest is here; null, or what went wrong.</summary>
    public async Task<OriginResponse?> SendRestAtOnceAsync(HttpContext context, OriginReference reference, ByteRange rest, long size, CancellationToken deadline)
    {
        using var place = await EnterAsync(rest.Length, deadline);
        using var held = PooledBuffer.Rent((int)rest.Length);
        place?.Holds();
        var bytes = held.Memory[..(int)rest.Length];
        if (await FillAsync(bytes, rest, size, reference with { IsUrgent = true }, deadline) is { } refusal)
        {
            return refusal;
        }

        await WriteAsync(context, bytes);
        return null;
    }

    /// <summary>The last bytes, whose place is known with the size only; null when that is answered already.</summary>
    private async Task<ByteRange?> SuffixAsync(HttpContext context, OriginReference reference, RequestedRange range, CancellationToken deadline)
    {
        await using var answer = await origin.StatAsync(reference, deadline);
        if (answer is not { Outcome: OriginOutcome.Ok, TotalSize: { } size })
        {
            await RefuseAsync(context, answer);
            return null;
        }

        if (range.Resolve(size) is { IsEmpty: false } bytes)
        {
            return bytes;
        }

        await RefuseAsync(context, BehindTheEnd(size));
        return null;
    }

    /// <summary>How many bytes could be copied: all, as long as the source does not break off, the client does not leave and the whole is right.</summary>
    private async Task<long> CopyAsync(HttpContext context, OriginResponse answer, WholeCheck? check, CancellationToken deadline)
    {
        var writer = context.Response.BodyWriter;
        var copied = 0L;
        try
        {
            while (true)
            {
                var block = writer.GetMemory(BlockSize);
                var read = await answer.Body.ReadAsync(block, Patience(context, deadline));
                if (read == 0 || check?.Add(block.Span[..read]) == false)
                {
                    break;
                }

                writer.Advance(read);
                Served(context, read);
                copied += read;
                if (!await ClientFlush.SendAsync(context, time))
                {
                    throw new OperationCanceledException(context.RequestAborted);
                }
            }
        }
        catch (IOException)
        {
        }

        return copied;
    }

    /// <summary>
    /// Sends a body whose length nobody has told, each block when the next one or the end is here, so that the last one is sent only when all
    /// came and matches the digest, if there is one. Null, or what went wrong; what breaks off cannot be continued without its length.
    /// </summary>
    private async Task<OriginResponse?> CopyUnsizedAsync(HttpContext context, OriginReference reference, OriginResponse answer, Digest digest, CancellationToken deadline)
    {
        using var hash = digest.IsEmpty ? null : digest.CreateHash();
        using var held = PooledBuffer.Rent(2 * BlockSize);
        var (last, next) = (held.Memory[..BlockSize], held.Memory[BlockSize..(2 * BlockSize)]);
        var length = 0;
        try
        {
            int read;
            while ((read = await answer.Body.ReadAsync(next, Patience(context, deadline))) > 0)
            {
                hash?.AppendData(next.Span[..read]);
                if (!await WriteAsync(context, last[..length]))
                {
                    throw new OperationCanceledException(context.RequestAborted);
                }

                (last, next, length) = (next, last, read);
            }
        }
        catch (IOException)
        {
            return new OriginResponse { Outcome = OriginOutcome.Unreachable, Error = $"{reference.Given} breaks off, and has not told how long it is" };
        }

        if (hash is not null && !digest.Matches(hash))
        {
            return Wrong(reference);
        }

        await WriteAsync(context, last[..length]);
        return null;
    }

    // The head goes out with the first bytes: before, another answer is still possible, and the client waits for one.
    private static CancellationToken Patience(HttpContext context, CancellationToken deadline) => context.Response.HasStarted || !deadline.CanBeCanceled ? context.RequestAborted : deadline;

    private void Served(HttpContext context, int bytes)
    {
        served.Add(ByteSource.Origin, bytes);
        FacadeRequest.CameFrom(context, ByteSource.Origin);
    }

    private static OriginResponse BehindTheEnd(long size) => new() { Outcome = OriginOutcome.Refused, Status = HttpStatusCode.RequestedRangeNotSatisfiable, TotalSize = size, Error = $"the blob has {size} bytes" };

    // The client has not asked for the range that is refused then.
    private static OriginResponse OfTheRest(OriginResponse answer, OriginReference reference) =>
        answer.Status != HttpStatusCode.RequestedRangeNotSatisfiable ? answer
        : new OriginResponse { Outcome = OriginOutcome.Unreachable, Error = $"{reference.Given} has less than it said" };

    private static OriginResponse BreaksOff(OriginReference reference) => new() { Outcome = OriginOutcome.Unreachable, Error = $"{reference.Given} breaks off again and again" };

    private static OriginResponse Wrong(OriginReference reference) => new() { Outcome = OriginOutcome.Unreachable, Error = $"{reference.Given} has other bytes than what is asked for" };

    private static Task RefuseAsync(HttpContext context, OriginResponse answer)
    {
        // The same status: only then does the client find out a new URL, or give up.
        var status = answer.Outcome == OriginOutcome.Refused ? answer.Status : HttpStatusCode.BadGateway;
        var message = answer.Error.Length > 0 ? answer.Error : "the host of the blob gave no usable answer";
        (string, string)? header = answer is { Status: HttpStatusCode.RequestedRangeNotSatisfiable, TotalSize: { } size } ? (HeaderNames.ContentRange, $"bytes */{size}") : null;
        return RegistryAnswer.WriteErrorAsync(context, new RegistryError(status, CodeOf(status), message, answer.RetryAfter), header);
    }

    private static string CodeOf(HttpStatusCode status) => status switch
    {
        HttpStatusCode.Unauthorized => RegistryError.Unauthorized,
        HttpStatusCode.Forbidden => RegistryError.Denied,
        HttpStatusCode.NotFound or HttpStatusCode.Gone => RegistryError.BlobUnknown,
        HttpStatusCode.RequestedRangeNotSatisfiable => RegistryError.RangeInvalid,
        HttpStatusCode.TooManyRequests => RegistryError.TooManyRequests,
        _ => RegistryError.Unavailable,
    };
}
