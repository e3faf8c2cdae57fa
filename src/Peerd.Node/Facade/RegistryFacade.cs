using System.Net;
using Microsoft.Extensions.Options;
using Peerd.Node.Content;
using Peerd.Node.Limits;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>
/// containerd's registry mirror: <c>GET</c> and <c>HEAD</c> below <c>/v2</c>. Decides on the whole head of an answer before
/// its first byte leaves, because containerd asks nobody else afterwards. Thread-safe; one for all connections.
/// </summary>
internal sealed partial class RegistryFacade(
    IContentReader contents, IOrigin origin, TagResolver tags, AccessCheck access, OriginSettings origins, IOptions<FacadeOptions> options, FacadeMetrics metrics, ILogger<RegistryFacade> logger)
{
    private readonly BlobEndpoint _blobs = new(contents);
    private readonly ManifestEndpoint _manifests = new(contents, tags);
    private readonly ListEndpoint _lists = new(origin);
    private readonly string _defaultRegistry = options.Value.DefaultRegistry.ToLowerInvariant();

    /// <summary>Answers a GET or HEAD.</summary>
    /// <param name="context">The exchange.</param>
    /// <param name="deadline">Ends the wait for the head of the answer.</param>
    public async Task AnswerAsync(HttpContext context, CancellationToken deadline)
    {
        if (!RequestTarget.TryParse(FacadeHandler.TargetOf(context), out var target, out var error))
        {
            await RegistryAnswer.WriteErrorAsync(context, error);
            return;
        }

        if (target.Kind == RequestKind.Version)
        {
            await RegistryAnswer.WriteVersionAsync(context);
            return;
        }

        if (target.Kind == RequestKind.NotServed)
        {
            await RegistryAnswer.WriteErrorAsync(context, RegistryError.NotFound(RegistryError.Unsupported, "this mirror serves manifests, blobs, lists of tags and referrers only"));
            return;
        }

        var registry = target.Registry ?? _defaultRegistry;
        if (!origin.Serves(registry))
        {
            await RegistryAnswer.WriteErrorAsync(context, RegistryError.NotFound(RegistryError.NameUnknown, $"registry {registry} is not configured on this node"));
            return;
        }

        if (context.Request.Headers.Authorization.Count > 1)
        {
            await RegistryAnswer.WriteErrorAsync(context, RegistryError.BadRequest(RegistryError.Unauthorized, "more than one Authorization"));
            return;
        }

        Log.Asked(logger, context.Request.Method, target.Kind, registry, target.Repository, target.Reference);
        if (target.Registry is not null)
        {
            context.Response.Headers[RegistryHeaders.Namespace] = registry;
        }

        var takesPasswords = origins.RelayBasic && IsFromThisMachine(context);
        context.Items[RegistryAnswer.TakesPasswords] = takesPasswords;
        var caller = CallerOf(context.Request, takesPasswords);
        var relayed = origin.Relays(registry) ? caller : null;
        if (target.Kind is RequestKind.Tags or RequestKind.Referrers)
        {
            await _lists.AnswerAsync(context, target, registry, access.IsOn ? caller : relayed, deadline);
            return;
        }

        var kind = target.Kind == RequestKind.Manifest ? OriginKind.Manifest : OriginKind.Blob;
        if (await access.RefusalAsync(new OriginReference(registry, target.Repository, kind, target.Reference) { Credential = caller }, deadline) is { } refusal)
        {
            await RegistryAnswer.WriteErrorAsync(context, RegistryError.Of(refusal, kind));
            return;
        }

        var outcome = kind == OriginKind.Manifest
            ? await _manifests.AnswerAsync(context, target, registry, relayed, deadline)
            : await _blobs.AnswerAsync(context, target, registry, relayed, deadline);
        if (outcome == CopyOutcome.SourceFailed)
        {
            metrics.Truncated(isBlob: false);
            Log.Truncated(logger, registry, target.Repository, target.Reference);
        }
    }

    // Passwords only from where they may be asked for.
    private static CallerCredential CallerOf(HttpRequest request, bool takesPasswords) =>
        request.Headers.Authorization is [{ Length: > 0 } value]
        && (value.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) || (takesPasswords && value.StartsWith("Basic ", StringComparison.OrdinalIgnoreCase)))
            ? new CallerCredential(value)
            : CallerCredential.None;

    private static bool IsFromThisMachine(HttpContext context) =>
        context.Connection.RemoteIpAddress is { } address && IPAddress.IsLoopback(CallerAddress.Plain(address));

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Debug, "{Method} {Kind} {Registry}/{Repository} {Reference}")]
        public static partial void Asked(ILogger logger, string method, RequestKind kind, string registry, string repository, string reference);

        [LoggerMessage(3, LogLevel.Warning, "{Registry}/{Repository} {Reference} cut: no source has the rest, or the whole does not match its digest; the client is made to come back")]
        public static partial void Truncated(ILogger logger, string registry, string repository, string reference);
    }
}
