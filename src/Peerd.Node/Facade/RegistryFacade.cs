using System.Net;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.Options;
using Peerd.Node.Content;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>
/// containerd's registry mirror: <c>GET</c> and <c>HEAD</c> below <c>/v2</c>. Decides on the whole head of an answer before
/// its first byte leaves, because containerd asks nobody else afterwards. Thread-safe; one for all connections.
/// </summary>
internal sealed partial class RegistryFacade(
    IContentReader contents,
    IOrigin origin,
    IOptions<FacadeOptions> options,
    FacadeMetrics metrics,
    TimeProvider time,
    ILogger<RegistryFacade> logger)
{
    private readonly BlobEndpoint _blobs = new(contents);
    private readonly ManifestEndpoint _manifests = new(contents, origin);
    private readonly string _defaultRegistry = options.Value.DefaultRegistry.ToLowerInvariant();

    /// <summary>Answers one request; a terminal handler. Throws only what Kestrel must see to close the connection.</summary>
    public async Task HandleAsync(HttpContext context)
    {
        var started = time.GetTimestamp();
        var aborted = context.RequestAborted;
        using var deadline = new CancellationTokenSource(options.Value.AnswerTimeoutValue, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(aborted, deadline.Token);
        try
        {
            // Kestrel's lowest rate counts from the answer's start and would punish a client for our own slow source.
            // A client that takes nothing at all is noticed by the read path.
            if (context.Features.Get<IHttpMinResponseDataRateFeature>() is { } rate)
            {
                rate.MinDataRate = null;
            }

            RegistryAnswer.Prepare(context);
            await AnswerAsync(context, either.Token);
        }
        catch (OperationCanceledException) when (aborted.IsCancellationRequested)
        {
            // The client is gone; what was being done for it has been told by the token.
            context.Abort();
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested && !context.Response.HasStarted)
        {
            await RegistryAnswer.WriteErrorAsync(context, new RegistryError(HttpStatusCode.GatewayTimeout, RegistryError.Unavailable, "neither the mesh nor the registry answered in time"));
        }
        catch (Exception e) when (!context.Response.HasStarted)
        {
            Log.Failed(logger, e, context.TraceIdentifier);
            await RegistryAnswer.WriteErrorAsync(context, new RegistryError(HttpStatusCode.InternalServerError, RegistryError.Unknown, "internal error"));
        }
        finally
        {
            var took = time.GetElapsedTime(started);
            var code = aborted.IsCancellationRequested && !context.Response.HasStarted ? StatusCodes.Status499ClientClosedRequest : context.Response.StatusCode;
            metrics.Answered(code, took);
            Log.Answered(logger, context.TraceIdentifier, code, took.TotalMilliseconds);
        }
    }

    private async Task AnswerAsync(HttpContext context, CancellationToken deadline)
    {
        var method = context.Request.Method;
        if (!HttpMethods.IsGet(method) && !HttpMethods.IsHead(method))
        {
            await RegistryAnswer.WriteErrorAsync(context, new RegistryError(HttpStatusCode.MethodNotAllowed, RegistryError.Unsupported, "this mirror is read only"), ("Allow", "GET, HEAD"));
            return;
        }

        if (RegistryAnswer.HasRequestBody(context))
        {
            // No client sends one with a read. Two programs that differ on where it ends are how requests are smuggled.
            await RegistryAnswer.WriteErrorAsync(context, RegistryError.BadRequest(RegistryError.Unsupported, "a read has no body"));
            return;
        }

        if (!RequestTarget.TryParse(context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget, out var target, out var error))
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
            await RegistryAnswer.WriteErrorAsync(context, RegistryError.NotFound(RegistryError.Unsupported, "this mirror serves manifests and blobs only"));
            return;
        }

        var registry = target.Registry ?? _defaultRegistry;
        if (!origin.Serves(registry))
        {
            await RegistryAnswer.WriteErrorAsync(context, RegistryError.NotFound(RegistryError.NameUnknown, $"registry {registry} is not configured on this node"));
            return;
        }

        Log.Asked(logger, context.TraceIdentifier, method, target.Kind, registry, target.Repository, target.Reference);
        if (target.Registry is not null)
        {
            context.Response.Headers[RegistryHeaders.Namespace] = registry;
        }

        var outcome = target.Kind == RequestKind.Manifest
            ? await _manifests.AnswerAsync(context, target, registry, deadline)
            : await _blobs.AnswerAsync(context, target, registry, deadline);
        if (outcome == CopyOutcome.SourceFailed)
        {
            metrics.Truncated();
            Log.Truncated(logger, context.TraceIdentifier, registry, target.Repository, target.Reference);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Debug, "{Request} {Method} {Kind} {Registry}/{Repository} {Reference}")]
        public static partial void Asked(ILogger logger, string request, string method, RequestKind kind, string registry, string repository, string reference);

        [LoggerMessage(2, LogLevel.Debug, "{Request} answered {Status} after {Milliseconds} ms")]
        public static partial void Answered(ILogger logger, string request, int status, double milliseconds);

        [LoggerMessage(3, LogLevel.Warning, "{Request} {Registry}/{Repository} {Reference} cut: no source has the rest, or the whole does not match its digest; the client is made to come back")]
        public static partial void Truncated(ILogger logger, string request, string registry, string repository, string reference);

        [LoggerMessage(4, LogLevel.Error, "{Request} failed unexpectedly")]
        public static partial void Failed(ILogger logger, Exception exception, string request);
    }
}
