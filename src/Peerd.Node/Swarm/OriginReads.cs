using System.Diagnostics;
using System.Net;
using Peerd.Contracts;
using Peerd.Node.Limits;
using Peerd.Node.Origin;
using Peerd.Node.Storage;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Swarm;

/// <summary>What reads at the origin need of those that they are for, and what these are told.</summary>
internal interface IOriginReadUser
{
    /// <summary>The origin's content has another size. Returns the failure with which the read ends.</summary>
    SourceFailure? OtherSize(long size);

    /// <summary>A frame that has this checksum is stored next; when that is not to be, the answer counts as broken.</summary>
    bool TryExpect(int frame, ulong checksum);

    /// <summary>A frame was stored, of an answer that began at that time.</summary>
    void Stored(int frame, TimeSpan answered);

    /// <summary>A read is over, well unless there is a failure.</summary>
    void Ended(DownloadAction.FetchFromOrigin read, OriginReference? origin, SourceFailure? failure);
}

/// <summary>Reads parts of one content at the origin and stores them. Thread-safe.</summary>
internal sealed class OriginReads(DownloadServices services, CachedContent content, DownloadTrace trace, IOriginReadUser user)
{
    private const int MaxEmptyReads = 3;

    private int _emptyReads;

    /// <summary>Reads bytes of a run of pieces.</summary>
    /// <param name="read">What they are read for.</param>
    /// <param name="origin">Where.</param>
    /// <param name="urgency">Who goes before whom where bandwidth is limited; called until the read has ended.</param>
    /// <param name="range">From the beginning of a frame to the end of a piece.</param>
    /// <param name="cancellationToken">Reaches to the socket.</param>
    public async Task ReadAsync(DownloadAction.FetchFromOrigin read, OriginReference origin, Func<Urgency> urgency, ByteRange range, CancellationToken cancellationToken)
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
                content.MediaType = response.MediaType;
                await StoreAsync(read, origin, response, range.End, cancellationToken);
            }
        }
    }

    /// <summary>Stores what an answer brings.</summary>
    /// <param name="read">What it was asked for.</param>
    /// <param name="origin">Where.</param>
    /// <param name="response">With outcome Ok. Stays the caller's to dispose.</param>
    /// <param name="end">The byte before which to stop.</param>
    /// <param name="cancellationToken">Reaches to the socket.</param>
    public async Task StoreAsync(DownloadAction.FetchFromOrigin read, OriginReference origin, OriginResponse response, long end, CancellationToken cancellationToken)
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
            DownloadLog.OriginBroken(services.Logger, content.Digest, e.Message);
        }
        finally
        {
            user.Ended(read, origin, failure);
        }
    }
}
