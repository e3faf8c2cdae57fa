using Peerd.Contracts;
using Peerd.Simulation.Events;

namespace Peerd.Simulation.Network;

/// <summary>
/// The links of all nodes, and the flows of frames over them. A sender takes its ready flows in turn, one frame at a time.
/// A receiver takes frames in the order in which they were sent. Each flow has a window of a few frames that are sent and
/// have not wholly arrived. Together that divides the links about evenly at both ends (max-min), no link is idle while
/// a flow could use it, and who is slow holds up nobody else; at a fixed price for each frame, with nothing allocated.
/// Not thread-safe.
/// </summary>
/// <remarks>That a frame has arrived is known at its sender at once: what real windows hold beyond this one covers that time.</remarks>
internal sealed class FrameNetwork(Timeline timeline, TimeSpan latency) : IEventHandler
{
    /// <summary>One that is being sent and one that is being received; where the way is long, as many more as are on it.</summary>
    private const int LeastWindow = 2;

    private readonly Stack<int> _freeFlows = [];
    private Uplink[] _uplinks = [];
    private Link[] _links = [];
    private Flow[] _flows = new Flow[256];
    private int _flowCount;

    /// <summary>Adds a node; its number is the number of its uplink.</summary>
    /// <param name="uplink">Bytes per second that it sends.</param>
    /// <param name="downlink">Bytes per second that it receives.</param>
    /// <returns>The number of its downlink.</returns>
    public int AddNode(double uplink, double downlink)
    {
        _uplinks = [.. _uplinks, new Uplink(uplink)];
        return AddLink(downlink);
    }

    /// <summary>Adds a link that flows can be led through.</summary>
    public int AddLink(double rate)
    {
        _links = [.. _links, new Link(rate)];
        return _links.Length - 1;
    }

    /// <summary>The node sends at this rate from now on, in bytes per second.</summary>
    public void SetUplink(int node, double rate) => _uplinks[node].TicksPerByte = TimeSpan.TicksPerSecond / rate;

    /// <summary>Connections that do not leave others their share; null when there are none.</summary>
    public Greed? Greed { get; set; }

    /// <summary>Bytes that a node has sent.</summary>
    public long SentBy(int node) => _uplinks[node].Bytes;

    /// <summary>Bytes that were sent through a link.</summary>
    public long SentThrough(int link) => _links[link].Bytes;

    /// <summary>Sends frames of a content from one node to a downlink, maybe through another link on the way.</summary>
    /// <returns>The flow; its number is used again once the last frame has arrived or it was closed.</returns>
    public int Open(ITransfer transfer, int sender, int downlink, int trunk, ContentLayout layout, int firstFrame, int endFrame)
    {
        if (!_freeFlows.TryPop(out var number))
        {
            number = _flowCount++;
            if (number == _flows.Length)
            {
                Array.Resize(ref _flows, 2 * number);
            }
        }

        var frames = new NetworkFrames(layout);
        _flows[number] = new Flow
        {
            Transfer = transfer,
            Sender = sender,
            Downlink = downlink,
            Trunk = trunk,
            NextFrame = firstFrame,
            EndFrame = endFrame,
            Window = LeastWindow + (int)(latency.Ticks / (frames.Size * _uplinks[sender].TicksPerByte)),
            FrameSize = frames.Size,
            LastFrame = frames.Count - 1,
            LastFrameSize = frames.LastSize,
        };
        return number;
    }

    /// <summary>Looks whether the sender has the next frame now; to be called after <see cref="Open"/>, too.</summary>
    public void Wake(int number)
    {
        ref var flow = ref _flows[number];
        if (flow.IsQueued || flow.IsClosed || flow.NextFrame >= flow.EndFrame || flow.FramesUnderWay >= flow.Window)
        {
            return;
        }

        if (!flow.Transfer!.HasFrame(flow.NextFrame))
        {
            flow.Transfer.Starved(flow.NextFrame);
            return;
        }

        _uplinks[flow.Sender].Ready.Add(_flows, number);
        if (!_uplinks[flow.Sender].IsBusy)
        {
            SendNext(flow.Sender);
        }
    }

    /// <summary>Ends a flow: nothing more of it arrives, not even what was sent.</summary>
    public void Close(int number)
    {
        _flows[number].IsClosed = true;
        FreeIfOver(number);
    }

