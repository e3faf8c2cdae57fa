using System.Security.Cryptography;

namespace Peerd.Node.Storage;

/// <summary>
/// A whole content that another program on this node keeps, which may delete it but never changes it. Thread-safe.
/// </summary>
/// <param name="size">Bytes that it must have.</param>
internal abstract class ExternalBytes(long size)
{
    // Whoever doubts a content again and again must not keep the disk busy.
    private static readonly TimeSpan BetweenChecks = TimeSpan.FromMinutes(1);

    private volatile bool _isServed;
    private int _doubts = 1;
    private int _checkedDoubts;
    private volatile bool _isDistrusted;
    private volatile bool _isRetired;
    private long? _checkedAt;

    public long Size { get; } = size;

    /// <summary>Peers were given bytes of it.</summary>
    public bool IsServed => _isServed;

    /// <summary>How often it was doubted; what comes while it is being compared calls for another comparison.</summary>
    public int Doubts => Volatile.Read(ref _doubts);

    /// <summary>Its bytes are not the content's: it is not to be used again.</summary>
    public bool IsDistrusted => _isDistrusted;

    /// <summary>It has gone or changed: it is not to be used again.</summary>
    public abstract bool IsStale { get; }

    /// <summary>See <see cref="Retire"/>.</summary>
    public bool IsRetired => _isRetired;

    /// <summary>Bytes have to be asked for with <see cref="PrepareAsync"/> before they are read, and may be gone again soon.</summary>
    public virtual bool NeedsPreparation => false;

    public void MarkServed() => _isServed = true;

    /// <summary>Peers were given bytes of it that nobody has compared with the digest, or one of them doubts the comparison. For one checker.</summary>
    public bool IsToBeChecked(TimeProvider time) =>
        _isServed && _checkedDoubts != Doubts && !_isDistrusted && (_checkedAt is not { } at || time.GetElapsedTime(at) > BetweenChecks);

    /// <summary>Its bytes were compared with the digest. For one checker.</summary>
    /// <param name="doubts">The doubts that there were when that began.</param>
    /// <param name="time">Clock.</param>
    public void MarkChecked(int doubts, TimeProvider time)
    {
        _checkedDoubts = doubts;
        Postpone(time);
    }

    /// <summary>Its bytes cannot be compared now. For one checker.</summary>
    public void Postpone(TimeProvider time) => _checkedAt = time.GetTimestamp();

    /// <summary>A peer says that its bytes are wrong.</summary>
    public void Doubt()
    {
        _isServed = true;
        Interlocked.Increment(ref _doubts);
    }

    public void Distrust() => _isDistrusted = true;

    /// <summary>Sees to it that bytes can be read. Whether that went well is seen when they are read.</summary>
    public virtual ValueTask PrepareAsync(long offset, long length, CancellationToken cancellationToken) => ValueTask.CompletedTask;

    /// <summary>Fills the buffer with the bytes at <paramref name="offset"/>.</summary>
    public abstract ExternalRead TryRead(long offset, Span<byte> buffer);

    /// <summary>Adds all bytes to a hash.</summary>
    /// <exception cref="IOException">They cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">They must not be read.</exception>
    public abstract Task HashAsync(IncrementalHash hash, CancellationToken cancellationToken);

    /// <summary>Nobody reads it at the moment.</summary>
    public virtual void Close()
    {
    }

    /// <summary>Nobody is to read it any more; who still does is told that it is lost.</summary>
    public virtual void Retire()
    {
        _isRetired = true;
        Close();
    }
}

/// <summary>How a read of <see cref="ExternalBytes"/> went.</summary>
/// <param name="Failure">Null when the buffer is filled, else why it is not.</param>
/// <param name="IsLost">No other read will go better.</param>
internal readonly record struct ExternalRead(string? Failure, bool IsLost)
{
    public static ExternalRead Done => default;

    public static ExternalRead Lost(string failure) => new(failure, IsLost: true);
}
