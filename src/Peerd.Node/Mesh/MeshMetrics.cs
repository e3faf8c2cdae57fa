using System.Diagnostics.Metrics;
using Peerd.Contracts.V1;

namespace Peerd.Node.Mesh;

/// <summary>What this node refuses of callers that want too much.</summary>
internal enum MeshRefusal
{
    /// <summary>A connection more than there may be, in all or of one address.</summary>
    Connection,

    /// <summary>A stream more than one node may have open.</summary>
    Stream,

    /// <summary>A range more than may have been asked for and not have ended.</summary>
    Range,

    /// <summary>A message or a frame that was begun and not ended.</summary>
    Message,

    /// <summary>An answer that was not taken.</summary>
    Answer,

    /// <summary>A call of a service beside PeerService more than a caller may make.</summary>
    Call,
}

/// <summary>What the mesh counts. Names of peers are never labels. Thread-safe.</summary>
internal sealed class MeshMetrics
{
    private static readonly InstrumentAdvice<double> RangeSeconds = new() { HistogramBucketBoundaries = [0.002, 0.01, 0.05, 0.2, 1, 5, 20, 60] };

    private readonly Counter<long> _received;
    private readonly Counter<long> _sent;
    private readonly Counter<long> _ranges;
    private readonly Counter<long> _shed;
    private readonly Histogram<double> _serving;
    private readonly Counter<long> _fetches;
    private readonly Histogram<double> _fetching;
    private readonly Counter<long> _hedges;
    private readonly Counter<long> _tlsRefused;
    private readonly Counter<long> _ejected;
    private readonly Counter<long> _refused;
    private long _receivedBytes;
    private long _sentBytes;

    public MeshMetrics(IMeterFactory meters)
    {
        var meter = meters.Create("Peerd");
        _received = meter.CreateCounter<long>("peerd.peer.received", "By", "Content bytes received from peers.");
        _sent = meter.CreateCounter<long>("peerd.peer.sent", "By", "Content bytes sent to peers.");
        _ranges = meter.CreateCounter<long>("peerd.peer.ranges", "{range}", "Ranges served to peers, by how they ended.");
        _shed = meter.CreateCounter<long>(
            "peerd.peer.shed", "{range}", "Ranges that peers asked for and that were not served because all places are taken, by result: redirected (to other holders) or refused (no other is known).");
        _serving = meter.CreateHistogram("peerd.peer.serving.duration", "s", "Time that a range took that was served to a peer as a whole.", advice: RangeSeconds);
        _fetches = meter.CreateCounter<long>("peerd.peer.fetches", "{range}", "Ranges asked of peers, by how they ended.");
        _fetching = meter.CreateHistogram("peerd.peer.fetch.duration", "s", "Time that a range took that a peer sent as a whole.", advice: RangeSeconds);
        _hedges = meter.CreateCounter<long>(
            "peerd.hedges", "{range}", "Ranges that peers sent too slowly, by outcome: moved (to another holder, at the byte where it was) or over_budget (left where it was).");
        _tlsRefused = meter.CreateCounter<long>(
            "peerd.mesh.tls.refused", "{certificate}", "Certificates of others that were refused, by side: caller (came to this node) or callee (was called).");
        _ejected = meter.CreateCounter<long>("peerd.peer.ejected", "{ejection}", "How often a peer that sent wrong bytes was left alone for a time, whatever content is wanted.");
        _refused = meter.CreateCounter<long>(
            "peerd.mesh.refused", "{refusal}", "What callers of the mesh wanted too much of, by what: connection (in all or of one address), stream (of one node), range (in all or of one address), message (or a frame, begun and not ended), answer (not taken) or call (of health, reflection or a command, in all or of one address).");

        // What never happened counts as 0 and not as unknown.
        _received.Add(0);
        _sent.Add(0);
        foreach (var status in Enum.GetValues<RangeStatus>())
        {
            _ranges.Add(0, new KeyValuePair<string, object?>("status", LabelOf(status)));
        }

        foreach (var kind in Enum.GetValues<RangeOutcomeKind>())
        {
            _fetches.Add(0, new KeyValuePair<string, object?>("outcome", LabelOf(kind)));
        }

        foreach (var side in (string[])["caller", "callee"])
        {
            CountTlsRefused(side, 0);
        }

        _ejected.Add(0);
        foreach (var what in Enum.GetValues<MeshRefusal>())
        {
            CountRefused(what, 0);
        }

        Shed(isRedirected: true, count: 0);
        Shed(isRedirected: false, count: 0);
        CountHedges("moved", 0);
        CountHedges("over_budget", 0);
    }

