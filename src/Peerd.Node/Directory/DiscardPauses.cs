using Peerd.Contracts;

namespace Peerd.Node.Directory;

/// <summary>
/// How soon what is here of a content is dropped once more on the word of another: each time the pause is twice as long, so
/// that nobody can keep the others from ever having it. Thread-safe.
/// </summary>
/// <param name="time">Clock.</param>
/// <param name="first">The shortest pause.</param>
internal sealed class DiscardPauses(TimeProvider time, TimeSpan first)
{
    /// <summary>Contents that are remembered.</summary>
    public const int Most = 1024;

    /// <summary>The longest pause; a content that was left alone for so long begins anew.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromHours(1);

    /// <summary>Who was told has begun a pause of his own when that reached him, and ignores what comes before its end.</summary>
    public static readonly TimeSpan Delivery = TimeSpan.FromSeconds(2);

    private readonly Lock _lock = new();
    private readonly Dictionary<Digest, (long Since, TimeSpan Pause, bool IsOpen)> _pauses = [];
    private long _looked;

    /// <summary>Contents that are to be dropped once more, and may be now; not those that were left alone for long.</summary>
    public List<Digest> Open
    {
        get
        {
            lock (_lock)
            {
                var now = time.GetTimestamp();
                return [.. _pauses.Where(pause => pause.Value.IsOpen && IsDue(time.GetElapsedTime(pause.Value.Since, now) - pause.Value.Pause)).Select(static pause => pause.Key)];
            }
        }
    }

    /// <summary>True when it may be dropped now, and then not again before its pause is over.</summary>
    /// <param name="content">The content.</param>
    /// <param name="staysOpen">What comes in its place may be wrong, too: it is to be dropped once more.</param>
    public bool TryBegin(Digest content, bool staysOpen = false)
    {
        lock (_lock)
        {
            var now = time.GetTimestamp();
            var pause = first;
            if (_pauses.TryGetValue(content, out var last))
            {
                var since = time.GetElapsedTime(last.Since, now);
                if (since < last.Pause)
                {
                    return false;
                }

                pause = since >= Longest ? first : last.Pause * 2 < Longest ? last.Pause * 2 : Longest;
            }
            else if (_pauses.Count >= Most && !TryForget(now))
            {
                // Whoever makes up contents would else free the one that is meant. Who holds wrong bytes finds out without being told.
                return false;
            }

            _pauses[content] = (now, pause, staysOpen);
            return true;
        }
    }

    private static bool IsDue(TimeSpan sincePause) => sincePause >= Delivery && sincePause < Longest;

    private bool TryForget(long now)
    {
        // All of them are looked at, so not for each that comes.
        if (time.GetElapsedTime(_looked, now) < first)
        {
            return false;
        }

        _looked = now;
        foreach (var (content, _) in _pauses.Where(pause => time.GetElapsedTime(pause.Value.Since, now) >= Longest).ToList())
        {
            _pauses.Remove(content);
        }

        return _pauses.Count < Most;
    }
}
