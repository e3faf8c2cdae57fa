using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Mesh;

/// <summary>
/// The answers to one range on their way to the reader: frames go to the connection together while there are more, and
/// the reader is told when they have to be waited for. Its end must be written at once. Not thread-safe.
/// </summary>
/// <param name="id">The id of the range.</param>
/// <param name="stream">Where the answers go.</param>
/// <param name="time">Measures how long a wait lasts.</param>
/// <param name="stop">Nothing more is written once it is cancelled.</param>
/// <param name="deadline">
/// Ends a write that the reader does not take. It resets the whole stream: too much for a range that was cancelled, which
/// is why <paramref name="stop"/> does not do so.
/// </param>
internal sealed class RangeAnswers(uint id, IServerStreamWriter<RangeAnswer> stream, TimeProvider time, CancellationToken stop, CancellationToken deadline)
{
    /// <summary>So many bytes may wait before they are handed to the connection: small frames go there together.</summary>
    private const int Batch = 256 * 1024;

    /// <summary>How often a reader hears that its range still waits.</summary>
    private static readonly TimeSpan WaitingInterval = TimeSpan.FromSeconds(1);

    private static readonly WriteOptions AtOnce = new();
    private static readonly WriteOptions Buffered = new(WriteFlags.BufferHint);

    private int _buffered;
    private long? _waitingTold;

    /// <summary>Opens the answer. A frame, a wait or the end takes it along.</summary>
    public Task HeadAsync(long size, string? mediaType)
    {
        _waitingTold = null;
        return WriteAsync(RangeAnswer.OfControl(new FetchRangeResponse { Id = id, Head = new RangeHead { Size = size, MediaType = mediaType ?? string.Empty } }), Buffered);
    }

    /// <summary>Sends a message of frames.</summary>
    /// <param name="frame">The message.</param>
    /// <param name="isNextHere">The next one of the range can be sent, too; else a wait or the end is about to take this one along.</param>
    public Task FrameAsync(RangeAnswer frame, bool isNextHere)
    {
        _waitingTold = null;
        _buffered += frame.Length;
        var isHeldBack = isNextHere ? _buffered + frame.Length <= Batch : _buffered <= 2 * Batch;
        _buffered = isHeldBack ? _buffered : 0;
        return WriteAsync(frame, isHeldBack ? Buffered : AtOnce);
    }

    /// <summary>The next bytes are waited for: says so at once when nothing has been sent since, then every second.</summary>
    public Task WaitingAsync()
    {
        if (_waitingTold is { } told && time.GetElapsedTime(told) < WaitingInterval)
        {
            return Task.CompletedTask;
        }

        _waitingTold = time.GetTimestamp();
        _buffered = 0;
        return WriteAsync(RangeAnswer.OfControl(new FetchRangeResponse { Id = id, Waiting = new RangeWaiting() }), AtOnce);
    }

    private Task WriteAsync(RangeAnswer answer, WriteOptions options)
    {
        stop.ThrowIfCancellationRequested();
        stream.WriteOptions = options;
        return stream.WriteAsync(answer, deadline);
    }
}
