namespace Peerd.Node.Swarm;

/// <summary>How quickly frames, or segments, come from one source while something is asked of it. Not thread-safe.</summary>
internal sealed class SourceRate
{
    /// <summary>How long it has been sending, or should have been.</summary>
    public TimeSpan Busy { get; private set; }

    /// <summary>How many it has sent, as far as that counts still.</summary>
    public double Sent { get; private set; }

    /// <summary>How many in a second of this time; 0 as long as there is none.</summary>
    public double PerSecond => Busy > TimeSpan.Zero ? Sent / Busy.TotalSeconds : 0;

    /// <summary>It has sent one, or so many.</summary>
    public void Arrived(int count = 1) => Sent += count;

    /// <summary>Something was asked of it for so long.</summary>
    public void Passed(TimeSpan time) => Busy += time;

    /// <summary>What was until now counts half, or half of a half.</summary>
    public void Fade(int times = 1)
    {
        var part = Math.ScaleB(1, -times);
        Sent *= part;
        Busy *= part;
    }

    /// <summary>What was until now does not count any more.</summary>
    public void Forget() => (Sent, Busy) = (0, TimeSpan.Zero);
}
