using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Swarm;
using Peerd.Simulation.Mesh;

namespace Peerd.Simulation.Requesters;

/// <summary>Tells the owner what has arrived: segments of a few milliseconds together, and now and then what takes long.</summary>
internal sealed class DownloadReport(SimulatedMesh mesh, ContentLayout layout, SimulatedOwnerLink link)
{
    private static readonly TimeSpan Interval = new DownloaderPolicy().ReportInterval;

    private readonly PieceSet _arrived = new(layout.PieceCount);
    private readonly List<int> _read = [];
    private readonly PieceSet _reading = new(layout.SegmentCount);
    private TimeSpan _lastReading;
    private bool _isScheduled;

    /// <summary>A piece is here; with it the last of its segment, or not.</summary>
    public void Arrived(int piece, bool isFromOrigin, bool isSegmentWhole)
    {
        _arrived.Add(piece);
        if (isFromOrigin)
        {
            _read.Add(piece);
        }

        if (!_isScheduled && (isFromOrigin || isSegmentWhole))
        {
            _isScheduled = true;
            mesh.Timeline.After(Interval, () => Flush());
        }
    }

    /// <summary>Bytes of this piece came from the origin.</summary>
    public void Reading(int piece)
    {
        _reading.Add(piece / layout.PiecesPerSegment);
        if (mesh.Now - _lastReading < ArrivalReports.ReadingInterval)
        {
            return;
        }

        _lastReading = mesh.Now;
        link.Report(new GrantReport { Reading = { _reading.Runs().Select(run => new SegmentRun { First = (uint)run.First, Count = (uint)run.Count }) } });
        _reading.Clear();
    }

    /// <summary>Tells what there is to tell, a fetch that failed together with what has arrived of it.</summary>
    public void Flush(FailedFetch? failed = null)
    {
        _isScheduled &= failed is not null;
        if (_arrived.Count == 0 && failed is null)
        {
            return;
        }

        link.Report(new GrantReport
        {
            Arrived = { _arrived.ToPieceRuns() },
            Checksums = { _read.Select(piece => new PieceChecksums { Piece = (uint)piece, Frames = { new ulong[layout.FramesIn(piece)] } }) },
            Failed = { failed is null ? [] : [failed] },
        });
        _arrived.Clear();
        _read.Clear();
    }
}
