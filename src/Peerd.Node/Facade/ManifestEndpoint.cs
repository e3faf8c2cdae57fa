using System.Globalization;
using System.IO.Pipelines;
using Peerd.Contracts;
using Peerd.Node.Content;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>
/// Answers <c>/v2/&lt;name&gt;/manifests/&lt;tag or digest&gt;</c>. A tag is resolved at the origin each time, for only the
/// origin knows where it points now; while it is down, the answer says that it may be stale. The manifest itself comes by its digest from the read path and is sent only when it
/// was found to match.
/// </summary>
internal sealed class ManifestEndpoint(IContentReader contents, TagResolver tags)
{
    private static readonly PipeOptions Unpaused = new(pauseWriterThreshold: 0, minimumSegmentSize: 64 * 1024, useSynchronizationContext: false);

    /// <param name="context">The exchange.</param>
    /// <param name="target">A manifest.</param>
    /// <param name="registry">Registry that serves it.</param>
    /// <param name="credential">What the client brought for the registry; null when it is read with what this node has.</param>
    /// <param name="deadline">Ends the wait for the head of the answer.</param>
    /// <returns>How the body went; complete when there is none.</returns>
    public async Task<CopyOutcome> AnswerAsync(HttpContext context, RequestTarget target, string registry, CallerCredential? credential, CancellationToken deadline)
    {
        var isHead = HttpMethods.IsHead(context.Request.Method);
        var reference = new OriginReference(registry, target.Repository, OriginKind.Manifest, target.Reference) { Credential = credential };
        Digest digest;
        string? mediaType;
        if (target.Digest.IsEmpty)
        {
            var resolved = await tags.ResolveAsync(reference, deadline);
            if (resolved.Error is { } refusal)
            {
                return await RefuseAsync(context, refusal);
            }

            if (resolved.Age is { } age)
            {
                SayStale(context.Response, age);
            }

            digest = resolved.Digest;
            mediaType = Specific(resolved.MediaType);
            if (isHead && mediaType is not null && resolved.Size is { } size)
            {
                return Describe(context.Response, digest, mediaType, size);
            }
        }
        else
        {
            digest = target.Digest;
            mediaType = null;
            if (isHead)
            {
                var facts = await contents.StatAsync(new ContentRequest(digest, reference), deadline);
                if (Refusal(facts) is { } refusal)
                {
                    return await RefuseAsync(context, refusal);
                }

                if (Specific(facts.MediaType) is { } known)
                {
                    return Describe(context.Response, digest, known, facts.Size);
                }
            }
        }

        var request = new ContentRequest(digest, reference with { Reference = digest.ToString() });
        return await SendAsync(context, request, mediaType, isHead, deadline);
    }

    private async Task<CopyOutcome> SendAsync(HttpContext context, ContentRequest request, string? mediaType, bool isHead, CancellationToken deadline)
    {
        await using var reading = await contents.OpenAsync(request, range: null, deadline);
        if (Refusal(reading.Facts) is { } refusal)
        {
            return await RefuseAsync(context, refusal);
        }

        if (!await reading.WaitVerifiedAsync(deadline))
        {
            return await RefuseAsync(context, reading.Failure is { } failure
                ? RegistryError.Of(failure, OriginKind.Manifest)
                : RegistryError.BadGateway(RegistryError.Unavailable, "no source has the manifest, or what they have does not match the digest"));
        }

        mediaType ??= Specific(reading.Facts.MediaType) ?? await DetectAsync(reading, deadline);
        if (mediaType is null)
        {
            return await RefuseAsync(context, RegistryError.NotFound(RegistryError.ManifestUnknown, "the content is no manifest"));
        }

        Describe(context.Response, request.Digest, mediaType, reading.Facts.Size);
        return isHead ? CopyOutcome.Complete : await ContentBody.SendAsync(context, reading, new ByteRange(0, reading.Facts.Size));
    }

    private static async Task<string?> DetectAsync(IContentReading reading, CancellationToken deadline)
    {
        // Bounded: the size was checked, and the reading ends with the range.
        var pipe = new Pipe(Unpaused);
        var outcome = await reading.PeekAsync(pipe.Writer, new ByteRange(0, reading.Facts.Size), deadline);
        await pipe.Writer.CompleteAsync();
        var read = await pipe.Reader.ReadAsync(deadline);
        var mediaType = outcome == CopyOutcome.Complete ? ManifestMediaType.Detect(read.Buffer) : null;
        await pipe.Reader.CompleteAsync();
        return mediaType;
    }

    private static RegistryError? Refusal(ContentFacts facts) =>
        !facts.IsFound ? RegistryError.Of(facts, OriginKind.Manifest)
        : facts.Size > FacadeOptions.MaxManifestSize
            ? RegistryError.NotFound(RegistryError.ManifestUnknown, $"the content is no manifest: it has {facts.Size} bytes, more than {FacadeOptions.MaxManifestSize}")
            : null;

    private static string? Specific(string? mediaType) => ManifestMediaType.IsSpecific(mediaType) ? mediaType : null;

    private static async Task<CopyOutcome> RefuseAsync(HttpContext context, RegistryError error)
    {
        await RegistryAnswer.WriteErrorAsync(context, error);
        return CopyOutcome.Complete;
    }

    // 299 is the code for what the specification has no code for, and the only one that it lets clients show.
    private static void SayStale(HttpResponse response, TimeSpan age)
    {
        var seconds = ((long)age.TotalSeconds).ToString(CultureInfo.InvariantCulture);
        response.Headers[RegistryHeaders.StaleSeconds] = seconds;
        response.Headers.Warning = $"299 - \"the registry is down: the tag is where it was {seconds} s ago\"";
    }

    private static CopyOutcome Describe(HttpResponse response, Digest digest, string mediaType, long size)
    {
        response.ContentType = mediaType;
        response.ContentLength = size;
        response.Headers[RegistryHeaders.ContentDigest] = digest.ToString();
        return CopyOutcome.Complete;
    }
}
