namespace Peerd.Simulation.Events;

/// <summary>The virtual time of one simulation, and what is still to happen in it. Not thread-safe.</summary>
internal sealed class Timeline
{
    private readonly EventQueue _queue = new();
    private readonly Stack<int> _freePlaces = [];
    private readonly List<Action?> _calls = [];

    public TimeSpan Now { get; private set; }

    /// <summary>How many events have happened.</summary>
    public long Happened { get; private set; }

    public void At(TimeSpan time, Event what) => _queue.Add(time, what);

    public void At(TimeSpan time, Action call)
    {
        if (!_freePlaces.TryPop(out var place))
        {
            place = _calls.Count;
            _calls.Add(null);
        }

        _calls[place] = call;
        _queue.Add(time, new Event(EventKind.Call, place));
    }

    public void After(TimeSpan delay, Action call) => At(Now + delay, call);

    /// <summary>Lets things happen until there are none, it is over, or the limit is reached.</summary>
    public void Run(TimeSpan limit, IEventHandler handler, Func<bool> isOver)
    {
        while (!isOver() && _queue.TryTake(out var time, out var what) && time <= limit)
        {
            Now = time;
            Happened++;
            if (what.Kind == EventKind.Call)
            {
                var call = _calls[what.Subject]!;
                _calls[what.Subject] = null;
                _freePlaces.Push(what.Subject);
                call();
            }
            else
            {
                handler.Handle(what);
            }
        }
    }
}
