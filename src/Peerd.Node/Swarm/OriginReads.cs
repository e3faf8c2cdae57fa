using System.Diagnostics;
using System.Net;
using Peerd.Contracts;
using Peerd.Node.Limits;
using Peerd.Node.Origin;
using Peerd.Node.Storage;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Swarm;

/// <summary>What reading at the origin needs of the download that it is for, and what that is told.</summary>
internal interface IOriginReadUser
{
    /// <summary>A probe brought no size.</summary>
    void ProbeFailed(OriginReference origin, SourceFailure failure);

    /// <summary>A probe brought the size, and so many pieces. Returns the read as which they are to be stored, and where; null when nobody needs them.</summary>
    (DownloadAction.FetchFromOrigin Read, CachedContent Content)? Probed(long size, string? mediaType, int pieces);

    /// <summary>The origin's content has another size. Returns what that makes of the download.</summary>
    SourceFailure? OtherSize(long size);

    /// <summary>A frame that has this checksum is stored next; when that is not to be, the answer counts as broken.</summary>
    bool TryExpect(int frame, ulong checksum);

    /// <summary>A frame was stored, of an answer that began at that time.</summary>
    void Stored(int frame, TimeSpan answered);

    /// <summary>A read is over, well unless there is a failure.</summary>
    void Ended(DownloadAction.FetchFromOrigin read, OriginReference? origin, SourceFailure? failure);
}

/// <summary>Reads parts of one content at the origin and stores them. Thread-safe.</summary>
internal sealed class OriginReads(DownloadServices services, Digest digest, DownloadTrace trace, IOriginReadUser user)
{
    private const int MaxEmptyReads = 3;

    private int _emptyReads;

    /// <summary>Finds out the size, and reads the beginning while at it.</summary>
    public async Task ProbeAsync(OriginReference origin, CancellationToken cancellationToken)
    {
        var range = origin.Kind == OriginKind.Manifest ? (ByteRange?)null : new ByteRange(0, ProtocolConstants.ProbeBytes);
        using var step = trace.Step("read", ActivityKind.Internal);
        await using var answer = await services.Origin.ReadAsync(origin, range, cancellationToken);
        services.OpenRepositories.Note(origin, answer);
        var response = answer is { Outcome: OriginOutcome.Ok, TotalSize: null } && origin.Kind == OriginKind.Manifest ? await OriginRun.MeasureAsync(answer, cancellationToken) : answer;
        if (response.Outcome != OriginOutcome.Ok || response.TotalSize is not { } size)
        {
            user.ProbeFailed(origin, response.Outcome == OriginOutcome.Ok
                ? new SourceFailure(HttpStatusCode.BadGateway, "the origin did not tell the size of the content")
                : SourceFailure.Of(response));
            return;
        }

        var layout = new ContentLayout(size);
        var pieces = PiecesIn(response, layout);
        if (user.Probed(size, response.MediaType, pieces) is var (read, content) && pieces > 0)
        {
            await StoreAsync(response, origin, read, content, layout.Piece(pieces - 1).End, cancellationToken);
        }
    }

    /// <summary>Reads bytes of a run of pieces.</summary>
    /// <param name="read">What they are read for.</param>
    /// <param name="origin">Where.</param>
    /// <param name="urgency">Who goes before whom where bandwidth is limited.</param>
    /// <param name="content">Where they go.</param>
    /// <param name="range">From the beginning of a frame to the end of a piece.</param>
    /// <param name="cancellationToken">Reaches to the socket.</param>
    public async Task ReadAsync(DownloadAction.FetchFromOrigin read, OriginReference origin, Urgency urgency, CachedContent content, ByteRange range, CancellationToken cancellationToken)
    {
        using var step = trace.Step("read", ActivityKind.Internal)?.SetTag(Traces.Offset, range.Offset).SetTag(Traces.Length, range.Length);
        OriginResponse response;
        try
        {
            response = await services.Origin.ReadAsync(origin with { Urgency = urgency }, origin.Kind == OriginKind.Manifest ? null : range, cancellationToken);
        }
        catch (OperationCanceledException)
        {
            user.Ended(read, origin, failure: null);
            throw;
        }

        await using (response)
        {
            // With 416 it tells its size, too.
            var tellsSize = response.Outcome == OriginOutcome.Ok || response.Status == HttpStatusCode.RequestedRangeNotSatisfiable;
            if (tellsSize && response.TotalSize is { } size && size != content.Size)
            {
                user.Ended(read, origin, user.OtherSize(size));
            }
            else if (response.Outcome != OriginOutcome.Ok)
            {
                user.Ended(read, origin, SourceFailure.Of(response));
            }
            else
            {
                await StoreAsync(response, origin, read, content, range.End, cancellationToken);
            }
        }
    }

    private async Task StoreAsync(OriginResponse response, OriginReference origin, DownloadAction.FetchFromOrigin read, CachedContent content, long end, CancellationToken cancellationToken)
    {
        var frames = 0;
        var answered = services.Time.GetElapsedTime(0);
        SourceFailure? failure = null;
        try
        {
            await OriginRun.StoreAsync(
                response,
                content,
                end,
                user.TryExpect,
                frame =>
                {
                    frames++;
                    Interlocked.Exchange(ref _emptyReads, 0);
                    user.Stored(frame, answered);
                },
                cancellationToken);
        }
        catch (IOException e)
        {
            // What arrived counts; only reads that bring nothing, several in a row, make the origin useless.
            failure = frames > 0 || Interlocked.Increment(ref _emptyReads) < MaxEmptyReads ? null : new SourceFailure(HttpStatusCode.BadGateway, $"reading from the origin broke: {e.Message}");
            DownloadLog.OriginBroken(services.Logger, digest, e.Message);
        }
        finally
        {
            user.Ended(read, origin, failure);
        }
    }

    /// <summary>How many whole pieces the answer to a probe holds.</summary>
    private static int PiecesIn(OriginResponse response, ContentLayout layout)
    {
        var end = response.Range.Length < 0 ? layout.Size : Math.Min(layout.Size, response.Range.End);
        return end == layout.Size ? layout.PieceCount : layout.PieceAt(end);
    }
}
