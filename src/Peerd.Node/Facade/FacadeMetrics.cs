using System.Diagnostics.Metrics;
using System.Globalization;
using Peerd.Node.Content;
using Peerd.Node.Storage;

namespace Peerd.Node.Facade;

/// <summary>Instruments of the facade. Thread-safe.</summary>
internal sealed class FacadeMetrics
{
    public const string MeterName = "Peerd";
    public const string RequestsName = "peerd.facade.requests";
    public const string DurationName = "peerd.facade.duration";
    public const string TruncatedName = "peerd.facade.truncated";
    public const string AccessChecksName = "peerd.facade.access.checks";
    public const string TagsName = "peerd.tags.resolved";
    public const string BlobReadsName = "peerd.blobs.reads";
    public const string FailedName = "peerd.facade.failed";
    public const string ShedName = "peerd.facade.shed";
    public const string OverloadedName = "peerd.facade.overloaded";

    private static readonly KeyValuePair<string, object?> Registry = new("facade", "v2");
    private static readonly KeyValuePair<string, object?> Blobs = new("facade", "blobs");
    private static readonly KeyValuePair<string, object?> Local = new("source", "local");
    private static readonly KeyValuePair<string, object?> Mesh = new("source", "mesh");
    private static readonly KeyValuePair<string, object?> Origin = new("source", "origin");

    /// <summary>What the facade answers itself, and what registries usually answer: any other status that is passed on is "other".</summary>
    private static readonly HashSet<int> UsualCodes = [200, 206, 304, 400, 401, 403, 404, 405, 408, 409, 410, 416, 429, 499, 500, 501, 502, 503, 504];

    private readonly Counter<long> _requests;
    private readonly Histogram<double> _duration;
    private readonly Counter<long> _truncated;
    private readonly Counter<long> _blobReads;
    private readonly Counter<long> _accessChecks;
    private readonly Counter<long> _tags;
    private long _failures;
    private readonly Counter<long> _failed;
    private readonly Counter<long> _shed;
    private readonly Counter<long> _overloaded;

    public FacadeMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(MeterName);
        _requests = meter.CreateCounter<long>(RequestsName, "{request}", "Requests answered, by status code (499: the client left before the answer; other: an unusual one) and by the furthest source of the bytes of the answer");
        _duration = meter.CreateHistogram(
            DurationName,
            "s",
            "Time from a request to the end of its answer, by the furthest source of the bytes of the answer",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300] });
        _blobReads = meter.CreateCounter<long>(BlobReadsName, "{read}", "Ranges read below /blobs, by the furthest that one needed: local, when all bytes were here; mesh, when they came in time; origin, when the URL itself was read");
        _accessChecks = meter.CreateCounter<long>(
            AccessChecksName, "{check}", "Whether a client may have a content: allowed or refused by the origin, remembered, known while the origin is down, or unavailable");
        _tags = meter.CreateCounter<long>(TagsName, "{tag}", "Tags asked for: origin, when the registry told; stale_local and stale_mesh, when it is down and this node or another knew; failed");
        _truncated = meter.CreateCounter<long>(TruncatedName, "{request}", "Answers that ended early because no source had the rest");
        _failed = meter.CreateCounter<long>(FailedName, "{request}", "Requests that neither the mesh nor the origin could serve: status 5xx, or cut");
        _shed = meter.CreateCounter<long>(ShedName, "{connection}", "Connections closed without an answer because too many are open");
        _overloaded = meter.CreateCounter<long>(OverloadedName, "{request}", "Requests that were sent to the registry because this node had too much to do: v2 by a 503, blobs by reading the URL itself");

        // What never happened counts as 0 and not as unknown.
        foreach (var facade in (ReadOnlySpan<KeyValuePair<string, object?>>)[Registry, Blobs])
        {
            _truncated.Add(0, facade);
            _failed.Add(0, facade);
            _overloaded.Add(0, facade);
        }

        foreach (var source in (ReadOnlySpan<KeyValuePair<string, object?>>)[Local, Mesh, Origin])
        {
            _blobReads.Add(0, source);
        }

        foreach (var result in (string[])["allowed", "refused", "remembered", "known", "unavailable"])
        {
            AccessChecked(result, 0);
        }

        foreach (var source in Enum.GetValues<TagSource>())
        {
            TagResolved(source, 0);
        }

        _shed.Add(0);
    }

    /// <summary>Requests so far that no source could serve, or not to their end.</summary>
    public long Failures => Interlocked.Read(ref _failures);

    /// <summary>A request is over.</summary>
    public void Answered(bool isBlob, ByteSource source, int code, TimeSpan duration, bool isOverload)
    {
        // Who is sent to the registry because there is too much to do is no failure: it is counted as what it is.
        var isFailure = code >= StatusCodes.Status500InternalServerError && !isOverload;
        if (isFailure)
        {
            Interlocked.Increment(ref _failures);
        }

        var facade = isBlob ? Blobs : Registry;
        var from = new KeyValuePair<string, object?>("source", ServedBytes.LabelOf(source));
        _requests.Add(1, facade, from, new KeyValuePair<string, object?>("code", UsualCodes.Contains(code) ? code.ToString(CultureInfo.InvariantCulture) : "other"));
        _duration.Record(duration.TotalSeconds, facade, from);
        if (isFailure)
        {
            _failed.Add(1, facade);
        }
    }

    /// <summary>A connection was closed because too many are open.</summary>
    public void Shed() => _shed.Add(1);

    /// <summary>A request is sent on because there is too much to do.</summary>
    public void Overloaded(bool isBlob) => _overloaded.Add(1, isBlob ? Blobs : Registry);

    /// <summary>A range below /blobs was read, or is about to be read from the URL itself; once for each.</summary>
    public void BlobRead(BlobSource source) => _blobReads.Add(1, source switch
    {
        BlobSource.Local => Local,
        BlobSource.Mesh => Mesh,
        _ => Origin,
    });

    /// <summary>It was found out whether a client may have a content.</summary>
    public void AccessChecked(string result, int count = 1) => _accessChecks.Add(count, new KeyValuePair<string, object?>("result", result));

    /// <summary>A tag was resolved, or was not.</summary>
    public void TagResolved(TagSource source, int count = 1) => _tags.Add(count, new KeyValuePair<string, object?>("result", source switch
    {
        TagSource.Origin => "origin",
        TagSource.StaleLocal => "stale_local",
        TagSource.StaleMesh => "stale_mesh",
        _ => "failed",
    }));

    /// <summary>An answer had to be cut.</summary>
    public void Truncated(bool isBlob)
    {
        Interlocked.Increment(ref _failures);
        _truncated.Add(1, isBlob ? Blobs : Registry);
        _failed.Add(1, isBlob ? Blobs : Registry);
    }
}