    /// <summary>Ends a flow before its next frame: what was sent arrives still. Returns false when that is nothing, and the flow is gone.</summary>
    public bool Finish(int number)
    {
        ref var flow = ref _flows[number];
        flow.EndFrame = flow.NextFrame;
        if (flow.FramesUnderWay > 0)
        {
            return true;
        }

        Close(number);
        return false;
    }

    public void Handle(Event what)
    {
        switch (what.Kind)
        {
            case EventKind.UplinkFree:
                _uplinks[what.Subject].IsBusy = false;
                SendNext(what.Subject);
                break;
            case EventKind.FrameArrived:
                Arrived(what.Subject, what.Detail);
                break;
            default:
                throw new InvalidOperationException($"{what.Kind} is nothing that happens in a network");
        }
    }

    private void Arrived(int number, int frame)
    {
        ref var flow = ref _flows[number];
        flow.FramesUnderWay--;
        var transfer = flow.IsClosed ? null : flow.Transfer;
        FreeIfOver(number);
        if (flow.Transfer is not null)
        {
            Wake(number);
        }

        transfer?.Arrived(frame);
    }

    private void FreeIfOver(int number)
    {
        ref var flow = ref _flows[number];
        if (flow.Transfer is not null && (flow.IsClosed || flow.NextFrame >= flow.EndFrame) && flow.FramesUnderWay == 0 && !flow.IsQueued)
        {
            flow.Transfer = null;
            _freeFlows.Push(number);
        }
    }

    private void SendNext(int sender)
    {
        while (!_uplinks[sender].IsBusy && !_uplinks[sender].Ready.IsEmpty)
        {
            var number = _uplinks[sender].Ready.Take(_flows);
            if (_flows[number].IsClosed || _flows[number].NextFrame >= _flows[number].EndFrame)
            {
                FreeIfOver(number);
            }
            else
            {
                Send(number);
            }
        }
    }

    private void Send(int number)
    {
        ref var flow = ref _flows[number];
        ref var uplink = ref _uplinks[flow.Sender];
        var size = flow.SizeOf(flow.NextFrame);
        var sent = timeline.Now.Ticks + Duration(size, uplink.TicksPerByte);
        uplink.IsBusy = true;
        uplink.Bytes += size;
        timeline.At(new TimeSpan(sent), new Event(EventKind.UplinkFree, flow.Sender));

        var arrival = sent + latency.Ticks;
        if (flow.Trunk != Flow.None)
        {
            arrival = Math.Max(arrival, Enter(flow.Trunk, size, flow.Sender));
        }

        arrival = Math.Max(arrival, Enter(flow.Downlink, size, flow.Sender));
        timeline.At(new TimeSpan(arrival), new Event(EventKind.FrameArrived, number, flow.NextFrame));
        flow.FramesUnderWay++;
        flow.NextFrame++;
        Wake(number);
    }

    /// <summary>Books the time of a frame on a link and returns when it is through, as far as this link goes.</summary>
    private long Enter(int link, int size, int sender)
    {
        ref var entered = ref _links[link];
        entered.Bytes += size;
        var here = timeline.Now.Ticks + latency.Ticks;
        var ticks = Duration(size, entered.TicksPerByte);
        if (Greed is { } greed && (sender == greed.Sender || entered.GreedyUntil > here) && greed.TakesUntil(link, timeline.Now) is { } end)
        {
            if (sender == greed.Sender)
            {
                return entered.GreedyUntil = Math.Max(here, entered.GreedyUntil) + (long)(ticks / greed.Share);
            }

            var begin = Math.Max(here, entered.BusyUntil);
            var slowly = Math.Min(ticks, (long)(Math.Max(0, end.Ticks - begin) * (1 - greed.Share)));
            return entered.BusyUntil = begin + (long)(slowly / (1 - greed.Share)) + ticks - slowly;
        }

        entered.BusyUntil = Math.Max(here, Math.Max(entered.BusyUntil, entered.GreedyUntil)) + ticks;
        if (sender == Greed?.Sender)
        {
            // No frame of a flow overtakes the one before.
            entered.GreedyUntil = entered.BusyUntil;
        }

        return entered.BusyUntil;
    }

    private static long Duration(int size, double ticksPerByte) => (long)Math.Round(size * ticksPerByte);
}
