using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Node.Mesh;

/// <summary>Makes the messages of one range of a content, each of as many frames as are here and fit in one. Not thread-safe.</summary>
/// <param name="id">Id of the range.</param>
/// <param name="content">What is sent.</param>
/// <param name="end">The byte behind the range: where a frame ends.</param>
internal sealed class RangeMessages(uint id, CachedContent content, long end) : IFrameSource
{
    private bool _isOneFrame;

    /// <summary>How many bytes the message that begins here is to have: one frame, which is here, or more.</summary>
    public int LengthAt(long offset)
    {
        var most = _isOneFrame || content.NeedsPreparation ? 1 : content.Layout.FramesPerMessage;
        var last = Math.Min(end, offset + ((long)most * content.Layout.FrameSize));
        return (int)(content.FirstMissing(offset + FrameLength(offset), last) - offset);
    }

    /// <summary>The message; shorter than asked for when its frames may be gone again soon.</summary>
    /// <param name="offset">First byte of its first frame.</param>
    /// <param name="length">As <see cref="LengthAt"/> said.</param>
    /// <exception cref="FrameLostException">One of them was lost meanwhile.</exception>
    public RangeAnswer Create(long offset, int length)
    {
        var answer = content.NeedsPreparation ? Copied(offset) : RangeAnswer.OfFrames(id, offset, length, ChecksumAt(offset), this, NextChecksums(offset, length));
        _isOneFrame = false;
        return answer;
    }

    /// <summary>
    /// A frame was lost that was to go with the first one, and maybe more of its piece: the next message has the first one alone, if it is
    /// here still. False when it is that which was lost.
    /// </summary>
    public bool TryGoWithout(int lost, long offset)
    {
        if (_isOneFrame || lost <= content.Layout.FrameAt(offset))
        {
            return false;
        }

        return _isOneFrame = true;
    }

    void IFrameSource.Read(long offset, Span<byte> buffer) => content.Read(offset, buffer);

    private int FrameLength(long offset) => (int)content.Layout.Frame(content.Layout.FrameAt(offset)).Length;

    private ulong ChecksumAt(long offset) => content.ChecksumOf(content.Layout.FrameAt(offset));

    private ulong[] NextChecksums(long offset, int length)
    {
        var first = content.Layout.FrameAt(offset);
        var last = content.Layout.FrameAt(offset + length - 1);
        if (last == first)
        {
            return [];
        }

        var checksums = new ulong[last - first];
        for (var frame = first + 1; frame <= last; frame++)
        {
            content.EnsureChecked(frame);
            checksums[frame - first - 1] = content.ChecksumOf(frame);
        }

        return checksums;
    }

    /// <summary>A frame with its bytes.</summary>
    private RangeAnswer Copied(long offset)
    {
        var bytes = PooledBuffer.Rent(FrameLength(offset));
        try
        {
            var checksum = ChecksumAt(offset);
            content.Read(offset, bytes.Memory.Span);
            return RangeAnswer.OfReceived(id, offset, checksum, bytes);
        }
        catch
        {
            bytes.Dispose();
            throw;
        }
    }
}
