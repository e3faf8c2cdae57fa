using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Storage;

namespace Peerd.Node.Swarm;

/// <summary>
/// What the owner of one content is told of what arrives here: pieces several at a time, and now and then that a segment is being read.
/// Not thread-safe; the download's lock protects it.
/// </summary>
internal sealed class ArrivalReports(CachedContent content)
{
    /// <summary>A lease must not expire while bytes of a piece that takes long arrive.</summary>
    internal static readonly TimeSpan ReadingInterval = TimeSpan.FromMilliseconds(500);

    private readonly List<int> _arrived = [];

    /// <summary>Those of them that came from the origin.</summary>
    private readonly List<int> _read = [];
    private PieceSet? _reading;
    private TimeSpan _lastReading;
    private bool _isScheduled;

    public void Arrived(int piece, bool isFromOrigin)
    {
        _arrived.Add(piece);
        if (isFromOrigin)
        {
            _read.Add(piece);
        }
    }

    /// <summary>True when what has arrived is to be told in a moment, and nobody does that yet.</summary>
    public bool TrySchedule()
    {
        var isFirst = !_isScheduled;
        _isScheduled = true;
        return isFirst;
    }

    /// <summary>Bytes of a piece come from the origin; tells what is to be said of that now, if anything.</summary>
    public GrantReport? Reading(int piece, TimeSpan now)
    {
        var layout = content.Layout;
        (_reading ??= new PieceSet(layout.SegmentCount)).Add(piece / layout.PiecesPerSegment);
        if (now - _lastReading < ReadingInterval)
        {
            return null;
        }

        _lastReading = now;
        var report = new GrantReport { Reading = { _reading.Runs().Select(run => new SegmentRun { First = (uint)run.First, Count = (uint)run.Count }) } };
        _reading = null;
        return report;
    }

    /// <summary>What has arrived since the last report and is still here; null when there is nothing to say.</summary>
    /// <param name="failed">To be told with it.</param>
    /// <param name="isHeard">False: nothing is said, now or later.</param>
    public GrantReport? Take(FailedFetch? failed, bool isHeard)
    {
        if (failed is null)
        {
            _isScheduled = false;
        }

        if (!isHeard)
        {
            Clear();
            return null;
        }

        if (_arrived.Count == 0 && failed is null)
        {
            return null;
        }

        var pieces = new PieceSet(content.Layout.PieceCount);
        foreach (var piece in _arrived.Where(content.HasPiece))
        {
            pieces.Add(piece);
        }

        var report = new GrantReport { Arrived = { pieces.ToPieceRuns() }, Failed = { failed is null ? [] : [failed] } };
        report.Checksums.AddRange(_read.Where(pieces.Contains).Distinct().Select(ChecksumsOf).OfType<PieceChecksums>());
        Clear();
        return report;
    }

    /// <summary>What has arrived is not here any more.</summary>
    public void Clear()
    {
        _arrived.Clear();
        _read.Clear();
    }

    private PieceChecksums? ChecksumsOf(int piece)
    {
        var layout = content.Layout;
        var checksums = new PieceChecksums { Piece = (uint)piece };
        try
        {
            for (var frame = layout.FirstFrameOf(piece); frame < layout.FirstFrameOf(piece) + layout.FramesIn(piece); frame++)
            {
                checksums.Frames.Add(content.ChecksumOf(frame));
            }
        }
        catch (FrameLostException)
        {
            return null;
        }

        return checksums;
    }
}
