using Microsoft.Extensions.Options;
using Peerd.Node.Content;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>
/// containerd's registry mirror: <c>GET</c> and <c>HEAD</c> below <c>/v2</c>. Decides on the whole head of an answer before
/// its first byte leaves, because containerd asks nobody else afterwards. Thread-safe; one for all connections.
/// </summary>
internal sealed partial class RegistryFacade(IContentReader contents, IOrigin origin, TagResolver tags, IOptions<FacadeOptions> options, FacadeMetrics metrics, ILogger<RegistryFacade> logger)
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

        Log.Asked(logger, context.TraceIdentifier, context.Request.Method, target.Kind, registry, target.Repository, target.Reference);
        if (target.Registry is not null)
        {
            context.Response.Headers[RegistryHeaders.Namespace] = registry;
        }

        if (target.Kind is RequestKind.Tags or RequestKind.Referrers)
        {
            await _lists.AnswerAsync(context, target, registry, deadline);
            return;
        }

        var outcome = target.Kind == RequestKind.Manifest
            ? await _manifests.AnswerAsync(context, target, registry, deadline)
            : await _blobs.AnswerAsync(context, target, registry, deadline);
        if (outcome == CopyOutcome.SourceFailed)
        {
            metrics.Truncated(isBlob: false);
            Log.Truncated(logger, context.TraceIdentifier, registry, target.Repository, target.Reference);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Debug, "{Request} {Method} {Kind} {Registry}/{Repository} {Reference}")]
        public static partial void Asked(ILogger logger, string request, string method, RequestKind kind, string registry, string repository, string reference);

        [LoggerMessage(3, LogLevel.Warning, "{Request} {Registry}/{Repository} {Reference} cut: no source has the rest, or the whole does not match its digest; the client is made to come back")]
        public static partial void Truncated(ILogger logger, string request, string registry, string repository, string reference);
    }
}
