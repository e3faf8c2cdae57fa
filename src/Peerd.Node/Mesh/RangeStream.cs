using System.Diagnostics;
using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Limits;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Mesh;

/// <summary>
/// One long-lived FetchRange stream to a peer. One range at a time; a stream on which a range ended other than by the
/// peer's word is broken and must not be used again. Between two ranges it rests. Not thread-safe, but a stream that rests may be
/// disposed of at any time.
/// </summary>
internal sealed class RangeStream(RangeLane lane, AsyncDuplexStreamingCall<FetchRangeRequest, RangeAnswer> call) : IDisposable
{
    private uint _lastId;

    /// <summary>What the peer says next, when it was begun to wait for it while the stream rested.</summary>
    private Task<bool>? _next;
    private int _isResting;

    /// <summary>Where the frames arrive; free for another stream once this one was disposed.</summary>
    public RangeLane Lane => lane;

    public bool IsBroken { get; private set; }

    /// <summary>It broke before the peer had said anything about the range.</summary>
    public bool BrokeAtOnce { get; private set; }

    /// <summary>
    /// Reads a range. It fails when the peer says nothing for the idle timeout, or when little has come by the deadline: a peer
    /// may say for ever that it waits. When enough has come, it is as if the peer were busy.
    /// </summary>
    /// <param name="request">What to read.</param>
    /// <param name="sink">Takes the frames.</param>
    /// <param name="limits">How long it may take.</param>
    /// <param name="load">What else comes from the peer.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellationToken">Nobody needs the range any more.</param>
    public async Task<RangeOutcome> ReadAsync(RangeRequest request, IRangeSink sink, RangeLimits limits, PeerLoad load, TimeProvider time, CancellationToken cancellationToken)
    {
        var (digest, layout, range, wait, tellPieces, urgent, ahead) = request;
        var id = ++_lastId;
        var isAnswered = false;
        using var silence = new RangeSilence(limits.IdleTimeout, load, layout.FramesPerMessage * layout.FrameSize, time);
        using var deadline = new CancellationTokenSource(limits.Deadline, time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, silence.Ended, deadline.Token);
        var allowance = limits.Rate is { } rate ? new RangeAllowance(rate, request, limits, silence, deadline, sink, time) : null;
        load.Began();
        lane.Begin(id, layout, range, sink);
        try
        {
            await call.RequestStream.SendAsync(
                new FetchRangeRequest
                {
                    Range = new FetchRange
                    {
                        Id = id,
                        Digest = digest.ToString(),
                        Offset = range.Offset,
                        Length = range.Length,
                        Wait = wait,
                        TellPieces = tellPieces,
                        Urgent = urgent,
                        Ahead = ahead,
                        Traceparent = Traces.TraceparentOf(Activity.Current),
                    },
                },
                stop.Token);
            for (var expected = lane.Expected; ;)
            {
                if (allowance is not null)
                {
                    await allowance.TakeAsync(lane.Expected, cancellationToken);
                }

                if (!await NextAsync(stop.Token))
                {
                    break;
                }

                var isWaiting = call.ResponseStream.Current.Control?.Waiting is not null;
                if (!isAnswered || isWaiting || lane.Expected > expected)
                {
                    // Anything else does not keep a range alive, for a peer could repeat it for ever.
                    silence.Heard();
                    isAnswered = true;
                    expected = lane.Expected;
                }

                lane.ThrowIfFailed();
                if (lane.Error is { } error)
                {
                    return Broken(RangeOutcome.Corrupt(error) with { IsContradicted = lane.IsContradicted });
                }

                // The data of frames have gone to the sink by now.
                var answer = call.ResponseStream.Current;
                if (answer.Id != id)
                {
                    return Broken(RangeOutcome.Corrupt($"an answer to range {answer.Id} instead of {id}"));
                }

                if (isWaiting)
                {
                    sink.Waiting();
                    continue;
                }

                if (answer.Control?.End is { } end)
                {
                    if (end.Status == RangeStatus.DeadlineExceeded && (allowance is { IsSlow: true } || IsOnItsWay(range)))
                    {
                        return RangeOutcome.Of(end) with { Kind = RangeOutcomeKind.Busy };
                    }

                    return end.Status == RangeStatus.Complete && lane.Expected != range.End
                        ? Broken(RangeOutcome.Corrupt($"the range ended at byte {lane.Expected} instead of {range.End}"))
                        : RangeOutcome.Of(end);
                }

                if (answer.Control?.Head is { } head)
                {
                    if (head.Size != layout.Size)
                    {
                        // Who is right is not known, and no byte was wrong.
                        return Broken(RangeOutcome.NotHeld);
                    }

                    sink.Told(head.MediaType);
                }
            }

            BrokeAtOnce = !isAnswered;
            return Broken(allowance is { IsSlow: true } ? Slowed() : RangeOutcome.Failed("the peer closed the stream"));
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return Broken(RangeOutcome.Cancelled);
        }
        catch (Exception e) when (e is RpcException or IOException && cancellationToken.IsCancellationRequested)
        {
            return Broken(RangeOutcome.Cancelled);
        }
        catch (Exception e) when (allowance is { IsSlow: true } && e is RpcException or IOException)
        {
            return Broken(Slowed());
        }
        catch (RpcException e) when (!isAnswered && e.StatusCode == StatusCode.ResourceExhausted && e.Trailers.Get(RangeServer.BusyTrailer) is not null)
        {
            // A herd has asked it for more than it takes, with or without this node's part. Nothing is wrong with the peer.
            return Broken(new RangeOutcome(RangeOutcomeKind.Busy, [], e.Status.Detail));
        }
        catch (RpcException e) when (isAnswered && e.Status.DebugException is HttpProtocolException { ErrorCode: 0 })
        {
            // It has ended the connection as it should, because a certificate is not valid any more, say. What was on its way is lost.
            return Broken(new RangeOutcome(RangeOutcomeKind.Busy, [], "the peer ended the connection"));
        }
        catch (Exception) when (deadline.IsCancellationRequested)
        {
            return Broken(IsOnItsWay(range) ? Slowed() : RangeOutcome.Failed($"not finished within {limits.Deadline.TotalSeconds:0.#} s"));
        }
        catch (Exception) when (silence.Ended.IsCancellationRequested)
        {
            return Broken(RangeOutcome.Failed($"nothing received for {limits.IdleTimeout.TotalSeconds:0.#} s"));
        }
        catch (Exception e) when (e is RpcException or IOException or InvalidOperationException or OperationCanceledException)
        {
            BrokeAtOnce = !isAnswered;
            return Broken(RangeOutcome.Failed(e is RpcException rpc ? rpc.Status.Detail : e.Message));
        }
        finally
        {
            if (_next is { } unread)
            {
                // The request was not sent: what was begun at rest ends before the lane is another stream's.
                Dispose();
                await ((Task)unread).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            lane.End();
            allowance?.End(lane.Expected);
            load.Ended();
        }
    }

    /// <summary>
    /// Nothing is asked for until <see cref="TryWake"/>. The peer has to be silent meanwhile: what it sent would be kept for as long as
    /// nobody reads it, and so it ends the stream.
    /// </summary>
    /// <param name="content">Of the last range.</param>
    /// <param name="spoke">Hears, with that content, that the peer has sent something.</param>
    public void Rest(Digest content, Action<Digest> spoke)
    {
        _isResting = 1;
        _next = Detached.Begin(() => RestAsync(content, spoke));
    }

    /// <summary>Ranges can be read again; false when the stream has ended meanwhile.</summary>
    public bool TryWake() => Interlocked.Exchange(ref _isResting, 0) == 1;

    /// <summary>Resets the stream: the peer stops at once.</summary>
    public void Dispose() => call.Dispose();

    private async Task<bool> RestAsync(Digest content, Action<Digest> spoke)
    {
        try
        {
            var hasSpoken = await call.ResponseStream.MoveNext(CancellationToken.None);
            if (!TryWake())
            {
                return hasSpoken;
            }

            if (hasSpoken)
            {
                spoke(content);
            }
        }
        catch (Exception) when (TryWake())
        {
            // The peer is gone, say. Nobody waits for it.
        }

        Dispose();
        return false;
    }

    private Task<bool> NextAsync(CancellationToken stop)
    {
        if (_next is not { } next)
        {
            return call.ResponseStream.MoveNext(stop);
        }

        _next = null;
        return UntilAsync(next, stop);
    }

    // The wait that was begun at rest knows of no end, and the lane is in use until it is over.
    private async Task<bool> UntilAsync(Task<bool> next, CancellationToken stop)
    {
        await using var ending = stop.UnsafeRegister(static stream => ((RangeStream)stream!).Dispose(), this);
        return await next;
    }

    /// <summary>So much has come that it is a matter of time: who sends one frame and no more has failed.</summary>
    private bool IsOnItsWay(ByteRange range) => lane.Expected - range.Offset >= range.Length / 8 && lane.Expected > range.Offset;

    // Bytes came until the deadline. Whoever is slow of the two is judged elsewhere, and the rest is asked for anew.
    private static RangeOutcome Slowed() => new(RangeOutcomeKind.Busy, [], "not finished in time, but on its way");

    private RangeOutcome Broken(RangeOutcome outcome)
    {
        IsBroken = true;
        return outcome;
    }
}

/// <summary>How long a range may take.</summary>
/// <param name="IdleTimeout">Longest time without a word of the peer.</param>
/// <param name="Deadline">Longest time in all, without that in which this node may not read.</param>
/// <param name="Rate">How fast this node may read from all peers; null when there is no limit.</param>
internal readonly record struct RangeLimits(TimeSpan IdleTimeout, TimeSpan Deadline, ByteRate? Rate = null);
