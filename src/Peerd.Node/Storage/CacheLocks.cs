namespace Peerd.Node.Storage;

/// <summary>
/// Who has the cache directory. <c>lock</c> belongs to the one process that writes; <c>next</c> to a new process of the
/// node that waits for it; <c>former</c> to the process before, as long as it still reads. They go with their process,
/// however that ends. Thread-safe.
/// </summary>
internal sealed class CacheLocks(string root) : IDisposable
{
    // What IOException.HResult is on Unix when somebody else has the lock: EAGAIN.
    private const int WouldBlock = 11;

    private readonly Lock _lock = new();
    private FileStream? _owner;
    private FileStream? _next;
    private FileStream? _former;
    private volatile bool _mayHaveFormer = true;
    private bool _isDisposed;

    /// <summary>Takes the directory, unless that is done; creates it when it is missing.</summary>
    /// <returns>False when another process has it.</returns>
    /// <exception cref="IOException">The directory cannot be made or written to; also <see cref="UnauthorizedAccessException"/>.</exception>
    public bool TryOwn()
    {
        lock (_lock)
        {
            if (_owner is null && !_isDisposed)
            {
                System.IO.Directory.CreateDirectory(root);
                _owner = TryLock("lock");
                _mayHaveFormer = true;
            }

            if (_owner is not null)
            {
                _former?.Dispose();
                _former = null;
            }

            return _owner is not null;
        }
    }

    /// <summary>Waits in line for the directory, so that its owner lets go of it.</summary>
    /// <returns>False when another process waits already.</returns>
    public bool TryQueue()
    {
        lock (_lock)
        {
            return (_next ??= TryLock("next")) is not null;
        }
    }

    /// <summary>Waits no more: this process serves.</summary>
    public void LeaveQueue()
    {
        lock (_lock)
        {
            _next?.Dispose();
            _next = null;
        }
    }

    /// <summary>Another process waits in line, or has taken the directory and does not serve yet.</summary>
    /// <param name="whenUnknown">What is taken for true when the disk does not say.</param>
    public bool IsSomebodyQueueing(bool whenUnknown = true) => _next is null && IsTaken("next", whenUnknown);

    /// <summary>
    /// The process before this one still reads: what it may read must not be overwritten, only deleted. When the disk does not say it is
    /// there: nothing is taken from it.
    /// </summary>
    public bool HasFormer() => _mayHaveFormer && _former is null && (_mayHaveFormer = IsTaken("former", whenUnknown: true));

    /// <summary>Lets go of the directory; from then on until <see cref="TryOwn"/> this process reads only.</summary>
    public void Release()
    {
        lock (_lock)
        {
            _former ??= TryLock("former");
            _owner?.Dispose();
            _owner = null;
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _isDisposed = true;
            _owner?.Dispose();
            _next?.Dispose();
            _former?.Dispose();
        }
    }

    // By a shared flock: two that look at the same moment do not take each other for an owner.
    private bool IsTaken(string name, bool whenUnknown)
    {
        try
        {
            using var look = new FileStream(Path.Combine(root, name), FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            return false;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return false;
        }
        catch (IOException exception) when (exception.HResult == WouldBlock)
        {
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return whenUnknown;
        }
    }

    // FileShare.None is an exclusive flock.
    private FileStream? TryLock(string name)
    {
        try
        {
            return new FileStream(Path.Combine(root, name), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);
        }
        catch (IOException exception) when (exception.HResult == WouldBlock)
        {
            return null;
        }
    }
}
