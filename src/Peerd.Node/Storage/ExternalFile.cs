using Microsoft.Win32.SafeHandles;

namespace Peerd.Node.Storage;

/// <summary>
/// A file that has a whole content and belongs to another program, which may delete it but never changes it. Opened once
/// and kept open until <see cref="Close"/>. Thread-safe.
/// </summary>
/// <param name="path">Where it is.</param>
/// <param name="size">Bytes that it must have.</param>
internal sealed class ExternalFile(string path, long size)
{
    private readonly Lock _lock = new();
    private volatile SafeFileHandle? _handle;
    private volatile bool _isServed;
    private volatile bool _isDistrusted;

    public string Path { get; } = path;

    public long Size { get; } = size;

    /// <summary>When it was last written, as found when it was met.</summary>
    public DateTime Written { get; } = File.GetLastWriteTimeUtc(path);

    /// <summary>Peers were given bytes of it.</summary>
    public bool IsServed => _isServed;

    /// <summary>Its bytes are not the content's: it is not to be used again.</summary>
    public bool IsDistrusted => _isDistrusted;

    /// <summary>Its bytes were found to match the digest.</summary>
    public bool IsChecked { get; set; }

    public void MarkServed() => _isServed = true;

    public void Distrust() => _isDistrusted = true;

    /// <summary>Fills the buffer with the bytes at <paramref name="offset"/>.</summary>
    /// <returns>Null, or why it cannot be read; it is of no use then.</returns>
    public string? TryRead(long offset, Span<byte> buffer)
    {
        // Another reader's close may come between; the file is opened again then.
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                var handle = _handle ?? Open();
                var total = 0;
                while (total < buffer.Length && RandomAccess.Read(handle, buffer[total..], offset + total) is > 0 and var read)
                {
                    total += read;
                }

                return total == buffer.Length ? null : $"{Path} ends before byte {offset + buffer.Length}";
            }
            catch (ObjectDisposedException) when (attempt < 3)
            {
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
            {
                return exception.Message;
            }
        }
    }

    public void Close()
    {
        lock (_lock)
        {
            var handle = _handle;
            _handle = null;
            handle?.Dispose();
        }
    }

    private SafeFileHandle Open()
    {
        lock (_lock)
        {
            if (_handle is { } open)
            {
                return open;
            }

            var handle = File.OpenHandle(Path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            var length = RandomAccess.GetLength(handle);
            if (length != Size)
            {
                handle.Dispose();
                throw new IOException($"{Path} has {length} bytes, not {Size}");
            }

            return _handle = handle;
        }
    }
}
