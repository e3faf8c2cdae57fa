namespace Peerd.Node.Swarm;

/// <summary>
/// Bounds what is kept in proportion to the sizes of contents that others tell: sizes of a TiB cost nothing to tell, and tables of such a
/// content take megabytes. Three quarters go to who comes first, so that one who really has much can have it; of the last quarter each
/// teller has the same share, so that what nobody else has told of has room although another has told much. Thread-safe.
/// </summary>
/// <param name="most">Bytes of all.</param>
internal sealed class SizeBudget(long most)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, long> _byTeller = new(StringComparer.Ordinal);
    private long _bytes;

    /// <summary>Bytes of all at most.</summary>
    public long Most => most;

    /// <summary>Bytes that are taken.</summary>
    public long Bytes
    {
        get
        {
            lock (_lock)
            {
                return _bytes;
            }
        }
    }

    /// <summary>Takes room; false when there is none for this teller.</summary>
    public bool TryTake(string teller, long bytes)
    {
        lock (_lock)
        {
            var taken = _byTeller.GetValueOrDefault(teller);
            var tellers = _byTeller.Count + (taken == 0 ? 1 : 0);
            var all = _bytes + bytes;
            if (all > most - (most / 4) && (all > most || taken + bytes > most / 4 / tellers))
            {
                return false;
            }

            _byTeller[teller] = taken + bytes;
            _bytes = all;
            return true;
        }
    }

    /// <summary>What was taken for one teller is taken for another one from now on; false when his share has no room for it, and nothing has changed.</summary>
    public bool TryMove(string from, string to, long bytes)
    {
        lock (_lock)
        {
            GiveBack(from, bytes);
            if (TryTake(to, bytes))
            {
                return true;
            }

            _byTeller[from] = _byTeller.GetValueOrDefault(from) + bytes;
            _bytes += bytes;
            return false;
        }
    }

    public void GiveBack(string teller, long bytes)
    {
        lock (_lock)
        {
            _bytes -= bytes;
            if ((_byTeller[teller] -= bytes) == 0)
            {
                _byTeller.Remove(teller);
            }
        }
    }
}

/// <summary>What one content has taken of it, all for the one who told its size, or for another one who told the same. Not thread-safe.</summary>
internal sealed class SizeShare(SizeBudget budget)
{
    private string _teller = string.Empty;

    /// <summary>The content is over: it can have nothing any more, however much room there is.</summary>
    public bool IsOver { get; private set; }

    /// <summary>Bytes that it has.</summary>
    public long Bytes { get; private set; }

    /// <summary>Has so many bytes from now on, more or fewer than before; false when there is no room, and nothing has changed.</summary>
    /// <param name="bytes">Bytes, more than 0.</param>
    /// <param name="teller">For whom; counts only when it has none.</param>
    public bool TryHold(long bytes, string? teller = null)
    {
        if (IsOver)
        {
            return false;
        }

        if (Bytes == 0 && teller is not null)
        {
            _teller = teller;
        }

        if (bytes > Bytes && !budget.TryTake(_teller, bytes - Bytes))
        {
            return false;
        }

        if (bytes < Bytes)
        {
            budget.GiveBack(_teller, Bytes - bytes);
        }

        Bytes = bytes;
        return true;
    }

    /// <summary>Has all of it for another one who tells the same size; false when his share has no room for it either.</summary>
    public bool TryMove(string teller)
    {
        if (Bytes == 0 || teller == _teller || !budget.TryMove(_teller, teller, Bytes))
        {
            return false;
        }

        _teller = teller;
        return true;
    }

    /// <summary>The content is over: gives all back, and has nothing from now on.</summary>
    public void End()
    {
        IsOver = true;
        if (Bytes > 0)
        {
            budget.GiveBack(_teller, Bytes);
            Bytes = 0;
        }
    }
}
