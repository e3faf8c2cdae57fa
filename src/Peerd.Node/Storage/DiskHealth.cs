namespace Peerd.Node.Storage;

/// <summary>
/// Whether the disk takes writes. After a failure it is left alone for a while, then one write tries it again.
/// Thread-safe.
/// </summary>
internal sealed class DiskHealth(TimeProvider time, ILogger log)
{
    public static readonly TimeSpan Pause = TimeSpan.FromSeconds(10);

    // What IOException.HResult is on Linux when there is no room: ENOSPC on the disk, EDQUOT within a quota.
    private const int NoSpace = 28;
    private const int QuotaExceeded = 122;

    private readonly Lock _lock = new();
    private volatile bool _isWritable = true;
    private long _failedAt;

    public bool IsWritable => _isWritable;

    /// <summary>The write failed for want of room, which may be made.</summary>
    public static bool IsFull(Exception failure) => failure is IOException { HResult: NoSpace or QuotaExceeded };

    /// <summary>True when a write should go to the disk: it works, or it is time for one attempt.</summary>
    public bool MayWrite()
    {
        if (_isWritable)
        {
            return true;
        }

        lock (_lock)
        {
            if (time.GetElapsedTime(_failedAt) < Pause)
            {
                return _isWritable;
            }

            // The others wait for the outcome of this one attempt.
            _failedAt = time.GetTimestamp();
            return true;
        }
    }

    public void Failed(Exception reason)
    {
        bool isNew;
        lock (_lock)
        {
            isNew = _isWritable;
            _isWritable = false;
            _failedAt = time.GetTimestamp();
        }

        if (isNew)
        {
            Log.DiskFailed(log, reason.Message);
        }
    }

    public void Succeeded()
    {
        if (_isWritable)
        {
            return;
        }

        lock (_lock)
        {
            if (_isWritable)
            {
                return;
            }

            _isWritable = true;
        }

        Log.DiskRecovered(log);
    }
}
