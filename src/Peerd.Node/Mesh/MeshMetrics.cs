using System.Diagnostics.Metrics;

namespace Peerd.Node.Mesh;

/// <summary>What the mesh counts. Names of peers are never labels.</summary>
internal sealed class MeshMetrics
{
    private readonly Counter<long> _received;
    private readonly Counter<long> _sent;
    private readonly Counter<long> _ranges;
    private readonly Counter<long> _integrityFailures;
    private readonly Counter<long> _hedges;
    private readonly Counter<long> _tlsRefused;
    private long _receivedBytes;
    private long _sentBytes;

    public MeshMetrics(IMeterFactory meters)
    {
        var meter = meters.Create("Peerd");
        _received = meter.CreateCounter<long>("peerd.peer.received", "By", "Content bytes received from peers.");
        _sent = meter.CreateCounter<long>("peerd.peer.sent", "By", "Content bytes sent to peers.");
        _ranges = meter.CreateCounter<long>("peerd.peer.ranges", "{range}", "Ranges served to peers, by how they ended.");
        _integrityFailures = meter.CreateCounter<long>("peerd.integrity.failures", "{failure}", "Frames or contents that did not match their checksum or digest, by source.");
        _hedges = meter.CreateCounter<long>(
            "peerd.hedges", "{range}", "Ranges that peers sent too slowly, by outcome: moved (to another holder, at the byte where it was) or over_budget (left where it was).");
        _tlsRefused = meter.CreateCounter<long>(
            "peerd.mesh.tls.refused", "{certificate}", "Certificates of others that were refused, by side: caller (came to this node) or callee (was called).");
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

    public void RangeServed(Contracts.V1.RangeStatus status) =>
        _ranges.Add(1, new KeyValuePair<string, object?>("status", status switch
        {
            Contracts.V1.RangeStatus.Complete => "complete",
            Contracts.V1.RangeStatus.NotHeld => "not_held",
            Contracts.V1.RangeStatus.Leaving => "leaving",
            Contracts.V1.RangeStatus.Busy => "busy",
            Contracts.V1.RangeStatus.Cancelled => "cancelled",
            Contracts.V1.RangeStatus.DeadlineExceeded => "deadline",
            _ => "invalid",
        }));

    /// <summary>Ranges found slow since the last call.</summary>
    public void Hedged(int moved, int overBudget)
    {
        if (moved > 0)
        {
            _hedges.Add(moved, new KeyValuePair<string, object?>("outcome", "moved"));
        }

        if (overBudget > 0)
        {
            _hedges.Add(overBudget, new KeyValuePair<string, object?>("outcome", "over_budget"));
        }
    }

    public void TlsRefused(string side) => _tlsRefused.Add(1, new KeyValuePair<string, object?>("side", side));

    public void IntegrityFailure(string source) => _integrityFailures.Add(1, new KeyValuePair<string, object?>("source", source));
}
