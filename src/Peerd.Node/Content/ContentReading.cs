using System.IO.Pipelines;
using Peerd.Contracts;
using Peerd.Node.Storage;
using Peerd.Node.Swarm;

namespace Peerd.Node.Content;

/// <summary>A content that is open for one client. Used by one request at a time.</summary>
internal sealed class ContentReading(
    ContentFacts facts, ContentLease? lease, DownloadUse? use, DownloadReader? reader, Func<DownloadUse>? rejoin, ServedBytes served, TimeProvider time) : IContentReading
{
    private const int LongestWrite = 256 * 1024;

    /// <summary>After so many bytes others have their turn.</summary>
    private const int Turn = 4 * 1024 * 1024;

    /// <summary>A client that takes nothing for this long is given up.</summary>
    private static readonly TimeSpan ClientTimeout = TimeSpan.FromSeconds(120);

    private DownloadUse? _use = use;
    private DownloadReader? _reader = reader;

    public ContentFacts Facts => facts;

    public bool IsSpoilt { get; private set; }

    public long Arrived => Volatile.Read(ref _use)?.Download.Stored ?? 0;

    public ByteSource Source { get; private set; }

    public ContentFacts? Failure => (_use?.Failure ?? _reader?.Failure) is { } failure ? ContentReader.FactsOf(failure) : null;

    public bool IsSizeDisputed => _use?.Download.IsSizeDisputed ?? false;

    public async Task<bool> WaitVerifiedAsync(CancellationToken cancellationToken)
    {
        if (lease!.Content.IsVerified || _use is not { Download.FinishedAsync: var finished })
        {
            return lease.Content.IsVerified;
        }

        await Task.WhenAny(finished, _reader?.RefusedAsync ?? finished).WaitAsync(cancellationToken);
        return finished.IsCompleted && await finished;
    }

    public Task<CopyOutcome> CopyToAsync(PipeWriter destination, ByteRange range, CancellationToken cancellationToken) =>
        CopyAsync(destination, range, isServed: true, cancellationToken);

    public Task<CopyOutcome> PeekAsync(PipeWriter destination, ByteRange range, CancellationToken cancellationToken) =>
        CopyAsync(destination, range, isServed: false, cancellationToken);

    public ValueTask DisposeAsync()
    {
        _reader?.Dispose();
        _use?.Dispose();
        lease?.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task<CopyOutcome> CopyAsync(PipeWriter destination, ByteRange range, bool isServed, CancellationToken cancellationToken)
    {
        using var stalled = new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, stalled.Token);
        try
        {
            var resets = 0;
            for (var offset = range.Offset; offset < range.End;)
            {
                resets = offset == range.Offset ? lease!.Content.Resets : resets;
                var next = await NextAsync(offset, range.End, cancellationToken);

                // Right bytes do not mend a body that began with wrong ones.
                IsSpoilt = offset > range.Offset && lease!.Content.Resets != resets;
                if (next is not { } length || IsSpoilt)
                {
                    return CopyOutcome.SourceFailed;
                }

                await lease!.Content.PrepareAsync(offset, length, cancellationToken);
                if (!TryRead(destination, offset, length))
                {
                    continue;
                }

                if (isServed)
                {
                    var source = served.Add(lease.Content, ByteRange.FromBounds(offset, offset + length), _use?.Download);
                    Source = source > Source ? source : Source;
                }

                offset += length;
                stalled.CancelAfter(ClientTimeout);
                var flushed = await destination.FlushAsync(stop.Token);
                stalled.CancelAfter(Timeout.InfiniteTimeSpan);
                if (flushed.IsCompleted || flushed.IsCanceled)
                {
                    return CopyOutcome.ReaderGone;
                }

                _reader?.MoveTo(offset);
                if (offset < range.End && offset / Turn > (offset - length) / Turn)
                {
                    // Writing to a client that is as fast as this node never waits, and the thread is one of few.
                    await Task.Yield();
                }
            }

            return CopyOutcome.Complete;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested || cancellationToken.IsCancellationRequested)
        {
            return CopyOutcome.ReaderGone;
        }
    }

    /// <summary>How many bytes from <paramref name="offset"/> on may be sent now, at least one; null when no source has them.</summary>
    private async ValueTask<int?> NextAsync(long offset, long end, CancellationToken cancellationToken)
    {
        var content = lease!.Content;
        var layout = content.Layout;
        if (offset == layout.Size - 1 && !await IsRightAsync(content, layout.FrameAt(offset), cancellationToken))
        {
            return null;
        }

        var frame = layout.FrameAt(offset);
        var readable = int.MaxValue;
        if (_reader is { NeedsWhole: true } && _use is { } current)
        {
            // Of one that is not near the end yet nobody hashes what is before it.
            await current.Download.WaitReadableAsync(frame, _reader, cancellationToken);
            readable = current.Download.ReadableFrames;
        }

        while (!content.HasFrame(frame))
        {
            if (!await ArrivedAsync(content, frame, cancellationToken))
            {
                return null;
            }
        }

        var last = Math.Min(end, offset + LongestWrite);
        var available = layout.Frame(frame).End;
        while (available < last && layout.FrameAt(available) < readable && content.HasFrame(layout.FrameAt(available)))
        {
            available = layout.Frame(layout.FrameAt(available)).End;
        }

        available = Math.Min(available, last);
        if (available == layout.Size && !content.IsVerified && offset < layout.Size - 1)
        {
            available--;
        }

        return (int)(available - offset);
    }

    private async ValueTask<bool> IsRightAsync(CachedContent content, int frame, CancellationToken cancellationToken) =>
        content.IsVerified || (await EnsureDownloadAsync(content, frame, cancellationToken) && await WaitVerifiedAsync(cancellationToken));

    private async ValueTask<bool> ArrivedAsync(CachedContent content, int frame, CancellationToken cancellationToken)
    {
        if (!await EnsureDownloadAsync(content, frame, cancellationToken))
        {
            return false;
        }

        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var arrived = _use!.Download.WaitForFrameAsync(frame, either.Token).AsTask();
        await Task.WhenAny(arrived, _use.Download.GaveUpAsync, _reader!.RefusedAsync);
        if (!arrived.IsCompletedSuccessfully)
        {
            await either.CancelAsync();
            await arrived.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            cancellationToken.ThrowIfCancellationRequested();
        }

        // From memory it may be gone again by now.
        return arrived.IsCompletedSuccessfully || content.HasFrame(frame);
    }

    /// <summary>A content that was whole has lost a frame, or was read while it was whole: somebody must fetch it again.</summary>
    private async ValueTask<bool> EnsureDownloadAsync(CachedContent content, int frame, CancellationToken cancellationToken)
    {
        if (_use is null)
        {
            _use = rejoin!();
            if (await _use.Download.OpenedAsync.WaitAsync(cancellationToken) is not null)
            {
                return false;
            }

            _reader = _use.AddReader(ByteRange.FromBounds(content.Layout.Frame(frame).Offset, content.Size), int.MaxValue);
        }

        // A content that was removed and fetched anew is another object; this reading can't go on with it.
        return ReferenceEquals(_use.Download.Content, content);
    }

    private bool TryRead(PipeWriter destination, long offset, int length)
    {
        try
        {
            lease!.Content.Read(offset, destination.GetMemory(length).Span[..length]);
        }
        catch (FrameLostException lost)
        {
            _use?.Download.FrameLost(lost.Frame);
            return false;
        }

        destination.Advance(length);
        return true;
    }
}
