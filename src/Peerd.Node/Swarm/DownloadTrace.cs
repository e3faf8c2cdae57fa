using System.Diagnostics;
using Peerd.Contracts;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Swarm;

/// <summary>
/// The span of one download: in the trace of the first client that is traced, with links from those of others. What the
/// download does is told as parts of it. Thread-safe.
/// </summary>
internal sealed class DownloadTrace(Digest digest)
{
    /// <summary>A download may stream to a container for days; a trace of more parts tells nobody anything.</summary>
    private const int MaxSteps = 2000;

    private Activity? _span;
    private int _steps;

    /// <summary>A client wants the content; called where that client is what is traced.</summary>
    public void Join()
    {
        if (Activity.Current is not { Recorded: true } client)
        {
            return;
        }

        if (Volatile.Read(ref _span) is { } span)
        {
            client.AddLink(new ActivityLink(span.Context));
            return;
        }

        var begun = Traces.Aside("download", ActivityKind.Internal, client.Context)?.SetTag(Traces.Digest, digest.ToString());
        if (Interlocked.CompareExchange(ref _span, begun, null) is { } other)
        {
            client.AddLink(new ActivityLink(other.Context));
        }
    }

    /// <summary>Begins a part; null when nobody traces the download.</summary>
    /// <param name="name">What it is.</param>
    /// <param name="kind">Client when others are asked.</param>
    /// <param name="reader">What the part is for, when that is traced itself; default for the download as a whole.</param>
    public Activity? Step(string name, ActivityKind kind, ActivityContext reader = default) =>
        ContextFor(reader) is var parent && parent != default && Interlocked.Increment(ref _steps) <= MaxSteps ? Traces.Step(name, kind, parent) : null;

    /// <summary>The same for what <see cref="Traces.End"/> ends.</summary>
    public Activity? Aside(string name, ActivityKind kind) => Traces.Aside(name, kind, ContextFor(default));

    /// <summary>The download is over, whole or not; the first word counts.</summary>
    public void End(bool isWhole, long size)
    {
        if (Volatile.Read(ref _span) is { IsStopped: false } span)
        {
            span.SetTag(Traces.Outcome, isWhole ? "complete" : "ended");
            span.SetTag(Traces.Length, size);
            Traces.End(span);
        }
    }

    private ActivityContext ContextFor(ActivityContext reader) => reader != default ? reader : Volatile.Read(ref _span)?.Context ?? default;
}
