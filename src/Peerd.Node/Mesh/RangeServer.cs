using System.Collections.Concurrent;
using System.Diagnostics;
using System.Threading.Channels;
using Grpc.Core;
using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Limits;
using Peerd.Node.Storage;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Mesh;

/// <summary>
/// Serves ranges of what this node holds or is receiving right now. At most <see cref="MeshOptions.Uploads"/> at a time
/// over all streams, and <see cref="UploadsPerContent"/> of one content; no queue beyond that. As many again may have been written and
/// wait for their readers to take the rest. Thread-safe.
/// </summary>
internal sealed class RangeServer(
    PieceCache cache,
    IIncomingPieces incoming,
    PeerTraffic traffic,
    IOptions<MeshOptions> options,
    MeshMetrics metrics,
    MeshDrain drain,
    Bandwidth bandwidth,
    HeldMemory memory,
    TimeProvider time)
{
    /// <summary>Ranges that a reader may have asked for on one stream beside the one that is being answered.</summary>
    private const int PipelinedRanges = 8;

    /// <summary>
    /// Ranges of one content that are served at the same moment. More would only make each of them slower, and a herd on
    /// one image must leave room for other images.
    /// </summary>
    internal const int UploadsPerContent = 16;

    /// <summary>The same for ranges that containers wait for, which are short.</summary>
    private const int UrgentUploadsPerContent = 64;

    /// <summary>
    /// Ranges that may have been asked for and not have ended, over all streams, or eight for each upload. Honest readers soon hear that there are
    /// too many; each one that never listens keeps memory until its deadline and <see cref="TimeForEnd"/>.
    /// </summary>
    internal const int Pending = 1024;

    /// <summary>The end of a range, and what was written before, are to be taken by so long after its deadline.</summary>
    internal static readonly TimeSpan TimeForEnd = TimeSpan.FromSeconds(2);

    /// <summary>How often a range that waits for bytes looks whether they are still on their way.</summary>
    internal static readonly TimeSpan IncomingCheck = TimeSpan.FromMilliseconds(250);

    /// <summary>
    /// Tells, as a trailer of RESOURCE_EXHAUSTED, that the node has too much to do. The same status stands for messages that are too large, and
    /// is made up by the client, too.
    /// </summary>
    public const string BusyTrailer = "peerd-busy";

    private static readonly WriteOptions AtOnce = new();

    private readonly UploadSlots _uploads = new(options.Value.UploadsValue, UploadsPerContent);
    private readonly UploadSlots _urgentUploads = new(2 * options.Value.UploadsValue, UrgentUploadsPerContent);

    /// <summary>
    /// Ranges of which all has been written and not all taken yet. Their readers may have every byte already, and whoever is sent
    /// here next finds their place free; when there are as many as may be served, they keep it.
    /// </summary>
    private readonly UploadSlots _ends = new(options.Value.UploadsValue, perContent: int.MaxValue);
    private readonly UploadSlots _urgentEnds = new(2 * options.Value.UploadsValue, perContent: int.MaxValue);
    private readonly UploadSlots _pending = new(Math.Max(Pending, 8 * options.Value.UploadsValue), perContent: int.MaxValue);
    private readonly TimeSpan _deadline = options.Value.RangeDeadlineValue;

    public async Task ServeAsync(IAsyncStreamReader<FetchRangeRequest> requests, IServerStreamWriter<RangeAnswer> answers, RangeCaller caller, CancellationToken cancellationToken)
    {
        var queue = Channel.CreateBounded<PendingRange>(new BoundedChannelOptions(PipelinedRanges) { SingleReader = true, SingleWriter = true });
        var pending = new ConcurrentDictionary<uint, PendingRange>();
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var serving = ServeQueueAsync(queue.Reader, pending, answers, caller, drain.Current.Leaving, ended.Token);
        try
        {
            var reading = ReadRequestsAsync(requests, queue.Writer, pending, caller, ended.Token);
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

    private async Task ReadRequestsAsync(
        IAsyncStreamReader<FetchRangeRequest> requests, ChannelWriter<PendingRange> queue, ConcurrentDictionary<uint, PendingRange> pending, RangeCaller caller, CancellationToken cancellationToken)
    {
        await foreach (var request in requests.ReadUntilAsync(caller.Leaving, cancellationToken))
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

            if (!_pending.TryTake(default, caller.Address))
            {
                metrics.Refused(MeshRefusal.Range);
                throw TooManyRanges();
            }

            var range = new PendingRange(request.Range, time.GetTimestamp(), () => _pending.Release(default, caller.Address));
            if (!pending.TryAdd(request.Range.Id, range))
            {
                range.Dispose();
                throw new RpcException(new Status(StatusCode.InvalidArgument, $"range {request.Range.Id} is still being answered"));
            }

            await queue.WriteAsync(range, cancellationToken);
        }
    }

    /// <summary>How a stream ends on which one range too many was asked for.</summary>
    internal static RpcException TooManyRanges() =>
        new(new Status(StatusCode.ResourceExhausted, "too many ranges were asked for that have not ended"), new Metadata { { BusyTrailer, "1" } });

    private async Task ServeQueueAsync(
        ChannelReader<PendingRange> queue,
        ConcurrentDictionary<uint, PendingRange> pending,
        IServerStreamWriter<RangeAnswer> answers,
        RangeCaller caller,
        CancellationToken leaving,
        CancellationToken cancellationToken)
    {
        await foreach (var range in queue.ReadAllAsync(cancellationToken))
        {
            using var ending = range;
            var started = time.GetTimestamp();
            using var span = Traces.Serve("serve", range.Request.Traceparent);
            await ServeRangeAsync(range, answers, caller, EndAsync, leaving, cancellationToken);

            async Task EndAsync(RangeEnd end)
            {
                metrics.RangeServed(end, time.GetElapsedTime(started));
                if (span is not null)
                {
                    Describe(span, range.Request, end.Status);
                }

                if (range.Request.TellPieces)
                {
                    TellPieces(end, range.Request.Digest);
                }

                pending.TryRemove(range.Request.Id, out _);

                // A reader that does not take it, and what was written before, does not keep it for ever.
                using var late = new CancellationTokenSource(Left(range, _deadline) + TimeForEnd, time);
                using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, late.Token);
                answers.WriteOptions = AtOnce;
                await answers.WriteAsync(RangeAnswer.OfControl(new FetchRangeResponse { Id = range.Request.Id, End = end }), either.Token);
            }
        }
    }

    private async Task ServeRangeAsync(
        PendingRange range, IServerStreamWriter<RangeAnswer> answers, RangeCaller caller, Func<RangeEnd, Task> endAsync, CancellationToken leaving, CancellationToken cancellationToken)
    {
        var request = range.Request;
        if (!Digest.TryParseScoped(request.Digest, out var digest) || request.Offset < 0 || request.Length < 0)
        {
            await endAsync(Invalid("'digest' must be a digest, 'offset' and 'length' must not be negative"));
            return;
        }

        var (serving, ending) = request.Urgent ? (_urgentUploads, _urgentEnds) : (_uploads, _ends);
        if (memory.IsOver || !serving.TryTake(digest, caller.Address))
        {
            await endAsync(Busy(digest, request));
            return;
        }

        var slots = serving;
        try
        {
            var end = await SendAsync(range, digest, answers, caller, leaving, cancellationToken);
            if (ending.TryTake(digest, caller.Address))
            {
                slots = ending;
                serving.Release(digest, caller.Address);
            }

            // The last frames go out with the end, and until the reader takes them they are in memory.
            await endAsync(end);
        }
        finally
        {
            slots.Release(digest, caller.Address);
        }
    }

    private async Task<RangeEnd> SendAsync(
        PendingRange range, Digest digest, IServerStreamWriter<RangeAnswer> answers, RangeCaller caller, CancellationToken leaving, CancellationToken cancellationToken)
    {
        var request = range.Request;
        using var deadline = new CancellationTokenSource(Left(range, Deadline(request)), time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, range.Cancelled, leaving, deadline.Token);
        try
        {
            return await SendAsync(new Served(request, digest, caller.Node, new RangeAnswers(request.Id, answers, time, stop.Token, deadline.Token), time.GetTimestamp(), stop.Token));
        }
        catch (OperationCanceledException) when (leaving.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            return NotServed(RangeStatus.Leaving, digest, piece: 0);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new RangeEnd { Status = range.Cancelled.IsCancellationRequested ? RangeStatus.Cancelled : RangeStatus.DeadlineExceeded };
        }
    }

    private async Task<RangeEnd> SendAsync(Served range)
    {
        using var lease = await OpenAsync(range);
        if (lease is null)
        {
            return NotServed(RangeStatus.NotHeld, range.Digest, piece: 0);
        }

        var (request, content, layout) = (range.Request, lease.Content, lease.Content.Layout);
        var end = request.Length == 0 || request.Length > layout.Size - request.Offset ? layout.Size : request.Offset + request.Length;
        if (request.Offset % layout.FrameSize != 0 || (end != layout.Size && end % layout.FrameSize != 0) || request.Offset > layout.Size)
        {
            return Invalid($"the range must begin and end with a frame of {layout.FrameSize} bytes, or end with the content of {layout.Size} bytes");
        }

        await range.Answers.HeadAsync(layout.Size, content.MediaType);
        var messages = new RangeMessages(request.Id, content, end);
        for (var offset = request.Offset; offset < end;)
        {
            var frame = layout.FrameAt(offset);
            var piece = layout.PieceAt(offset);
            var length = 0;
            RangeAnswer answer;
            try
            {
                if (!content.HasFrame(frame) && !await WaitForFrameAsync(range, content, frame, piece))
                {
                    return NotServed(RangeStatus.NotHeld, content.Digest, piece);
                }

                length = messages.LengthAt(offset);
                if (bandwidth.Upload is { } rate && !await WaitForRateAsync(range, rate, length))
                {
                    return Busy(range.Digest, request);
                }

                content.EnsureChecked(frame);
                await content.PrepareAsync(offset, length, range.Stop);
                answer = messages.Create(offset, length);
            }
            catch (FrameLostException e)
            {
                bandwidth.Upload?.GiveBack(length);
                if (messages.TryGoWithout(e.Frame, offset))
                {
                    continue;
                }

                return NotServed(RangeStatus.NotHeld, content.Digest, piece);
            }

            if (answer.Length < length)
            {
                bandwidth.Upload?.GiveBack(length - answer.Length);
                length = answer.Length;
            }

            try
            {
                await range.Answers.FrameAsync(answer, isNextHere: offset + length < end && content.HasFrame(layout.FrameAt(offset + length)));
            }
            catch (FrameLostException e)
            {
                // The head of the message is out already: only the end of the stream tells the reader so.
                throw new IOException("a frame was lost while it was being sent", e);
            }
            finally
            {
                answer.Dispose();
            }

            metrics.Sent(length);
            traffic.Sent(range.Reader, length);
            offset += length;
        }

        return new RangeEnd { Status = RangeStatus.Complete };
    }

    /// <summary>The content, also when it is only expected and the reader waits; null when it is not to be had here.</summary>
    private async ValueTask<ContentLease?> OpenAsync(Served range)
    {
        while (true)
        {
            // Asked for before the looks, so that what comes after them completes it.
            var isExpected = range.Request.Wait && incoming.IsDownloading(range.Digest);
            var opened = isExpected ? incoming.OpenedAsync(range.Digest) : Task.CompletedTask;
            var wasOpened = opened.IsCompleted;
            if (isExpected ? cache.TryJoin(range.Digest, out var lease) : cache.TryOpen(range.Digest, out lease))
            {
                return lease;
            }

            if (!isExpected)
            {
                return null;
            }

            await range.Answers.WaitingAsync();
            await (wasOpened ? Task.Delay(IncomingCheck, time, range.Stop) : WaitABitAsync(opened, range.Stop));
        }
    }

    private async ValueTask<bool> WaitForFrameAsync(Served range, CachedContent content, int frame, int piece)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(range.Stop);
        var coming = Task.CompletedTask;
        try
        {
            while (!content.HasFrame(frame))
            {
                var arrival = incoming.ArrivalOf(range.Digest, piece, range.Reader);
                if (arrival != PieceArrival.Coming && !(arrival == PieceArrival.Expected && range.Request.Wait))
                {
                    // It may have arrived between the two looks.
                    return content.HasFrame(frame);
                }

                await range.Answers.WaitingAsync();
                if (coming.IsCompleted)
                {
                    coming = content.WaitForFrameAsync(frame, stop.Token).AsTask();
                }

                await WaitABitAsync(coming, range.Stop);
            }

            return true;
        }
        finally
        {
            await stop.CancelAsync();
            await coming.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Waits until a frame may be sent; false when that takes so long that the reader does better elsewhere.</summary>
    private async ValueTask<bool> WaitForRateAsync(Served range, ByteRate rate, int length)
    {
        var urgency = range.Request.Urgent ? Urgency.Streaming : range.Request.Ahead ? Urgency.Ahead : Urgency.Pull;
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(range.Stop);
        var taking = rate.TakeAsync(length, urgency, range.Digest, stop.Token);
        try
        {
            while (!taking.IsCompleted && time.GetElapsedTime(range.Started) < _deadline / 2)
            {
                await range.Answers.WaitingAsync();
                await WaitABitAsync(taking, range.Stop);
            }
        }
        finally
        {
            await stop.CancelAsync();
            await taking.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        range.Stop.ThrowIfCancellationRequested();
        return taking.IsCompletedSuccessfully;
    }

    // Without an exception each time: hundreds of ranges wait at once in a herd.
    private async Task WaitABitAsync(Task task, CancellationToken cancellationToken)
    {
        await task.WaitAsync(IncomingCheck, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
        if (task.IsCompleted)
        {
            await task;
        }
    }

    private static void Describe(Activity span, FetchRange request, RangeStatus status)
    {
        span.SetTag(Traces.Outcome, MeshMetrics.LabelOf(status));
        if (Digest.TryParseScoped(request.Digest, out var digest))
        {
            span.SetTag(Traces.Digest, digest.ToString()).SetTag(Traces.Offset, request.Offset).SetTag(Traces.Length, request.Length);
        }
    }

    private void TellPieces(RangeEnd end, string asked)
    {
        if (Digest.TryParseScoped(asked, out var digest) && cache.TryJoin(digest, out var lease))
        {
            using (lease)
            {
                var pieces = lease.Content.SnapshotPieces();
                incoming.AddIncoming(digest, pieces);
                end.Pieces.Add(pieces.ToPieceRuns().Take(RangeOutcome.MaxPieceRuns));
            }
        }
    }

    private TimeSpan Deadline(FetchRange request)
    {
        var asked = TimeSpan.FromMilliseconds(request.DeadlineMs);
        return request.DeadlineMs > 0 && asked < _deadline ? asked : _deadline;
    }

    private TimeSpan Left(PendingRange range, TimeSpan deadline)
    {
        var left = deadline - time.GetElapsedTime(range.Arrived);
        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }

    private RangeEnd Busy(Digest digest, FetchRange request) =>
        NotServed(RangeStatus.Busy, digest, cache.TryPeek(digest, out var content) && request.Offset < content.Size ? content.Layout.PieceAt(request.Offset) : 0);

    private RangeEnd NotServed(RangeStatus status, Digest digest, int piece) =>
        new() { Status = status, Holders = { incoming.HoldersOf(digest, piece) } };

    private static RangeEnd Invalid(string message) => new() { Status = RangeStatus.Invalid, Message = message };

    /// <summary>A range that has a slot.</summary>
    private sealed record Served(FetchRange Request, Digest Digest, string? Reader, RangeAnswers Answers, long Started, CancellationToken Stop);
}
