using Peerd.Contracts;

namespace Peerd.Node.Storage;

/// <summary>What has become of a frame; those from <see cref="OnDisk"/> on are here.</summary>
internal enum FrameState : byte
{
    Absent,
    Writing,

    /// <summary>Dropped while it was being written: it is absent as soon as its writer has finished.</summary>
    Doomed,
    OnDisk,

    /// <summary>On disk since before a restart, or others have written there: its first reader checks it.</summary>
    Unchecked,
    InMemory,

    /// <summary>Not in our files, but in another's file on this node.</summary>
    External,
}

/// <summary>
/// The states of all frames of one content. Any thread can look at them; they change under the content's lock: to one that says that the
/// frame is here when it is, and to <see cref="FrameState.Absent"/> before it goes.
/// </summary>
internal sealed class FrameStates(ContentLayout layout)
{
    // FrameState, as what can be read as volatile.
    private readonly byte[] _states = new byte[layout.FrameCount];
    private int _held;

    public int Count => _states.Length;

    /// <summary>How many are here.</summary>
    public int Held => Volatile.Read(ref _held);

    public FrameState this[int frame]
    {
        get => (FrameState)Volatile.Read(ref _states[frame]);
        set
        {
            var change = (IsHeld(value) ? 1 : 0) - (IsHeld(this[frame]) ? 1 : 0);
            Volatile.Write(ref _states[frame], (byte)value);
            if (change != 0)
            {
                Volatile.Write(ref _held, _held + change);
            }
        }
    }

    /// <summary>The frame is here; false also for numbers that no frame has.</summary>
    public bool Has(int frame) => (uint)frame < (uint)_states.Length && IsHeld(this[frame]);

    /// <summary>The frame has this state; false also for numbers that no frame has.</summary>
    public bool Is(int frame, FrameState state) => (uint)frame < (uint)_states.Length && this[frame] == state;

    /// <summary>Some frame of the piece has this state.</summary>
    public bool IsAny(int piece, FrameState state) => _states.AsSpan(layout.FirstFrameOf(piece), layout.FramesIn(piece)).Contains((byte)state);

    /// <summary>Where the bytes of frames that follow each other in this state end; it is not looked beyond the frame in which <paramref name="wanted"/> is.</summary>
    public long EndOfRun(int frame, FrameState state, long wanted)
    {
        var end = layout.Frame(frame).End;
        for (var next = frame + 1; end < wanted && this[next] == state; next++)
        {
            end = layout.Frame(next).End;
        }

        return end;
    }

    /// <summary>All frames that are on disk are to be checked.</summary>
    public void DoubtDisk() => _states.Replace((byte)FrameState.OnDisk, (byte)FrameState.Unchecked);

    private static bool IsHeld(FrameState state) => state >= FrameState.OnDisk;
}
