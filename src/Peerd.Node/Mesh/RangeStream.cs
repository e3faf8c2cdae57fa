using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Mesh;

/// <summary>
/// One long-lived FetchRange stream to a peer. One range at a time; a stream on which a range ended other than by the
/// peer's word is broken and must not be used again. Not thread-safe.
/// </summary>
internal sealed class RangeStream(AsyncDuplexStreamingCall<FetchRangeRequest, RangeAnswer> call) : IDisposable
{
    private uint _lastId;

    public bool IsBroken { get; private set; }

    /// <summary>Reads a range that begins and ends with a frame (or with the content).</summary>
    public async Task<RangeOutcome> ReadAsync(Digest digest, ContentLayout layout, ByteRange range, IRangeSink sink, TimeSpan idleTimeout, TimeProvider time, CancellationToken cancellationToken)
    {
        var id = ++_lastId;
        using var idle = new CancellationTokenSource(idleTimeout, time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, idle.Token);
        try
        {
            await call.RequestStream.WriteAsync(
                new FetchRangeRequest { Range = new FetchRange { Id = id, Digest = digest.ToString(), Offset = range.Offset, Length = range.Length } }, stop.Token);
            var expected = range.Offset;
            while (await call.ResponseStream.MoveNext(stop.Token))
            {
                idle.CancelAfter(idleTimeout);
                using var answer = call.ResponseStream.Current;
                if (answer.Id != id)
                {
                    return Broken(RangeOutcome.Corrupt($"an answer to range {answer.Id} instead of {id}"));
                }

                if (answer.Control is { } control)
                {
                    if (control.End is { } end)
                    {
                        return end.Status == RangeStatus.Complete && expected != range.End
                            ? Broken(RangeOutcome.Corrupt($"the range ended at byte {expected} instead of {range.End}"))
                            : RangeOutcome.Of(end);
                    }

                    if (control.Head is { } head && head.Size != layout.Size)
                    {
                        return Broken(RangeOutcome.Corrupt($"the peer's content has {head.Size} bytes instead of {layout.Size}"));
                    }

                    continue;
                }

                if (Check(answer, layout, range, expected) is { } error)
                {
                    return Broken(RangeOutcome.Corrupt(error));
                }

                if (!sink.Accept(layout.FrameAt(expected), answer.Data!.Memory.Span, answer.Checksum))
                {
                    return Broken(RangeOutcome.Corrupt($"the frame at byte {expected} is not the one that the first reader announced"));
                }

                expected += answer.Length;
            }

            return Broken(RangeOutcome.Failed("the peer closed the stream"));
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return Broken(new RangeOutcome(RangeOutcomeKind.Cancelled, []));
        }
        catch (Exception e) when (e is RpcException or IOException && cancellationToken.IsCancellationRequested)
        {
            return Broken(new RangeOutcome(RangeOutcomeKind.Cancelled, []));
        }
        catch (Exception) when (idle.IsCancellationRequested)
        {
            return Broken(RangeOutcome.Failed($"nothing received for {idleTimeout.TotalSeconds:0.#} s"));
        }
        catch (Exception e) when (e is RpcException or IOException or InvalidOperationException or OperationCanceledException)
        {
            return Broken(RangeOutcome.Failed(e is RpcException rpc ? rpc.Status.Detail : e.Message));
        }
    }

    /// <summary>Resets the stream: the peer stops at once.</summary>
    public void Dispose() => call.Dispose();

    private static string? Check(RangeAnswer answer, ContentLayout layout, ByteRange range, long expected)
    {
        if (answer.Offset != expected || expected >= range.End)
        {
            return $"a frame at byte {answer.Offset} instead of {expected}";
        }

        if (answer.Length != layout.Frame(layout.FrameAt(expected)).Length)
        {
            return $"a frame of {answer.Length} bytes at byte {expected}";
        }

        return FrameChecksum.Compute(answer.Data!.Memory.Span) == answer.Checksum ? null : $"the frame at byte {expected} does not match its checksum";
    }

    private RangeOutcome Broken(RangeOutcome outcome)
    {
        IsBroken = true;
        return outcome;
    }
}
