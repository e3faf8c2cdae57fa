using System.Security.Cryptography;
using Grpc.Core;
using Peerd.Contracts;

namespace Peerd.Node.Storage.Containerd;

/// <summary>A blob whose file this process cannot read: containerd reads it. Thread-safe.</summary>
internal sealed class ContainerdBlob(Digest digest, long size, BlobFetcher fetcher) : ExternalBytes(size)
{
    /// <summary>So often in a row containerd may be away: it is being started anew, or very busy.</summary>
    private const int MostAway = 5;

    private static readonly TimeSpan AwayPause = TimeSpan.FromMilliseconds(200);

    private volatile string? _failure;
    private int _away;

    public Digest Digest { get; } = digest;

    public override bool IsStale => _failure is not null;

    public override bool NeedsPreparation => true;

    public override ValueTask PrepareAsync(long offset, long length, CancellationToken cancellationToken)
    {
        var last = LastPart(offset, length);
        for (var part = PartAt(offset); part <= last; part++)
        {
            if (!fetcher.Parts.Has(this, part))
            {
                return new ValueTask(FetchAsync(part, last, cancellationToken));
            }
        }

        return ValueTask.CompletedTask;
    }

    public override ExternalRead TryRead(long offset, Span<byte> buffer)
    {
        while (buffer.Length > 0)
        {
            var part = PartAt(offset);
            var within = (int)(offset - ((long)part * BlobParts.PartSize));
            var length = Math.Min(buffer.Length, LengthOf(part) - within);
            if (!fetcher.Parts.TryRead(this, part, within, buffer[..length]))
            {
                return _failure is { } failure ? ExternalRead.Lost(failure) : new ExternalRead("containerd was not asked for it, or it is gone again", IsLost: false);
            }

            offset += length;
            buffer = buffer[length..];
        }

        return ExternalRead.Done;
    }

    public override async Task HashAsync(IncrementalHash hash, CancellationToken cancellationToken)
    {
        try
        {
            for (var offset = 0L; offset < Size; offset += BlobParts.PartSize)
            {
                using var bytes = await fetcher.Client.ReadAsync(Digest, offset, LengthOf(PartAt(offset)), cancellationToken);
                hash.AppendData(bytes.Memory.Span);
            }
        }
        catch (RpcException exception) when (!ContainerdClient.IsAway(exception.StatusCode))
        {
            throw new IOException(exception.Status.Detail, exception);
        }
    }

    // A part after the other: they are rarely more than two.
    private async Task FetchAsync(int first, int last, CancellationToken cancellationToken)
    {
        for (var part = first; part <= last && _failure is null; part++)
        {
            try
            {
                if (!fetcher.Parts.Has(this, part))
                {
                    await fetcher.FetchAsync(this, part, LengthOf(part), cancellationToken);
                    Volatile.Write(ref _away, 0);
                }
            }
            catch (RpcException exception) when (ContainerdClient.IsAway(exception.StatusCode) && Interlocked.Increment(ref _away) < MostAway)
            {
                // Whoever reads comes again.
                await Task.Delay(AwayPause * Volatile.Read(ref _away), fetcher.Time, cancellationToken);
                return;
            }
            catch (RpcException exception)
            {
                _failure = $"containerd does not read it: {exception.StatusCode}: {exception.Status.Detail}";
            }
            catch (Exception exception) when (exception is IOException or ObjectDisposedException)
            {
                _failure = $"containerd does not read it: {exception.Message}";
            }
        }
    }

    private static int PartAt(long offset) => (int)(offset / BlobParts.PartSize);

    private static int LastPart(long offset, long length) => length == 0 ? -1 : PartAt(offset + length - 1);

    private int LengthOf(int part) => (int)Math.Min(BlobParts.PartSize, Size - ((long)part * BlobParts.PartSize));
}