    public long ReceivedBytes => Interlocked.Read(ref _receivedBytes);

    public long SentBytes => Interlocked.Read(ref _sentBytes);

    public void Received(int bytes)
    {
        Interlocked.Add(ref _receivedBytes, bytes);
        _received.Add(bytes);
    }

    public void Sent(int bytes)
    {
        Interlocked.Add(ref _sentBytes, bytes);
        _sent.Add(bytes);
    }

    /// <summary>A peer asked for a range, and this is its end.</summary>
    public void RangeServed(RangeEnd end, TimeSpan took)
    {
        _ranges.Add(1, new KeyValuePair<string, object?>("status", LabelOf(end.Status)));
        if (end.Status == RangeStatus.Complete)
        {
            _serving.Record(took.TotalSeconds);
        }
        else if (end.Status == RangeStatus.Busy)
        {
            Shed(isRedirected: end.Holders.Count > 0, count: 1);
        }
    }

    /// <summary>A peer was asked for a range.</summary>
    public void RangeFetched(RangeOutcomeKind outcome, TimeSpan took)
    {
        _fetches.Add(1, new KeyValuePair<string, object?>("outcome", LabelOf(outcome)));
        if (outcome == RangeOutcomeKind.Complete)
        {
            _fetching.Record(took.TotalSeconds);
        }
    }

    /// <summary>Ranges found slow since the last call.</summary>
    public void Hedged(int moved, int overBudget)
    {
        if (moved > 0)
        {
            CountHedges("moved", moved);
        }

        if (overBudget > 0)
        {
            CountHedges("over_budget", overBudget);
        }
    }

    public void TlsRefused(string side) => CountTlsRefused(side, 1);

    /// <summary>A peer is left alone for a time.</summary>
    public void Ejected() => _ejected.Add(1);

    public void Refused(MeshRefusal what) => CountRefused(what, 1);

    private void Shed(bool isRedirected, int count) => _shed.Add(count, new KeyValuePair<string, object?>("result", isRedirected ? "redirected" : "refused"));

    private void CountTlsRefused(string side, int count) => _tlsRefused.Add(count, new KeyValuePair<string, object?>("side", side));

    private void CountRefused(MeshRefusal what, int count) => _refused.Add(count, new KeyValuePair<string, object?>("what", what switch
    {
        MeshRefusal.Connection => "connection",
        MeshRefusal.Stream => "stream",
        MeshRefusal.Range => "range",
        MeshRefusal.Message => "message",
        MeshRefusal.Answer => "answer",
        _ => "call",
    }));

    private void CountHedges(string outcome, int count) => _hedges.Add(count, new KeyValuePair<string, object?>("outcome", outcome));

    /// <summary>The value of the label <c>status</c>.</summary>
    public static string LabelOf(RangeStatus status) => status switch
    {
        RangeStatus.Complete => "complete",
        RangeStatus.NotHeld => "not_held",
        RangeStatus.Leaving => "leaving",
        RangeStatus.Busy => "busy",
        RangeStatus.Cancelled => "cancelled",
        RangeStatus.DeadlineExceeded => "deadline",
        _ => "invalid",
    };

    /// <summary>The value of the label <c>outcome</c>.</summary>
    public static string LabelOf(RangeOutcomeKind outcome) => outcome switch
    {
        RangeOutcomeKind.Complete => "complete",
        RangeOutcomeKind.NotHeld => "not_held",
        RangeOutcomeKind.Busy => "busy",
        RangeOutcomeKind.Failed => "failed",
        RangeOutcomeKind.Corrupt => "corrupt",
        RangeOutcomeKind.Cancelled => "cancelled",
        _ => "not_a_member",
    };
}
