namespace Peerd.Node.Swarm;

/// <summary>How long a requester is to leave the origin alone: because that asked it to, or because an owner says so, which may make it up. Not thread-safe.</summary>
internal sealed class OriginPauses(DownloaderPolicy policy)
{
    /// <summary>The origin was read while an owner said that it was not to be: no owner's word of a pause counts here any more.</summary>
    private bool _areMadeUp;

    /// <summary>When the pause ends, whoever told of it.</summary>
    public TimeSpan Until { get; private set; } = TimeSpan.MinValue;

    /// <summary>The same as the origin itself told it.</summary>
    public TimeSpan SeenUntil { get; private set; } = TimeSpan.MinValue;

    /// <summary>The origin itself has asked this node for a pause.</summary>
    public void Seen(TimeSpan pause, TimeSpan now) => Until = SeenUntil = now + pause;

    /// <summary>An owner says that the origin asked for one; false when its word does not count.</summary>
    public bool Told(TimeSpan pause, TimeSpan now)
    {
        if (_areMadeUp)
        {
            return false;
        }

        Until = now + (pause < policy.LongestOriginPause ? pause : policy.LongestOriginPause);
        return true;
    }

    /// <summary>The origin was read without a grant: what pause there was by an owner's word was none.</summary>
    public void WasRead(TimeSpan now)
    {
        if (Until > now)
        {
            _areMadeUp = true;
            Until = TimeSpan.MinValue;
        }
    }
}
