namespace Peerd.Node.Mesh;

/// <summary>
/// Leaves a peer alone from which not a byte comes, whatever content is asked of it: its process stands still, say, and its system answers
/// for it. Who waits gives up each range after a while and asks elsewhere, so that <see cref="PeerBreaker"/> sees no failure, but for each
/// content anew. Thread-safe.
/// </summary>
internal sealed class PeerSilence(TimeProvider time)
{
    /// <summary>The first pause; each one after a trial is twice as long, up to 8 s.</summary>
    public static readonly TimeSpan First = TimeSpan.FromSeconds(2);

    /// <summary>Ranges, one after the other, for which nothing came.</summary>
    private const int LeastRanges = 2;

    private const int MostDoublings = 2;

    /// <summary>A range that was given up earlier says nothing of the peer.</summary>
    private static readonly TimeSpan LeastTime = TimeSpan.FromMilliseconds(500);

    /// <summary>Two that are further apart have nothing to do with each other.</summary>
    private static readonly TimeSpan Window = TimeSpan.FromSeconds(30);

    private readonly Lock _lock = new();
    private int _silent;
    private int _pauses;
    private long _last;
    private long _pausedAt;

    /// <summary>A range may be asked of it. After each pause one may, and the others not until the next.</summary>
    public bool MayAsk()
    {
        if (Volatile.Read(ref _silent) < LeastRanges)
        {
            return true;
        }

        lock (_lock)
        {
            if (_silent >= LeastRanges)
            {
                if (time.GetElapsedTime(_pausedAt) < First * Math.Pow(2, Math.Min(MostDoublings, _pauses)))
                {
                    return false;
                }

                _pauses++;
                _pausedAt = time.GetTimestamp();
            }

            return true;
        }
    }

    /// <summary>A range has ended.</summary>
    /// <param name="started">When it was asked for.</param>
    /// <param name="hasSpoken">Something came from the peer meanwhile, for whichever range.</param>
    public void Ended(long started, bool hasSpoken)
    {
        if (hasSpoken)
        {
            if (Volatile.Read(ref _silent) > 0)
            {
                lock (_lock)
                {
                    (_silent, _pauses) = (0, 0);
                }
            }

            return;
        }

        var now = time.GetTimestamp();
        if (time.GetElapsedTime(started, now) < LeastTime)
        {
            return;
        }

        lock (_lock)
        {
            if (_silent > 0 && started < _last)
            {
                // They were under way together, and say no more than one of them.
                return;
            }

            _silent = _silent is > 0 and < LeastRanges && time.GetElapsedTime(_last, now) > Window ? 1 : _silent + 1;
            _last = now;
            if (_silent == LeastRanges)
            {
                _pausedAt = now;
            }
        }
    }
}
