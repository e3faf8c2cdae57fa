using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Peerd.EndToEnd.Harness.Otlp;

/// <summary>A span, and which node has sent it.</summary>
internal sealed record ReceivedSpan(string Node, Span Span)
{
    public string Trace { get; } = Convert.ToHexStringLower(Span.TraceId.Span);

    public string Id { get; } = Convert.ToHexStringLower(Span.SpanId.Span);

    public string Parent { get; } = Convert.ToHexStringLower(Span.ParentSpanId.Span);

    public string this[string attribute] => Span.Attributes.FirstOrDefault(known => known.Key == attribute)?.Value is { } value
        ? value.ValueCase == AnyValue.ValueOneofCase.StringValue ? value.StringValue : value.ToString()
        : string.Empty;
}

/// <summary>A collector that keeps all that it is sent, by gRPC and by protobuf over HTTP/1.1.</summary>
internal sealed class OtlpReceiver : IAsyncDisposable
{
    private const int GrpcPrefix = 5;

    private readonly WebApplication _app;

    private OtlpReceiver(WebApplication app, Uri grpc, Uri http)
    {
        _app = app;
        Grpc = grpc;
        Http = http;
    }

    public Uri Grpc { get; }

    public Uri Http { get; }

    public ConcurrentQueue<ReceivedSpan> Spans { get; } = new();

    /// <summary>Metrics and the node that sent each.</summary>
    public ConcurrentQueue<(string Node, Metric Metric)> Metrics { get; } = new();

    /// <summary>All bodies as they came, and the headers that came with them.</summary>
    public ConcurrentQueue<(byte[] Body, IReadOnlyDictionary<string, string> Headers)> Raw { get; } = new();

    public static async Task<OtlpReceiver> StartAsync()
    {
        var (grpc, http) = (FreePorts.Take(), FreePorts.Take());
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, grpc, listen => listen.Protocols = HttpProtocols.Http2);
            kestrel.Listen(IPAddress.Loopback, http, listen => listen.Protocols = HttpProtocols.Http1);
        });
        var app = builder.Build();
        var receiver = new OtlpReceiver(app, new Uri($"http://127.0.0.1:{grpc}"), new Uri($"http://127.0.0.1:{http}"));
        app.Run(receiver.TakeAsync);
        await app.StartAsync();
        return receiver;
    }

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _app.StopAsync(now.Token);
        await _app.DisposeAsync();
    }

    private async Task TakeAsync(HttpContext context)
    {
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body, context.RequestAborted);
        var bytes = body.ToArray();
        Raw.Enqueue((bytes, context.Request.Headers.ToDictionary(header => header.Key, header => header.Value.ToString(), StringComparer.OrdinalIgnoreCase)));
        switch (context.Request.Path.Value)
        {
            case "/opentelemetry.proto.collector.trace.v1.TraceService/Export":
                TakeTraces(MessageOf(bytes));
                await AnswerGrpcAsync(context);
                break;
            case "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export":
                TakeMetrics(MessageOf(bytes));
                await AnswerGrpcAsync(context);
                break;
            case "/v1/traces":
                TakeTraces(bytes);
                break;
            case "/v1/metrics":
                TakeMetrics(bytes);
                break;
            default:
                context.Response.StatusCode = StatusCodes.Status404NotFound;
                break;
        }
    }

    private void TakeTraces(ReadOnlySpan<byte> message)
    {
        foreach (var resource in ExportTraces.Parser.ParseFrom(message).ResourceSpans)
        {
            foreach (var span in resource.ScopeSpans.SelectMany(scope => scope.Spans))
            {
                Spans.Enqueue(new ReceivedSpan(NodeOf(resource.Resource), span));
            }
        }
    }

    private void TakeMetrics(ReadOnlySpan<byte> message)
    {
        foreach (var resource in ExportMetrics.Parser.ParseFrom(message).ResourceMetrics)
        {
            foreach (var metric in resource.ScopeMetrics.SelectMany(scope => scope.Metrics))
            {
                Metrics.Enqueue((NodeOf(resource.Resource), metric));
            }
        }
    }

    private static string NodeOf(Resource resource) => resource.Attributes.FirstOrDefault(attribute => attribute.Key == "service.instance.id")?.Value.StringValue ?? string.Empty;

    // One byte that tells of compression, four of the length.
    private static ReadOnlySpan<byte> MessageOf(byte[] body) => body.AsSpan(GrpcPrefix, BinaryPrimitives.ReadInt32BigEndian(body.AsSpan(1)));

    private static async Task AnswerGrpcAsync(HttpContext context)
    {
        context.Response.ContentType = "application/grpc";
        context.Response.DeclareTrailer("grpc-status");
        await context.Response.Body.WriteAsync(new byte[GrpcPrefix], context.RequestAborted);
        context.Response.AppendTrailer("grpc-status", "0");
    }
}
