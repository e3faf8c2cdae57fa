using System.Diagnostics.Metrics;
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

    private readonly Counter<long> _bytes;
    private readonly Counter<long> _requests;
    private readonly Counter<long> _unasked;
    private long _readBytes;

    public OriginMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(MeterName);
        _bytes = meter.CreateCounter<long>(BytesName, "By", "Bytes of bodies read from registries and their stores.");
        _requests = meter.CreateCounter<long>(RequestsName, "{request}", "Requests to registries and their stores by status code; 'error' when no answer came.");
        _unasked = meter.CreateCounter<long>(UnaskedName, "{answer}", "Answers given without asking a registry, by result: not_found, paused, queue_full.");
    }

    /// <summary>Bytes read since the start.</summary>
    public long ReadBytes => Interlocked.Read(ref _readBytes);

    public void Read(int bytes)
    {
        Interlocked.Add(ref _readBytes, bytes);
        _bytes.Add(bytes);
    }

    public void Answered(HttpStatusCode status) => Count(Enum.IsDefined(status) ? ((int)status).ToString() : "other");

    public void Failed() => Count("error");

    public void Unasked(UnaskedReason reason) => _unasked.Add(1, new KeyValuePair<string, object?>("result", reason switch
    {
        UnaskedReason.NotFound => "not_found",
        UnaskedReason.Paused => "paused",
        _ => "queue_full",
    }));

    private void Count(string code) => _requests.Add(1, new KeyValuePair<string, object?>("code", code));
}
