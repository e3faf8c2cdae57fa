using Peerd.Node.Limits;

namespace Peerd.Node.Mesh;

/// <summary>
/// Lets a range be read no faster than this node may read: each message is waited for before it is taken from the connection, so that
/// the peer is held back by the window of the stream and no buffer is held here. Not thread-safe.
/// </summary>
internal sealed class RangeAllowance(ByteRate rate, RangeRequest request, RangeLimits limits, RangeSilence silence, CancellationTokenSource deadline, IRangeSink sink, TimeProvider time)
{
    private readonly Urgency _urgency = request.Urgent ? Urgency.Streaming : request.Ahead ? Urgency.Ahead : Urgency.Pull;
    private readonly long _started = time.GetTimestamp();
    private TimeSpan _waited;

    /// <summary>First byte that was not paid for.</summary>
    private long _paid = request.Range.Offset;

    /// <summary>Most of the time was spent waiting here.</summary>
    public bool IsSlow => _waited > time.GetElapsedTime(_started) / 2;

    /// <summary>Waits until the message that begins here may be read. The peer's time stands still meanwhile.</summary>
    public async ValueTask TakeAsync(long offset, CancellationToken cancellationToken)
    {
        if (offset < _paid || offset >= request.Range.End)
        {
            return;
        }

        // However much of it the peer has, and what came beyond what was paid for: messages are not all of the same length.
        var end = Math.Min(offset + (request.Layout.FramesPerMessage * (long)request.Layout.FrameSize), request.Range.End);
        var length = (int)(end - _paid);
        var since = time.GetTimestamp();
        silence.Pause();
        deadline.CancelAfter(Timeout.InfiniteTimeSpan);
        await WaitAsync(rate.TakeAsync(length, _urgency, request.Digest, cancellationToken));
        _waited += time.GetElapsedTime(since);
        silence.Heard();
        var left = limits.Deadline - (time.GetElapsedTime(_started) - _waited);
        deadline.CancelAfter(left > TimeSpan.Zero ? left : TimeSpan.Zero);
        _paid = end;
    }

    private async Task WaitAsync(Task taking)
    {
        if (taking.IsCompleted)
        {
            await taking;
            return;
        }

        sink.HeldBack(true);
        try
        {
            await taking;
        }
        finally
        {
            sink.HeldBack(false);
        }
    }

    /// <summary>The range has ended: gives back what was not read, or pays for what was.</summary>
    /// <param name="expected">First byte that has not arrived.</param>
    public void End(long expected)
    {
        if (_paid > expected)
        {
            rate.GiveBack((int)(_paid - expected));
        }
        else if (_paid < expected)
        {
            rate.Owe((int)(expected - _paid));
        }
    }
}
