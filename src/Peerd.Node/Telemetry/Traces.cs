using System.Diagnostics;

namespace Peerd.Node.Telemetry;

/// <summary>
/// The spans of this program: what is done for one request is one trace, across nodes. Without anybody who listens all of it is null and costs
/// nothing. Spans tell digests and the names of nodes and hosts, never URLs, paths, credentials or texts of errors.
/// </summary>
internal static class Traces
{
    public const string SourceName = "Peerd";
    public const string Digest = "peerd.digest";
    public const string Offset = "peerd.offset";
    public const string Length = "peerd.length";
    public const string Outcome = "peerd.outcome";
    public const string Peer = "peerd.peer";
    public const string Source = "peerd.source";
    public const string RequestId = "peerd.request.id";
    public const string Method = "http.request.method";
    public const string Status = "http.response.status_code";
    public const string Host = "server.address";

    /// <summary>Of a traceparent of version 00, the only one that is understood.</summary>
    private const int ParentLength = 55;

    private static readonly ActivitySource Spans = new(SourceName);

    /// <summary>What is traced here and now; default when that is nothing.</summary>
    public static ActivityContext Current => Activity.Current is { Recorded: true } current ? current.Context : default;

    /// <summary>Begins what a client asks for, in its own trace if it tells one (W3C Trace Context, section 3.2). Dispose it at the end.</summary>
    public static Activity? Begin(string name, string? traceparent) =>
        Spans.HasListeners() ? Spans.StartActivity(name, ActivityKind.Server, TryParse(traceparent, out var parent) ? parent : default) : null;

    /// <summary>Begins what another node asks for; null unless it tells a trace that is recorded.</summary>
    public static Activity? Serve(string name, string traceparent) =>
        traceparent.Length > 0 && Spans.HasListeners() && TryParse(traceparent, out var parent) && parent.TraceFlags.HasFlag(ActivityTraceFlags.Recorded)
            ? Spans.StartActivity(name, ActivityKind.Server, parent)
            : null;

    /// <summary>Begins a part of what is traced here and now; null when that is nothing.</summary>
    public static Activity? Step(string name, ActivityKind kind) => Step(name, kind, Current);

    /// <summary>Begins a part of something else; null when that is nothing.</summary>
    public static Activity? Step(string name, ActivityKind kind, ActivityContext parent) => parent != default ? Spans.StartActivity(name, kind, parent) : null;

    /// <summary>The same for what is ended elsewhere, with <see cref="End"/>: it does not become what is traced here and now.</summary>
    public static Activity? Aside(string name, ActivityKind kind, ActivityContext parent) => Aside(() => Step(name, kind, parent));

    /// <summary><see cref="Serve"/> for what is ended elsewhere.</summary>
    public static Activity? ServeAside(string name, string traceparent) => traceparent.Length > 0 ? Aside(() => Serve(name, traceparent)) : null;

    /// <summary>Ends a span that was begun aside, and leaves alone what is traced here and now.</summary>
    public static void End(Activity? span)
    {
        if (span is { IsStopped: false })
        {
            var current = Activity.Current;
            span.Stop();
            Activity.Current = current;
        }
    }

    /// <summary>What tells another node of a span, as a W3C traceparent; empty when there is nothing to tell.</summary>
    public static string TraceparentOf(Activity? span) => span is { Recorded: true, Id: { } id } ? id : string.Empty;

    private static Activity? Aside(Func<Activity?> begin)
    {
        var current = Activity.Current;
        Activity.Current = null;
        var span = begin();
        Activity.Current = current;
        return span;
    }

    private static bool TryParse(string? traceparent, out ActivityContext context)
    {
        context = default;
        return traceparent is { Length: ParentLength } && traceparent.StartsWith("00-", StringComparison.Ordinal)
            && ActivityContext.TryParse(traceparent, traceState: null, isRemote: true, out context);
    }
}
