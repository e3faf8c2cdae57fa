using System.Globalization;
using Microsoft.Extensions.Options;
using Peerd.Contracts;

namespace Peerd.Node.Telemetry;

/// <summary>Section <c>Peerd:Telemetry</c>: where traces and metrics are sent, besides what Prometheus is offered.</summary>
internal sealed class TelemetryOptions
{
    public const string Section = "Peerd:Telemetry";
    public const string Grpc = "grpc";
    public const string Http = "http";

    /// <summary>Where an OTLP receiver listens, as <c>http(s)://host:port</c>; empty (default) for none: nothing is traced then, and nothing sent.</summary>
    public string OtlpEndpoint { get; set; } = string.Empty;

    /// <summary><c>grpc</c> (default, usually port 4317) or <c>http</c>, which is protobuf over HTTP/1.1 (usually port 4318).</summary>
    public string OtlpProtocol { get; set; } = Grpc;

    /// <summary>Share of the requests that are traced, 0 to 1; default 0.05. A client that sends a traceparent decides itself.</summary>
    public string SamplingRatio { get; set; } = "0.05";

    /// <summary>How often metrics are sent, 1s to 1h; default <c>60s</c>. <c>0s</c>: never.</summary>
    public string MetricsInterval { get; set; } = "60s";

    /// <summary>The endpoint; null when there is none or it is wrong.</summary>
    internal Uri? Endpoint =>
        Uri.TryCreate(OtlpEndpoint, UriKind.Absolute, out var url) && url is { Scheme: "http" or "https", PathAndQuery: "/", UserInfo.Length: 0, Fragment.Length: 0 } ? url : null;

    /// <summary>The ratio; null when it is wrong.</summary>
    internal double? Ratio => double.TryParse(SamplingRatio, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var ratio) && ratio is >= 0 and <= 1 ? ratio : null;

    /// <summary>The interval; zero when nothing is to be sent or it is wrong.</summary>
    internal TimeSpan MetricsIntervalValue => Duration.TryParse(MetricsInterval, out var interval) ? interval : TimeSpan.Zero;
}

/// <summary>Checks <see cref="TelemetryOptions"/> at start; tells all faults at once.</summary>
internal sealed class TelemetryOptionsValidator : IValidateOptions<TelemetryOptions>
{
    public ValidateOptionsResult Validate(string? name, TelemetryOptions options)
    {
        var faults = new SettingFaults(TelemetryOptions.Section);
        if (options.OtlpEndpoint.Length > 0 && options.Endpoint is null)
        {
            faults.Add(nameof(options.OtlpEndpoint), options.OtlpEndpoint, "http://host:port or https://host:port, without user, path and query");
        }

        if (options.OtlpProtocol is not (TelemetryOptions.Grpc or TelemetryOptions.Http))
        {
            faults.Add(nameof(options.OtlpProtocol), options.OtlpProtocol, $"{TelemetryOptions.Grpc}, {TelemetryOptions.Http}");
        }

        if (options.Ratio is null)
        {
            faults.Add(nameof(options.SamplingRatio), options.SamplingRatio, "a number from 0 to 1, such as 0.05");
        }

        if (options.MetricsInterval != "0s")
        {
            faults.ReadDuration(nameof(options.MetricsInterval), options.MetricsInterval, TimeSpan.FromSeconds(1), TimeSpan.FromHours(1));
        }

        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);
    }
}
