using System.Diagnostics.Metrics;
using System.Globalization;
using System.Net;

namespace Peerd.Node.Origin;

/// <summary>Why an answer was given without asking the origin.</summary>
internal enum UnaskedReason
{
    /// <summary>The origin said a moment ago that it has no such thing.</summary>
    NotFound,

    /// <summary>The origin asked for a pause.</summary>
    Paused,

    /// <summary>Too many requests wait already.</summary>
    QueueFull,
}

/// <summary>What was asked of and read from the origin.</summary>
internal sealed class OriginMetrics
{
    public const string MeterName = "Peerd";
    public const string BytesName = "peerd.origin.bytes";
    public const string RequestsName = "peerd.origin.requests";
    public const string UnaskedName = "peerd.origin.unasked";
    public const string DurationName = "peerd.origin.duration";

    private const string OtherCode = "other";

    private readonly Counter<long> _bytes;
    private readonly Counter<long> _requests;
    private readonly Counter<long> _unasked;
    private readonly Histogram<double> _duration;
    private long _readBytes;

    public OriginMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(MeterName);
        _bytes = meter.CreateCounter<long>(BytesName, "By", "Bytes of bodies read from registries and their stores.");
        _requests = meter.CreateCounter<long>(RequestsName, "{request}", "Requests to registries and their stores by status code; 'other' for one that HTTP has no name for, 'error' when no answer came.");
        _unasked = meter.CreateCounter<long>(UnaskedName, "{answer}", "Answers given without asking a registry, by result: not_found, paused, queue_full.");
        _duration = meter.CreateHistogram(
            DurationName,
            "s",
            "Time from a request to a registry or its store to the head of the answer, or until there is none.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.005, 0.02, 0.1, 0.5, 2, 10, 30] });

        // What never happened counts as 0 and not as unknown.
        _bytes.Add(0);
        Count("200", 0);
        Count(OtherCode, 0);
        Count("error", 0);
        foreach (var reason in Enum.GetValues<UnaskedReason>())
        {
            Unasked(reason, 0);
        }
    }

    /// <summary>Bytes read since the start.</summary>
    public long ReadBytes => Interlocked.Read(ref _readBytes);

    public void Read(int bytes)
    {
        Interlocked.Add(ref _readBytes, bytes);
        _bytes.Add(bytes);
    }

    /// <summary>The head of an answer is here.</summary>
    public void Answered(HttpStatusCode status, TimeSpan took)
    {
        Count(Enum.IsDefined(status) ? ((int)status).ToString(CultureInfo.InvariantCulture) : OtherCode);
        _duration.Record(took.TotalSeconds);
    }

    /// <summary>There is no answer.</summary>
    public void Failed(TimeSpan took)
    {
        Count("error");
        _duration.Record(took.TotalSeconds);
    }

    public void Unasked(UnaskedReason reason, int count = 1) => _unasked.Add(count, new KeyValuePair<string, object?>("result", reason switch
    {
        UnaskedReason.NotFound => "not_found",
        UnaskedReason.Paused => "paused",
        _ => "queue_full",
    }));

    private void Count(string code, int count = 1) => _requests.Add(count, new KeyValuePair<string, object?>("code", code));
}
