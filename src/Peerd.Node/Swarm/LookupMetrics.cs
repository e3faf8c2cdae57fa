using System.Diagnostics.Metrics;
using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>What asking owners for contents takes and brings. Thread-safe.</summary>
internal sealed class LookupMetrics
{
    private readonly Counter<long> _lookups;
    private readonly Histogram<double> _duration;

    public LookupMetrics(IMeterFactory meters)
    {
        var meter = meters.Create("Peerd");
        _lookups = meter.CreateCounter<long>(
            "peerd.lookups",
            "{lookup}",
            "Owners asked for a content, by what they answered first: peers (other nodes have it), origin (this node is to read it), wait (neither yet), or failed (no answer).");
        _duration = meter.CreateHistogram(
            "peerd.lookup.duration",
            "s",
            "Time from asking an owner, this node itself included, to its first answer.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.005, 0.02, 0.1, 0.5, 3] });

        // What never happened counts as 0 and not as unknown.
        foreach (var result in (string[])["peers", "origin", "wait", "failed"])
        {
            Count(result, 0);
        }
    }

    /// <summary>An owner gave its first answer.</summary>
    public void Answered(LookupResponse push, TimeSpan took)
    {
        Count(LabelOf(push), 1);
        _duration.Record(took.TotalSeconds);
    }

    /// <summary>The value of the label <c>result</c>.</summary>
    public static string LabelOf(LookupResponse push) => push.Holders.Count + push.Assigned.Count > 0 ? "peers" : push.Granted.Count > 0 ? "origin" : "wait";

    /// <summary>An owner gave no answer.</summary>
    public void Failed() => Count("failed", 1);

    private void Count(string result, int count) => _lookups.Add(count, new KeyValuePair<string, object?>("result", result));
}
