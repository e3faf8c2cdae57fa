using System.Collections.Concurrent;
using System.Threading.Channels;
using Grpc.Core;
using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Storage;

namespace Peerd.Node.Mesh;

/// <summary>
/// Serves ranges of what this node holds or is reading from the origin right now. At most
/// <see cref="MeshOptions.Uploads"/> at a time over all streams; no queue beyond that. Thread-safe.
/// </summary>
internal sealed class RangeServer(
    PieceCache cache,
    IIncomingPieces incoming,
    PeerTraffic traffic,
    IOptions<MeshOptions> options,
    MeshMetrics metrics,
    TimeProvider time) : IDisposable
{
    /// <summary>Ranges that a reader may have asked for on one stream beside the one that is being answered.</summary>
    private const int PipelinedRanges = 8;

    /// <summary>So many bytes may wait in a stream's buffer before they are handed to the connection: small frames go there together.</summary>
    private const int Batch = 256 * 1024;

    /// <summary>How often a range that waits for bytes looks whether they are still on their way.</summary>
    private static readonly TimeSpan IncomingCheck = TimeSpan.FromMilliseconds(250);

    private static readonly WriteOptions AtOnce = new();
    private static readonly WriteOptions Buffered = new(WriteFlags.BufferHint);

    private readonly SemaphoreSlim _uploads = new(options.Value.UploadsValue);
    private readonly TimeSpan _deadline = options.Value.RangeDeadlineValue;

    public async Task ServeAsync(IAsyncStreamReader<FetchRangeRequest> requests, IServerStreamWriter<RangeAnswer> answers, string? node, CancellationToken cancellationToken)
    {
        var queue = Channel.CreateBounded<PendingRange>(new BoundedChannelOptions(PipelinedRanges) { SingleReader = true, SingleWriter = true });
        var pending = new ConcurrentDictionary<uint, PendingRange>();
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var serving = ServeQueueAsync(queue.Reader, pending, answers, node, ended.Token);
        try
        {
            var reading = ReadRequestsAsync(requests, queue.Writer, pending, ended.Token);
            if (await Task.WhenAny(reading, serving) == reading)
            {
                await reading;
                queue.Writer.Complete();
            }
            else
            {
                // A range that broke in the middle of a message ends the stream.
                await ended.CancelAsync();
                await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            await serving;
        }
        finally
        {
            await ended.CancelAsync();
            await serving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            foreach (var range in pending.Values)
            {
                range.Dispose();
            }
        }
    }

    public void Dispose() => _uploads.Dispose();

    private static async Task ReadRequestsAsync(
        IAsyncStreamReader<FetchRangeRequest> requests, ChannelWriter<PendingRange> queue, ConcurrentDictionary<uint, PendingRange> pending, CancellationToken cancellationToken)
    {
        await foreach (var request in requests.ReadAllAsync(cancellationToken))
        {
            if (request.Cancel is { } cancel)
            {
                if (pending.TryGetValue(cancel.Id, out var cancelled))
                {
                    cancelled.Cancel();
                }

                continue;
            }

            if (request.Range is null)
            {
                throw new RpcException(new Status(StatusCode.InvalidArgument, "a message must hold 'range' or 'cancel'"));
            }

            var range = new PendingRange(request.Range);
            if (!pending.TryAdd(request.Range.Id, range))
            {
                range.Dispose();
                throw new RpcException(new Status(StatusCode.InvalidArgument, $"range {request.Range.Id} is still being answered"));
            }

            await queue.WriteAsync(range, cancellationToken);
        }
    }

    private async Task ServeQueueAsync(
        ChannelReader<PendingRange> queue, ConcurrentDictionary<uint, PendingRange> pending, IServerStreamWriter<RangeAnswer> answers, string? node, CancellationToken cancellationToken)
    {
        await foreach (var range in queue.ReadAllAsync(cancellationToken))
        {
            var end = await ServeRangeAsync(range, answers, node, cancellationToken);
            metrics.RangeServed(end.Status);
            pending.TryRemove(range.Request.Id, out _);
            range.Dispose();
            answers.WriteOptions = AtOnce;
            await answers.WriteAsync(RangeAnswer.OfControl(new FetchRangeResponse { Id = range.Request.Id, End = end }), cancellationToken);
        }
    }

    private async Task<RangeEnd> ServeRangeAsync(PendingRange range, IServerStreamWriter<RangeAnswer> answers, string? node, CancellationToken cancellationToken)
    {
        var request = range.Request;
        if (!Digest.TryParse(request.Digest, out var digest) || request.Offset < 0 || request.Length < 0)
        {
            return Invalid("'digest' must be a digest, 'offset' and 'length' must not be negative");
        }

        if (!await _uploads.WaitAsync(TimeSpan.Zero, cancellationToken))
        {
            return Busy(digest, request);
        }

        try
        {
            if (!cache.TryOpen(digest, out var lease))
            {
                return NotServed(RangeStatus.NotHeld, digest, piece: 0);
            }

            using (lease)
            using (var deadline = new CancellationTokenSource(Deadline(request), time))
            using (var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, range.Cancelled, deadline.Token))
            {
                try
                {
                    return await SendAsync(lease.Content, request, answers, node, stop.Token, deadline.Token);
                }
                catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
                {
                    return new RangeEnd { Status = range.Cancelled.IsCancellationRequested ? RangeStatus.Cancelled : RangeStatus.DeadlineExceeded };
                }
            }
        }
        finally
        {
            _uploads.Release();
        }
    }

    private async Task<RangeEnd> SendAsync(CachedContent content, FetchRange request, IServerStreamWriter<RangeAnswer> answers, string? node, CancellationToken cancellationToken, CancellationToken deadline)
    {
        var layout = content.Layout;
        var end = request.Length == 0 || request.Length > layout.Size - request.Offset ? layout.Size : request.Offset + request.Length;
        if (request.Offset % layout.FrameSize != 0 || (end != layout.Size && end % layout.FrameSize != 0) || request.Offset > layout.Size)
        {
            return Invalid($"the range must begin and end with a frame of {layout.FrameSize} bytes, or end with the content of {layout.Size} bytes");
        }

        var waiting = 0;
        answers.WriteOptions = request.Offset < end && content.HasFrame(layout.FrameAt(request.Offset)) ? Buffered : AtOnce;

        // The token of a write resets the whole stream: right for a reader that takes nothing until the deadline, too
        // much for a range that was cancelled.
        cancellationToken.ThrowIfCancellationRequested();
        await answers.WriteAsync(
            RangeAnswer.OfControl(new FetchRangeResponse { Id = request.Id, Head = new RangeHead { Size = layout.Size, MediaType = content.MediaType ?? string.Empty } }),
            deadline);
        var source = new ContentFrames(content);
        for (var offset = request.Offset; offset < end;)
        {
            var frame = layout.FrameAt(offset);
            var piece = layout.PieceAt(offset);
            var length = (int)layout.Frame(frame).Length;
            RangeAnswer answer;
            try
            {
                if (!await WaitForFrameAsync(content, frame, piece, node, cancellationToken))
                {
                    return NotServed(RangeStatus.NotHeld, content.Digest, piece);
                }

                content.EnsureChecked(frame);
                waiting += length;
                // The last frame waits for the end of the range, which is never held back.
                var isHeldBack = offset + length == end || (waiting + layout.FrameSize <= Batch && content.HasFrame(frame + 1));
                answers.WriteOptions = isHeldBack ? Buffered : AtOnce;
                waiting = isHeldBack ? waiting : 0;
                answer = RangeAnswer.OfFrame(request.Id, offset, length, content.ChecksumOf(frame), source);
            }
            catch (FrameLostException)
            {
                return NotServed(RangeStatus.NotHeld, content.Digest, piece);
            }

            cancellationToken.ThrowIfCancellationRequested();
            try
            {
                await answers.WriteAsync(answer, deadline);
            }
            catch (FrameLostException e)
            {
                // The head of the message is out already: only the end of the stream tells the reader so.
                throw new IOException("a frame was lost while it was being sent", e);
            }

            metrics.Sent(length);
            traffic.Sent(node, length);
            offset += length;
        }

        return new RangeEnd { Status = RangeStatus.Complete };
    }

    private async ValueTask<bool> WaitForFrameAsync(CachedContent content, int frame, int piece, string? node, CancellationToken cancellationToken)
    {
        while (!content.HasFrame(frame))
        {
            if (!incoming.IsIncoming(content.Digest, piece, node))
            {
                // It may have arrived between the two looks.
                return content.HasFrame(frame);
            }

            using var check = new CancellationTokenSource(IncomingCheck, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, check.Token);
            try
            {
                await content.WaitForFrameAsync(frame, either.Token);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
            }
        }

        return true;
    }

    private TimeSpan Deadline(FetchRange request)
    {
        var asked = TimeSpan.FromMilliseconds(request.DeadlineMs);
        return request.DeadlineMs > 0 && asked < _deadline ? asked : _deadline;
    }

    private RangeEnd Busy(Digest digest, FetchRange request) =>
        NotServed(RangeStatus.Busy, digest, cache.TryPeek(digest, out var content) && request.Offset < content.Size ? content.Layout.PieceAt(request.Offset) : 0);

    private RangeEnd NotServed(RangeStatus status, Digest digest, int piece) =>
        new() { Status = status, Holders = { incoming.HoldersOf(digest, piece) } };

    private static RangeEnd Invalid(string message) => new() { Status = RangeStatus.Invalid, Message = message };

    private sealed class ContentFrames(CachedContent content) : IFrameSource
    {
        public void Read(long offset, Span<byte> buffer) => content.Read(offset, buffer);
    }

    private sealed class PendingRange(FetchRange request) : IDisposable
    {
        private readonly CancellationTokenSource _cancelled = new();
        private readonly Lock _lock = new();
        private bool _disposed;

        public FetchRange Request { get; } = request;

        public CancellationToken Cancelled => _cancelled.Token;

        public void Cancel()
        {
            lock (_lock)
            {
                if (!_disposed)
                {
                    _cancelled.Cancel();
                }
            }
        }

        public void Dispose()
        {
            lock (_lock)
            {
                _disposed = true;
                _cancelled.Dispose();
            }
        }
    }
}
