using System.Diagnostics;
using Peerd.Contracts;
using Peerd.Node.Mesh;
using Peerd.Node.Storage;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Swarm;

/// <summary>
/// Asks peers for parts of one content, and tells log, trace and counters how that went; what follows from it is for the caller to decide.
/// Thread-safe.
/// </summary>
internal sealed class PeerFetches(DownloadServices services, Digest digest, DownloadTrace trace)
{
    /// <summary>How long a peer may take for what a reader waits for.</summary>
    private static readonly TimeSpan UrgentPatience = TimeSpan.FromMilliseconds(750);

    /// <summary>Fetches what is missing of a run of pieces.</summary>
    /// <param name="fetch">From whom, and which.</param>
    /// <param name="content">What is here.</param>
    /// <param name="isAhead">Nobody waits for it.</param>
    /// <param name="sink">Takes the frames.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public async Task<RangeOutcome> FetchAsync(DownloadAction.FetchFromPeer fetch, CachedContent content, bool isAhead, IRangeSink sink, CancellationToken cancellationToken)
    {
        var layout = content.Layout;
        // Another peer, or the origin, may have sent the beginning before it was given up.
        var end = layout.Piece(fetch.First + fetch.Count - 1).End;
        var start = content.FirstMissing(layout.Piece(fetch.First).Offset, end);
        var request = new RangeRequest(digest, layout, ByteRange.FromBounds(start, end), Wait: fetch.IsAssigned, TellPieces: !fetch.IsAssigned, Ahead: isAhead);
        using var step = start < end ? Begin(fetch.Node, request.Range) : null;
        var outcome = start == end ? RangeOutcome.Complete
            : await FindAsync(fetch.Node, sink, cancellationToken) is { } peer ? await peer.FetchAsync(request, sink, cancellationToken)
            : cancellationToken.IsCancellationRequested ? RangeOutcome.Cancelled : RangeOutcome.NotAMember;
        step?.SetTag(Traces.Outcome, MeshMetrics.LabelOf(outcome.Kind));
        Note(fetch.Node, outcome);
        return outcome;
    }

    /// <summary>Fetches frames that a reader waits for.</summary>
    /// <param name="node">From whom.</param>
    /// <param name="layout">Of the content.</param>
    /// <param name="range">Their bytes.</param>
    /// <param name="reader">What is traced of the reader.</param>
    /// <param name="sink">Takes them.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public async Task<RangeOutcome> FetchUrgentlyAsync(string node, ContentLayout layout, ByteRange range, ActivityContext reader, IRangeSink sink, CancellationToken cancellationToken)
    {
        var outcome = RangeOutcome.NotAMember;
        using var step = Begin(node, range, reader);
        using var patience = new CancellationTokenSource(UrgentPatience, services.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, patience.Token);
        try
        {
            if (services.Peers.Find(node) is { } peer)
            {
                outcome = await peer.FetchAsync(new RangeRequest(digest, layout, range, Urgent: true), sink, either.Token);
                outcome = outcome.Kind == RangeOutcomeKind.Cancelled && patience.IsCancellationRequested ? RangeOutcome.Failed("too slow for a reader that waits") : outcome;
                Note(node, outcome);
            }

            return outcome;
        }
        finally
        {
            step?.SetTag(Traces.Outcome, MeshMetrics.LabelOf(outcome.Kind));
        }
    }

    /// <summary>An owner whose list is newer than this node's may name one that is a member here in a moment. It is not the one that is slow then.</summary>
    private async ValueTask<Peer?> FindAsync(string node, IRangeSink sink, CancellationToken cancellationToken)
    {
        var finding = services.Peers.FindSoonAsync(node, cancellationToken);
        if (!finding.IsCompleted)
        {
            sink.Waiting();
        }

        return await finding;
    }

    private Activity? Begin(string node, ByteRange range, ActivityContext reader = default) =>
        trace.Step("fetch", ActivityKind.Client, reader)
            ?.SetTag(Traces.Peer, node).SetTag(Traces.Offset, range.Offset).SetTag(Traces.Length, range.Length);

    private void Note(string node, RangeOutcome outcome)
    {
        if (outcome.Kind == RangeOutcomeKind.Corrupt)
        {
            services.Failures.Add(WrongBytes.Peer);
            DownloadLog.PeerCorrupt(services.Logger, node, digest, outcome.Error);
        }
        else if (outcome.Kind == RangeOutcomeKind.Failed)
        {
            DownloadLog.PeerFailed(services.Logger, node, digest, outcome.Error);
        }
    }
}
