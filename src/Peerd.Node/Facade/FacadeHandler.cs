using System.Diagnostics;
using System.Net;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.Options;
using Peerd.Node.Content;
using Peerd.Node.Origin;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Facade;

/// <summary>
/// All requests of the facade: sends each to whom it is for, bounds the wait for the head of its answer, and sees to it
/// that each has an answer. Thread-safe; one for all connections.
/// </summary>
internal sealed partial class FacadeHandler(
    RegistryFacade registry, BlobFacade blobs, IOptions<FacadeOptions> options, IOptions<BlobOptions> blobOptions, FacadeLoad load, FacadeMetrics metrics, OwnRequest own, TimeProvider time, ILogger<FacadeHandler> logger)
{
    private readonly TimeSpan _timeout = options.Value.AnswerTimeoutValue;
    private readonly TimeSpan _blobTimeout = blobOptions.Value.AnswerTimeoutValue;

    /// <summary>Answers one request; a terminal handler. Throws only what Kestrel must see to close the connection.</summary>
    public async Task HandleAsync(HttpContext context)
    {
        var hasRoom = load.TryEnter();
        var place = context.Features.Get<FacadeConnections.Place>();
        place?.BeginRequest();
        try
        {
            load.Count(context);
            await HandleAsync(context, hasRoom, place?.TakeWaited() ?? TimeSpan.Zero);
        }
        finally
        {
            place?.EndRequest();
            if (hasRoom)
            {
                load.Leave();
            }
        }
    }

    private async Task HandleAsync(HttpContext context, bool hasRoom, TimeSpan waited)
    {
        var started = time.GetTimestamp();
        var request = FacadeRequest.Begin(context);
        using var scope = logger.BeginScope(request);
        var aborted = context.RequestAborted;
        var isBlob = TargetOf(context).StartsWith(BlobUrl.Prefix, StringComparison.Ordinal);
        var isOwn = own.Is(request);
        using var span = isOwn ? null : Traces.Begin(isBlob ? "facade blobs" : "facade v2", context.Request.Headers.TraceParent is [var traceparent] ? traceparent : null);
        using var deadline = new CancellationTokenSource(LeftOf(isBlob ? _blobTimeout : _timeout, waited), time);
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
            if (!hasRoom && !isOwn)
            {
                metrics.Overloaded(isBlob);
            }

            await AnswerAsync(context, isBlob, hasRoom || isOwn, waited, either.Token);
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
            Log.Failed(logger, e);
            await RegistryAnswer.WriteErrorAsync(context, new RegistryError(HttpStatusCode.InternalServerError, RegistryError.Unknown, "internal error"));
        }
        finally
        {
            var took = time.GetElapsedTime(started);
            var code = aborted.IsCancellationRequested && !context.Response.HasStarted ? StatusCodes.Status499ClientClosedRequest : context.Response.StatusCode;
            if (!isOwn)
            {
                metrics.Answered(isBlob, request.Source, code, took, isOverload: !hasRoom && !isBlob);
                Log.Answered(logger, code, took.TotalMilliseconds);
            }

            if (span is { IsAllDataRequested: true })
            {
                Describe(span, context, request, code);
            }

            if (code >= StatusCodes.Status500InternalServerError && (hasRoom || isBlob))
            {
                Log.Unserved(logger, code, isBlob ? BlobUrl.Prefix : TargetOf(context).Split('?', 2)[0], request.Failure);
            }
        }
    }

    /// <summary>The request target as the client sent it.</summary>
    public static string TargetOf(HttpContext context) => context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;

    /// <summary>What is left of the time for an answer when its client has waited before; half of it at least, or he would have waited for nothing.</summary>
    internal static TimeSpan LeftOf(TimeSpan timeout, TimeSpan waited) => waited < timeout / 2 ? timeout - waited : timeout / 2;

    // Not the target: all of it may be secret.
    private static void Describe(Activity span, HttpContext context, FacadeRequest request, int code)
    {
        var method = context.Request.Method;
        span.SetTag(Traces.Method, HttpMethods.IsGet(method) || HttpMethods.IsHead(method) ? method : "_OTHER")
            .SetTag(Traces.Status, code)
            .SetTag(Traces.Source, ServedBytes.LabelOf(request.Source))
            .SetTag(Traces.RequestId, request.Id);
        if (code >= StatusCodes.Status500InternalServerError)
        {
            span.SetStatus(ActivityStatusCode.Error);
        }
    }

    private async Task AnswerAsync(HttpContext context, bool isBlob, bool hasRoom, TimeSpan waited, CancellationToken deadline)
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

        if (!hasRoom && !isBlob)
        {
            // containerd asks the registry itself at once.
            await RegistryAnswer.WriteErrorAsync(context, new RegistryError(HttpStatusCode.ServiceUnavailable, RegistryError.Unavailable, "this node has too much to do (Peerd:Limits)"));
            return;
        }

        await (isBlob ? blobs.AnswerAsync(context, isDirect: !hasRoom, waited, deadline) : registry.AnswerAsync(context, deadline));
    }

    private static partial class Log
    {
        [LoggerMessage(2, LogLevel.Debug, "Answered {Status} after {Milliseconds} ms")]
        public static partial void Answered(ILogger logger, int status, double milliseconds);

        // Of what is asked for below /blobs the URL may be secret as a whole.
        [LoggerMessage(3, LogLevel.Warning, "Answered {Status} to {Target}: {Reason}")]
        public static partial void Unserved(ILogger logger, int status, string target, string? reason);

        [LoggerMessage(4, LogLevel.Error, "The request failed unexpectedly")]
        public static partial void Failed(ILogger logger, Exception exception);
    }
}
