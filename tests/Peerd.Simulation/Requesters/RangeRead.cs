using Peerd.Node.Mesh;
using Peerd.Node.Swarm;
using Peerd.Simulation.Mesh;
using Peerd.Simulation.Network;

namespace Peerd.Simulation.Requesters;

/// <summary>One range that a node reads from another, from the request to its end.</summary>
internal sealed class RangeRead(SimulatedMesh mesh, SimulatedDownload reader, SimulatedNode holder, DownloadAction.FetchFromPeer request) : RequesterRead, ITransfer
{
    private SimulatedDownload? _source;
    private int _flow = Flow.None;
    private int _endFrame;
    private int _starvedFor = Flow.None;
    private RangeOutcomeKind _outcome = RangeOutcomeKind.Complete;
    private bool _isServed;
    private bool _isCheckDue;
    private bool _isWaitingTold;
    private bool _isOver;

    public DownloadAction.FetchFromPeer Request { get; } = request;

    private SimulatedDownload? Source => _source ??= holder.Downloads[reader.Content.Number];

    public void Start() => mesh.Timeline.After(Latencies.Data, AskHolder);

    public override void Cancel()
    {
        _isOver = true;
        mesh.Timeline.After(Latencies.Data, Release);
        mesh.Timeline.After(TimeSpan.Zero, () => reader.RangeAbandoned(Request.Id));
    }

    /// <summary>The reader is dead.</summary>
    public override void Drop()
    {
        _isOver = true;
        Release();
    }

    /// <summary>The holder is dead.</summary>
    public void Break()
    {
        Release();
        mesh.Timeline.After(mesh.About(mesh.Scenario.DeathNoticed), () => Tell(RangeOutcomeKind.Failed));
    }

    /// <summary>The holder has this frame now.</summary>
    public void FrameHere(int frame)
    {
        if (frame == _starvedFor)
        {
            _starvedFor = Flow.None;
            _isWaitingTold = false;
            mesh.Network.Wake(_flow);
        }
    }

    /// <summary>Tells the reader once that the holder has nothing to send.</summary>
    public void TellWaiting()
    {
        if (_starvedFor != Flow.None && !_isWaitingTold)
        {
            _isWaitingTold = true;
            mesh.Timeline.After(Latencies.Data, () =>
            {
                if (!_isOver)
                {
                    reader.RangeWaits(Request.Id);
                }
            });
        }
    }

    bool ITransfer.HasFrame(int frame) => Source!.Frames.Contains(frame);

    void ITransfer.Starved(int frame)
    {
        if (_starvedFor == frame)
        {
            return;
        }

        _starvedFor = frame;
        CheckArrival(frame);
    }

    void ITransfer.Arrived(int frame)
    {
        if (frame == _endFrame - 1)
        {
            _flow = Flow.None;
            Release();
        }

        if (!_isOver)
        {
            reader.FrameArrived(frame, isFromOrigin: false);
            if (_flow == Flow.None)
            {
                Tell(_outcome);
            }
        }
    }

    private void AskHolder()
    {
        if (_isOver)
        {
            return;
        }

        if (!holder.IsAlive)
        {
            mesh.Timeline.After(mesh.About(mesh.Scenario.DeathNoticed), () => Tell(RangeOutcomeKind.Failed));
        }
        else if (Source is not { IsStarted: true } source)
        {
            Answer(RangeOutcomeKind.NotHeld);
        }
        else if (!source.Uploads.TryAdd(this))
        {
            mesh.Counts.Refused++;
            Answer(RangeOutcomeKind.Busy);
        }
        else
        {
            Serve();
        }
    }

    private void Serve()
    {
        _isServed = true;
        (var firstFrame, _endFrame) = reader.Frames.MissingOf(Request.First, Request.Count);
        if (firstFrame == _endFrame)
        {
            Answer(RangeOutcomeKind.Complete);
            return;
        }

        _flow = mesh.Network.Open(this, holder.Number, reader.Node.Downlink, mesh.PathBetween(holder, reader.Node), reader.Content.Layout, firstFrame, _endFrame);
        mesh.Network.Wake(_flow);
        TellWaiting();
    }

    /// <summary>The range ends where waiting makes no sense; one that is assigned waits for what is only expected, too.</summary>
    private void CheckArrival(int frame)
    {
        if (!_isServed || frame == Flow.None)
        {
            return;
        }

        var arrival = Source!.ArrivalOf(frame, reader.Node.Name);
        if (arrival == PieceArrival.Coming || (arrival == PieceArrival.Expected && Request.IsAssigned))
        {
            ScheduleCheck();
            return;
        }

        Answer(RangeOutcomeKind.NotHeld);
    }

    /// <summary>One look at a time for all frames of the range: most are here long before it.</summary>
    private void ScheduleCheck()
    {
        if (!_isCheckDue)
        {
            _isCheckDue = true;
            mesh.Timeline.After(RangeServer.IncomingCheck, () =>
            {
                _isCheckDue = false;
                CheckArrival(_starvedFor);
            });
        }
    }

    /// <summary>The holder ends the range, after what it has sent of it.</summary>
    private void Answer(RangeOutcomeKind outcome)
    {
        if (_flow != Flow.None && mesh.Network.Finish(_flow))
        {
            (_endFrame, _outcome) = (_starvedFor, outcome);
            FreeSlot();
            return;
        }

        _flow = Flow.None;
        FreeSlot();
        mesh.Timeline.After(Latencies.Data, () => Tell(outcome));
    }

    private void Tell(RangeOutcomeKind outcome)
    {
        if (!_isOver)
        {
            _isOver = true;
            reader.RangeEnded(this, outcome, Source);
        }
    }

    /// <summary>The holder has nothing more to do with it.</summary>
    private void Release()
    {
        if (_flow != Flow.None)
        {
            mesh.Network.Close(_flow);
            _flow = Flow.None;
        }

        FreeSlot();
    }

    private void FreeSlot()
    {
        _starvedFor = Flow.None;
        if (_isServed)
        {
            _isServed = false;
            Source!.Uploads.Remove(this);
        }
    }
}
