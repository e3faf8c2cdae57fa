using System.Diagnostics;
using Microsoft.Extensions.Options;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Peerd.Node.Telemetry;

/// <summary>Registers what tells of the node: metrics for Prometheus, and with an endpoint traces and metrics by OTLP.</summary>
internal static class TelemetryServices
{
    private const string ServiceName = "peerd";

    // Gauges of the runtime that nobody needs, with names that Prometheus has for a part of a histogram: its checks refuse the page for them.
    private static readonly string[] Misnamed = ["dotnet.assembly.count", "dotnet.process.cpu.count", "dotnet.timer.count"];

    /// <summary>
    /// An instrument has so many series at most, and what is beyond that is counted in one. Room for all of them is taken when it is made, for 2,000 by
    /// default: ten megabytes for all instruments. None has more than 200, requests of the facade by code and source.
    /// </summary>
    private const int MostSeries = 256;

    /// <summary>So many wait to be sent at most; what comes beyond that is dropped.</summary>
    private const int QueuedSpans = 2048;

    /// <summary>A request to the collector is given up after so long.</summary>
    private const int SendMilliseconds = 3000;

    /// <summary>Adds metrics and traces, configured by section <c>Peerd:Telemetry</c> of <paramref name="configuration"/> (the root).</summary>
    /// <param name="services">Of the node.</param>
    /// <param name="configuration">The root.</param>
    /// <param name="version">Of the program.</param>
    /// <param name="nodeName">Tells which node this is.</param>
    public static IServiceCollection AddTelemetry(this IServiceCollection services, IConfiguration configuration, string version, Func<IServiceProvider, string> nodeName)
    {
        services.AddOptions<TelemetryOptions>().Bind(configuration.GetSection(TelemetryOptions.Section)).ValidateOnStart();
        services.AddSingleton<IValidateOptions<TelemetryOptions>, TelemetryOptionsValidator>();
        services.AddMetrics();
        services.AddSingleton<IntegrityFailures>();

        // What is wrong is told at the start.
        var options = configuration.GetSection(TelemetryOptions.Section).Get<TelemetryOptions>() ?? new TelemetryOptions();
        var telemetry = services.AddOpenTelemetry()
            .WithMetrics(metrics =>
            {
                metrics.AddMeter("Peerd", "System.Runtime").AddPrometheusExporter(prometheus => prometheus.ScrapeEndpointPath = "/metrics/prometheus");
                metrics.AddView(static instrument => Misnamed.Contains(instrument.Name) ? MetricStreamConfiguration.Drop : new MetricStreamConfiguration { CardinalityLimit = MostSeries });
            });
        if (options is not { Endpoint: { } endpoint, Ratio: { } ratio })
        {
            return services;
        }

        services.AddHostedService<TelemetryEnd>();
        services.ConfigureOpenTelemetryTracerProvider((provider, traces) => traces.ConfigureResource(resource => Describe(resource, provider)));
        services.ConfigureOpenTelemetryMeterProvider((provider, metrics) => metrics.ConfigureResource(resource => Describe(resource, provider)));
        telemetry.WithTracing(traces => traces
            .AddSource(Traces.SourceName)
            .SetSampler(new ParentBasedSampler(new TraceIdRatioBasedSampler(ratio)))
            .AddOtlpExporter(exporter => SendTo(exporter, endpoint, options.OtlpProtocol, "v1/traces")));
        if (options.MetricsIntervalValue > TimeSpan.Zero)
        {
            telemetry.WithMetrics(metrics => metrics.AddOtlpExporter((exporter, reader) =>
            {
                SendTo(exporter, endpoint, options.OtlpProtocol, "v1/metrics");
                reader.PeriodicExportingMetricReaderOptions.ExportIntervalMilliseconds = (int)options.MetricsIntervalValue.TotalMilliseconds;
                reader.PeriodicExportingMetricReaderOptions.ExportTimeoutMilliseconds = SendMilliseconds;
            }));
        }

        return services;

        void Describe(ResourceBuilder resource, IServiceProvider provider) =>
            resource.AddService(ServiceName, serviceVersion: version, autoGenerateServiceInstanceId: false, serviceInstanceId: nodeName(provider));
    }

    private static void SendTo(OtlpExporterOptions exporter, Uri endpoint, string protocol, string path)
    {
        var isGrpc = protocol == TelemetryOptions.Grpc;
        exporter.Protocol = isGrpc ? OtlpExportProtocol.Grpc : OtlpExportProtocol.HttpProtobuf;
        exporter.Endpoint = isGrpc ? endpoint : new Uri(endpoint, path);
        exporter.TimeoutMilliseconds = SendMilliseconds;
        exporter.ExportProcessorType = ExportProcessorType.Batch;
        exporter.BatchExportProcessorOptions = new BatchExportProcessorOptions<Activity>
        {
            MaxQueueSize = QueuedSpans,
            ExporterTimeoutMilliseconds = SendMilliseconds,
        };
    }
}
