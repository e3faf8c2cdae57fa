using System.Diagnostics.Metrics;
using System.Net;

namespace Peerd.Node.Origin;

/// <summary>What was asked of and read from the origin.</summary>
internal sealed class OriginMetrics
{
    public const string MeterName = "Peerd";
    public const string BytesName = "peerd.origin.bytes";
    public const string RequestsName = "peerd.origin.requests";

    private readonly Counter<long> _bytes;
    private readonly Counter<long> _requests;
    private long _readBytes;

    public OriginMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(MeterName);
        _bytes = meter.CreateCounter<long>(BytesName, "By", "Bytes of bodies read from registries and their stores.");
        _requests = meter.CreateCounter<long>(RequestsName, "{request}", "Requests to registries and their stores by status code; 'error' when no answer came.");
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

    private void Count(string code) => _requests.Add(1, new KeyValuePair<string, object?>("code", code));
}
