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
        var digest = target.Digest;
        var type = default(KnownType);
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
            var mediaType = Specific(resolved.MediaType);
            type = resolved.Age is null ? new KnownType(Asked: mediaType, Told: null) : new KnownType(Asked: null, Told: mediaType);
            if (isHead && mediaType is not null && resolved.Size is { } size)
            {
                return Describe(context.Response, digest, mediaType, size);
            }
        }

        var request = new ContentRequest(digest, reference with { Reference = digest.ToString() });
        return await SendAsync(context, request, type, isHead, deadline)
            ?? await SendAsync(context, request, type, isHead, deadline, isLast: true)
            ?? CopyOutcome.Complete;
    }

    /// <summary>
    /// A HEAD of a digest, too, is answered with nothing that was only told: a wrong size or type makes clients fail, and they do
    /// not ask anybody else then. Null: the size that was told is wrong, and nothing was sent; it is known now.
    /// </summary>
    private async Task<CopyOutcome?> SendAsync(HttpContext context, ContentRequest request, KnownType type, bool isHead, CancellationToken deadline, bool isLast = false)
    {
        await using var reading = await contents.OpenAsync(request, range: null, deadline);
        if (Refusal(reading.Facts) is { } refusal)
        {
            return await RefuseAsync(context, refusal);
        }

        if (!await reading.WaitVerifiedAsync(deadline))
        {
            if (reading.IsSizeDisputed && !isLast)
            {
                return null;
            }

            return await RefuseAsync(context, reading.Failure is { } failure
                ? RegistryError.Of(failure, OriginKind.Manifest)
                : RegistryError.BadGateway(RegistryError.Unavailable, "no source has the manifest, or what they have does not match the digest"));
        }

        // Its bytes match the digest; what others say of it need not.
        if ((type.Asked ?? await DetectAsync(reading, deadline) ?? type.Told ?? Specific(reading.Facts.MediaType)) is not { } mediaType)
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

    /// <param name="Asked">What the registry said to the question for the tag; null when it was not asked.</param>
    /// <param name="Told">What it said once, maybe to another member.</param>
    private readonly record struct KnownType(string? Asked, string? Told);

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
