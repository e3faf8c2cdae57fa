using System.Diagnostics.Metrics;

namespace Peerd.Node.Facade;

/// <summary>Instruments of the facade. Thread-safe.</summary>
internal sealed class FacadeMetrics
{
    public const string MeterName = "Peerd";
    public const string RequestsName = "peerd.facade.requests";
    public const string DurationName = "peerd.facade.duration";
    public const string TruncatedName = "peerd.facade.truncated";

    private static readonly KeyValuePair<string, object?> Registry = new("facade", "v2");

    private readonly Counter<long> _requests;
    private readonly Histogram<double> _duration;
    private readonly Counter<long> _truncated;

    public FacadeMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(MeterName);
        _requests = meter.CreateCounter<long>(RequestsName, "{request}", "Requests answered, by status code; 499: the client left before the answer");
        _duration = meter.CreateHistogram(
            DurationName,
            "s",
            "Time from a request to the end of its answer",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300] });
        _truncated = meter.CreateCounter<long>(TruncatedName, "{request}", "Answers that ended early because no source had the rest");
    }

    /// <summary>A request is over.</summary>
    public void Answered(int code, TimeSpan duration)
    {
        _requests.Add(1, Registry, new KeyValuePair<string, object?>("code", code));
        _duration.Record(duration.TotalSeconds, Registry);
    }

    /// <summary>An answer had to be cut.</summary>
    public void Truncated() => _truncated.Add(1, Registry);
}
