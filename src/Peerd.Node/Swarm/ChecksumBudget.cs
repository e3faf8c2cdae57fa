namespace Peerd.Node.Swarm;

/// <summary>
/// How many checksums of blocks are kept of what one member tells, over all contents of this node: sizes of a TiB cost nothing to tell, and
/// the checksums of such a content take 140 MB. What does not fit is not kept, and costs that its blocks are compared with nothing before
/// the whole is. Thread-safe.
/// </summary>
internal sealed class ChecksumBudget
{
    /// <summary>Bytes of one member: the checksums of contents of 270 GiB together, or of 400 GiB whose frames have 256 KiB.</summary>
    public const long Most = 64 << 20;

    /// <summary>What those of a piece take beside the checksums, roughly.</summary>
    private const int PieceBytes = 112;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, long> _byTeller = new(StringComparer.Ordinal);

    /// <summary>Bytes of all.</summary>
    public long Bytes
    {
        get
        {
            lock (_lock)
            {
                return _byTeller.Values.Sum();
            }
        }
    }

    /// <summary>Bytes that the checksums of a piece take, roughly.</summary>
    public static long BytesOf(int checksums) => PieceBytes + (sizeof(ulong) * (long)checksums);

    /// <summary>Takes room; false when there is none.</summary>
    public bool TryTake(string teller, long bytes)
    {
        lock (_lock)
        {
            var taken = _byTeller.GetValueOrDefault(teller) + bytes;
            if (taken > Most)
            {
                return false;
            }

            _byTeller[teller] = taken;
            return true;
        }
    }

    public void GiveBack(string teller, long bytes)
    {
        lock (_lock)
        {
            if ((_byTeller[teller] -= bytes) == 0)
            {
                _byTeller.Remove(teller);
            }
        }
    }
}

/// <summary>What one content has taken of it. Not thread-safe.</summary>
internal sealed class ChecksumShare(ChecksumBudget budget)
{
    private readonly Dictionary<string, long> _taken = new(StringComparer.Ordinal);

    /// <summary>Takes room for the checksums of a piece; false when there is none.</summary>
    public bool TryTake(string teller, int checksums)
    {
        var bytes = ChecksumBudget.BytesOf(checksums);
        if (!budget.TryTake(teller, bytes))
        {
            return false;
        }

        _taken[teller] = _taken.GetValueOrDefault(teller) + bytes;
        return true;
    }

    /// <summary>They are not kept after all.</summary>
    public void GiveBack(string teller, int checksums)
    {
        var bytes = ChecksumBudget.BytesOf(checksums);
        _taken[teller] -= bytes;
        budget.GiveBack(teller, bytes);
    }

    /// <summary>None are kept any more.</summary>
    public void Clear()
    {
        foreach (var (teller, bytes) in _taken.Where(taken => taken.Value > 0))
        {
            budget.GiveBack(teller, bytes);
        }

        _taken.Clear();
    }
}
