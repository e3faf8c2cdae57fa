using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Peerd.Simulation.Events;

/// <summary>
/// What is to happen, the earliest first; of events at one time the one that was added first. A heap of values with four
/// children to a parent: nothing is allocated for an event. Not thread-safe.
/// </summary>
internal sealed class EventQueue
{
    private const int Children = 4;

    private Entry[] _entries = new Entry[1024];
    private long _added;

    public int Count { get; private set; }

    public void Add(TimeSpan time, Event what)
    {
        if (Count == _entries.Length)
        {
            Array.Resize(ref _entries, 2 * Count);
        }

        var entry = new Entry(time.Ticks, _added++, what);
        var hole = Count++;
        while (hole > 0)
        {
            var parent = (hole - 1) / Children;
            if (!entry.IsBefore(in _entries[parent]))
            {
                break;
            }

            _entries[hole] = _entries[parent];
            hole = parent;
        }

        _entries[hole] = entry;
    }

    public bool TryTake(out TimeSpan time, out Event what)
    {
        if (Count == 0)
        {
            (time, what) = (default, default);
            return false;
        }

        (time, what) = (new TimeSpan(_entries[0].Time), _entries[0].What);
        var last = _entries[--Count];
        SinkFromTop(in last);
        return true;
    }

    private void SinkFromTop(in Entry entry)
    {
        var entries = _entries.AsSpan(0, Count);
        var hole = 0;
        for (var first = 1; first < entries.Length; first = (Children * hole) + 1)
        {
            var earliest = first;
            for (var child = first + 1; child < Math.Min(first + Children, entries.Length); child++)
            {
                earliest = entries[child].IsBefore(in entries[earliest]) ? child : earliest;
            }

            if (!entries[earliest].IsBefore(in entry))
            {
                break;
            }

            entries[hole] = entries[earliest];
            hole = earliest;
        }

        _entries[hole] = entry;
    }

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Entry(long Time, long Order, Event What)
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public bool IsBefore(in Entry other) => Time < other.Time || (Time == other.Time && Order < other.Order);
    }
}
