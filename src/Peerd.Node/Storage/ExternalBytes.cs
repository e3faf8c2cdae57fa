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
    private volatile bool _isChecked;
    private volatile bool _isDistrusted;
    private long? _checkedAt;

    public long Size { get; } = size;

    /// <summary>Peers were given bytes of it.</summary>
    public bool IsServed => _isServed;

    /// <summary>Its bytes are not the content's: it is not to be used again.</summary>
    public bool IsDistrusted => _isDistrusted;

    /// <summary>It has gone or changed: it is not to be used again.</summary>
    public abstract bool IsStale { get; }

    /// <summary>Bytes have to be asked for with <see cref="PrepareAsync"/> before they are read, and may be gone again soon.</summary>
    public virtual bool NeedsPreparation => false;

    public void MarkServed() => _isServed = true;

    /// <summary>Peers were given bytes of it that nobody has compared with the digest, or one of them doubts the comparison. For one checker.</summary>
    public bool IsToBeChecked(TimeProvider time) =>
        _isServed && !_isChecked && !_isDistrusted && (_checkedAt is not { } at || time.GetElapsedTime(at) > BetweenChecks);

    /// <summary>Its bytes were compared with the digest. For one checker.</summary>
    public void MarkChecked(TimeProvider time)
    {
        _isChecked = true;
        _checkedAt = time.GetTimestamp();
    }

    /// <summary>A peer says that its bytes are wrong.</summary>
    public void Doubt()
    {
        _isServed = true;
        _isChecked = false;
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
}

/// <summary>How a read of <see cref="ExternalBytes"/> went.</summary>
/// <param name="Failure">Null when the buffer is filled, else why it is not.</param>
/// <param name="IsLost">No other read will go better.</param>
internal readonly record struct ExternalRead(string? Failure, bool IsLost)
{
    public static ExternalRead Done => default;

    public static ExternalRead Lost(string failure) => new(failure, IsLost: true);
}
