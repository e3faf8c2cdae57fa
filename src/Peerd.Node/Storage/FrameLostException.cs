namespace Peerd.Node.Storage;

/// <summary>A frame that was there is gone: evicted, removed, corrupt on disk, or the disk does not read.</summary>
internal sealed class FrameLostException(int frame, string reason, Exception? inner = null)
    : IOException($"frame {frame} is not available: {reason}", inner)
{
    /// <summary>Number of the frame.</summary>
    public int Frame { get; } = frame;
}
