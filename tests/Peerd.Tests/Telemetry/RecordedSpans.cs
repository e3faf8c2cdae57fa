using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Peerd.Node.Telemetry;

namespace Peerd.Tests.Telemetry;

/// <summary>
/// The spans of one trace, as the nodes of this process end them. Other tests run meanwhile: only what is of the trace is
/// recorded. Dispose it to stop.
/// </summary>
internal sealed class RecordedSpans : IDisposable
{
    private readonly ActivityListener _listener;
    private readonly ConcurrentQueue<Activity> _spans = new();

    public RecordedSpans()
    {
        _listener = new ActivityListener
        {
            ShouldListenTo = static source => source.Name == Traces.SourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> options) =>
                options.Parent.TraceId == Trace && options.Parent.TraceFlags.HasFlag(ActivityTraceFlags.Recorded) ? ActivitySamplingResult.AllDataAndRecorded : ActivitySamplingResult.None,
            ActivityStopped = span =>
            {
                if (span.TraceId == Trace)
                {
                    _spans.Enqueue(span);
                }
            },
        };
        ActivitySource.AddActivityListener(_listener);
    }

    public ActivityTraceId Trace { get; } = ActivityTraceId.CreateRandom();

    /// <summary>The span of the client of the nodes, in which all begins.</summary>
    public ActivitySpanId Client { get; } = ActivitySpanId.CreateRandom();

    /// <summary>What the client sends.</summary>
    public string Traceparent => string.Create(CultureInfo.InvariantCulture, $"00-{Trace}-{Client}-01");

    public IReadOnlyList<Activity> All => [.. _spans];

    public IEnumerable<Activity> Named(string name) => _spans.Where(span => span.OperationName == name);

    public void Dispose() => _listener.Dispose();
}
