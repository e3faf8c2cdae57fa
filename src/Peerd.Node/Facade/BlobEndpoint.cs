using System.Globalization;
using Microsoft.Net.Http.Headers;
using Peerd.Contracts;
using Peerd.Node.Content;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>Answers <c>/v2/&lt;name&gt;/blobs/&lt;digest&gt;</c>: whole blobs and single ranges, from the read path.</summary>
internal sealed class BlobEndpoint(IContentReader contents)
{
    /// <param name="context">The exchange.</param>
    /// <param name="target">A blob.</param>
    /// <param name="registry">Registry that serves it.</param>
    /// <param name="credential">What the client brought for the registry; null when it is read with what this node has.</param>
    /// <param name="deadline">Ends the wait for the head of the answer.</param>
    /// <returns>How the body went; complete when there is none.</returns>
    public async Task<CopyOutcome> AnswerAsync(HttpContext context, RequestTarget target, string registry, CallerCredential? credential, CancellationToken deadline)
    {
        var request = new ContentRequest(target.Digest, new OriginReference(registry, target.Repository, OriginKind.Blob, target.Reference) { Credential = credential });
        var entityTag = $"\"{target.Reference}\"";
        if (HttpMethods.IsHead(context.Request.Method))
        {
            var found = await contents.StatAsync(request, deadline);
            if (!found.IsFound)
            {
                await RegistryAnswer.WriteErrorAsync(context, RegistryError.Of(found, OriginKind.Blob));
                return CopyOutcome.Complete;
            }

            Describe(context.Response, target.Reference, entityTag, found.Size, found.MediaType);
            return CopyOutcome.Complete;
        }

        return await GetAsync(context, request, entityTag, deadline) ?? await GetAsync(context, request, entityTag, deadline, isLast: true) ?? CopyOutcome.Complete;
    }

    /// <summary>Null: the size that was told is wrong, and nothing was sent; it is known now.</summary>
    private async Task<CopyOutcome?> GetAsync(HttpContext context, ContentRequest request, string entityTag, CancellationToken deadline, bool isLast = false)
    {
        var wanted = WantedRange(context.Request, entityTag);
        await using var reading = await contents.OpenAsync(request, wanted is { } known ? size => known.Resolve(size) ?? new ByteRange(size, 0) : null, deadline);
        if (!reading.Facts.IsFound)
        {
            await RegistryAnswer.WriteErrorAsync(context, RegistryError.Of(reading.Facts, OriginKind.Blob));
            return CopyOutcome.Complete;
        }

        var total = reading.Facts.Size;
        var range = wanted is { } some ? some.Resolve(total) : new ByteRange(0, total);
        if (range is not { } bytes)
        {
            await RefuseRangeAsync(context, total);
            return CopyOutcome.Complete;
        }

        Describe(context.Response, request.Origin.Reference, entityTag, bytes.Length, reading.Facts.MediaType);
        // Of a first attempt with another size.
        context.Response.StatusCode = StatusCodes.Status200OK;
        context.Response.Headers.Remove(HeaderNames.ContentRange);
        if (wanted is not null && total > 0)
        {
            context.Response.StatusCode = StatusCodes.Status206PartialContent;
            context.Response.Headers.ContentRange = string.Create(CultureInfo.InvariantCulture, $"bytes {bytes.Offset}-{bytes.End - 1}/{total}");
        }

        return await ContentBody.SendAsync(context, reading, bytes, isLast);
    }

    private static RequestedRange? WantedRange(HttpRequest request, string entityTag)
    {
        // Our only validator is the strong tag; any other, dates included, means: the whole, if it is not that.
        var condition = request.Headers.IfRange;
        return condition.Count == 0 || (condition.Count == 1 && condition[0] == entityTag) ? RequestedRange.Parse(request.Headers.Range) : null;
    }

    private static void Describe(HttpResponse response, string digest, string entityTag, long length, string? mediaType)
    {
        DirectBlob.Describe(response, length, mediaType);
        response.Headers[RegistryHeaders.ContentDigest] = digest;
        response.Headers.ETag = entityTag;
    }

    private static Task RefuseRangeAsync(HttpContext context, long total)
    {
        var error = new RegistryError(System.Net.HttpStatusCode.RequestedRangeNotSatisfiable, RegistryError.RangeInvalid, $"the blob has {total} bytes");
        return RegistryAnswer.WriteErrorAsync(context, error, (HeaderNames.ContentRange, $"bytes */{total}"));
    }
}
