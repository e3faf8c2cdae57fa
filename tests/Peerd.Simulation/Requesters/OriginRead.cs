using Peerd.Simulation.Mesh;
using Peerd.Simulation.Network;

namespace Peerd.Simulation.Requesters;

/// <summary>A request that a node has open, to another node or to the origin.</summary>
internal abstract class RequesterRead
{
    /// <summary>The reader does not want it any more.</summary>
    public abstract void Cancel();

    /// <summary>The reader is dead.</summary>
    public abstract void Drop();
}

/// <summary>One request to the origin.</summary>
internal sealed class OriginRead(SimulatedMesh mesh, SimulatedDownload reader, int first, int count) : RequesterRead, ITransfer
{
    private int _flow = Flow.None;
    private int _endFrame;
    private bool _isOver;

    /// <summary>Under which the state machine knows it; 0 as long as it does not.</summary>
    public int Id { get; set; }

    public int Count => count;

    /// <summary>Asks, and calls back when the answer begins.</summary>
    public void Start(Action? answered = null)
    {
        if (answered is null && IsHere())
        {
            mesh.Timeline.After(TimeSpan.Zero, End);
            return;
        }

        mesh.Counts.OriginRequests++;
        mesh.Timeline.After(mesh.Scenario.OriginDelay, () =>
        {
            if (!_isOver)
            {
                answered?.Invoke();
                Begin();
            }
        });
    }

    public override void Cancel()
    {
        Drop();
        mesh.Timeline.After(TimeSpan.Zero, () => reader.OriginReadEnded(Id));
    }

    public override void Drop()
    {
        _isOver = true;
        if (_flow != Flow.None)
        {
            mesh.Network.Close(_flow);
            _flow = Flow.None;
        }
    }

    bool ITransfer.HasFrame(int frame) => true;

    void ITransfer.Starved(int frame) => throw new InvalidOperationException("the origin has everything");

    void ITransfer.Arrived(int frame)
    {
        if (frame == _endFrame - 1)
        {
            _flow = Flow.None;
        }

        reader.FrameArrived(frame, isFromOrigin: true);
        if (_flow == Flow.None)
        {
            End();
        }
    }

    private void Begin()
    {
        if (_isOver)
        {
            return;
        }

        (var firstFrame, _endFrame) = reader.Frames.MissingOf(first, count);
        if (firstFrame == _endFrame)
        {
            End();
            return;
        }

        _flow = mesh.Network.Open(this, mesh.Origin, reader.Node.Downlink, Flow.None, reader.Content.Layout, firstFrame, _endFrame);
        mesh.Network.Wake(_flow);
    }

    private bool IsHere()
    {
        var (firstFrame, endFrame) = reader.Frames.MissingOf(first, count);
        return firstFrame == endFrame;
    }

    private void End()
    {
        if (!_isOver)
        {
            _isOver = true;
            reader.OriginReadEnded(Id);
        }
    }
}
