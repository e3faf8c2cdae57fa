using System.Buffers;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;

namespace Peerd.Node.Storage;

/// <summary>
/// A file of another program that has a whole content. Opened once and kept open until <see cref="Close"/>, and never again after <see cref="Retire"/>. Thread-safe.
/// </summary>
/// <param name="path">Where it is.</param>
/// <param name="size">Bytes that it must have.</param>
internal sealed class ExternalFile(string path, long size) : ExternalBytes(size)
{
    private const int HashBlock = 1 << 20;

    private readonly Lock _lock = new();
    private readonly DateTime _written = File.GetLastWriteTimeUtc(path);
    private volatile SafeFileHandle? _handle;

    public string Path { get; } = path;

    public override bool IsStale => !File.Exists(Path) || File.GetLastWriteTimeUtc(Path) != _written;

    public override ExternalRead TryRead(long offset, Span<byte> buffer)
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

                return total == buffer.Length ? ExternalRead.Done : ExternalRead.Lost($"{Path} ends before byte {offset + buffer.Length}");
            }
            catch (ObjectDisposedException) when (attempt < 3)
            {
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
            {
                return ExternalRead.Lost(exception.Message);
            }
        }
    }

    public override async Task HashAsync(IncrementalHash hash, CancellationToken cancellationToken)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(HashBlock);
        try
        {
            using var handle = File.OpenHandle(Path, options: FileOptions.Asynchronous);
            for (var offset = 0L; await RandomAccess.ReadAsync(handle, buffer, offset, cancellationToken) is > 0 and var read; offset += read)
            {
                hash.AppendData(buffer, 0, read);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    public override void Close()
    {
        lock (_lock)
        {
            var handle = _handle;
            _handle = null;
            handle?.Dispose();
        }
    }

    public override void Retire()
    {
        // No reader is to open it in between.
        lock (_lock)
        {
            base.Retire();
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

            if (IsRetired)
            {
                throw new IOException($"{Path} is not used any more");
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
