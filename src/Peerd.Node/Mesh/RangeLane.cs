using System.Runtime.ExceptionServices;
using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Mesh;

/// <summary>
/// Where the frames of one FetchRange stream arrive: checked and handed to the sink of the range in progress while they
/// lie in the buffer of the connection. Lanes outlive streams, because a channel never forgets a method that it was
/// called with. For one stream at a time; frames may arrive concurrently with all else.
/// </summary>
internal sealed class RangeLane : IFrameReceiver
{
    private readonly Lock _lock = new();
    private uint _id;
    private ContentLayout _layout;
    private ByteRange _range;
    private IRangeSink? _sink;
    private ExceptionDispatchInfo? _failure;

    public RangeLane() => Method = PeerMethods.FetchRangeTo(this);

    public Method<FetchRangeRequest, RangeAnswer> Method { get; }

    /// <summary>First byte that has not arrived yet.</summary>
    public long Expected { get; private set; }

    /// <summary>What was wrong with a frame; null when nothing was.</summary>
    public string? Error { get; private set; }

    /// <summary>What was wrong is that the sink did not accept a frame that matches its own checksum.</summary>
    public bool IsContradicted { get; private set; }

    /// <summary>From now on frames belong to this range. What has come since <see cref="End"/> is an error of it.</summary>
    public void Begin(uint id, ContentLayout layout, ByteRange range, IRangeSink sink)
    {
        lock (_lock)
        {
            (_id, _layout, _range, _sink, Expected) = (id, layout, range, sink, range.Offset);
        }
    }

    /// <summary>No frame is expected any more.</summary>
    public void End()
    {
        lock (_lock)
        {
            (_sink, Error, IsContradicted, _failure) = (null, null, false, null);
        }
    }

    /// <summary>Throws what the sink has thrown.</summary>
    public void ThrowIfFailed() => _failure?.Throw();

    public void Receive(uint id, long offset, ReadOnlySpan<byte> data, ulong checksum, ReadOnlySpan<ulong> nextChecksums)
    {
        // A frame that nobody waits for may come at any moment, also when a range begins.
        lock (_lock)
        {
            if (Error is not null || _failure is not null)
            {
                return;
            }

            try
            {
                Error = Take(id, offset, data, checksum, nextChecksums);
            }
            catch (Exception exception)
            {
                // gRPC would make a status of it.
                _failure = ExceptionDispatchInfo.Capture(exception);
            }
        }
    }

    private string? Take(uint id, long offset, ReadOnlySpan<byte> data, ulong checksum, ReadOnlySpan<ulong> nextChecksums)
    {
        if (_sink is null || id != _id)
        {
            return $"an answer to range {id} instead of {_id}";
        }

        if (offset != Expected || Expected >= _range.End)
        {
            return $"a frame at byte {offset} instead of {Expected}";
        }

        var frames = 1 + nextChecksums.Length;
        var last = _layout.FrameAt(Expected) + frames - 1;
        if (frames > _layout.FramesPerMessage || last >= _layout.FrameCount || _layout.Frame(last).End > _range.End
            || data.Length != _layout.Frame(last).End - Expected)
        {
            return $"{frames} frames of {data.Length} bytes at byte {Expected}";
        }

        for (var next = 0; ; next++)
        {
            var length = (int)_layout.Frame(_layout.FrameAt(Expected)).Length;
            if (Take(data[..length], checksum) is { } error)
            {
                return error;
            }

            if (next == nextChecksums.Length)
            {
                return null;
            }

            data = data[length..];
            checksum = nextChecksums[next];
        }
    }

    private string? Take(ReadOnlySpan<byte> data, ulong checksum)
    {
        if (FrameChecksum.Compute(data) != checksum)
        {
            return $"the frame at byte {Expected} does not match its checksum";
        }

        if (!_sink!.Accept(_layout.FrameAt(Expected), data, checksum))
        {
            IsContradicted = true;
            return $"the frame at byte {Expected} is not the one that the first reader announced";
        }

        Expected += data.Length;
        return null;
    }
}
