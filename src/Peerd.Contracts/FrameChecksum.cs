using System.IO.Hashing;

namespace Peerd.Contracts;

/// <summary>The checksum that goes with every frame, on the wire, on disk and in the directory: XxHash3, 64 bit, seed 0.</summary>
public static class FrameChecksum
{
    /// <summary>The checksum of the bytes of one frame.</summary>
    public static ulong Compute(ReadOnlySpan<byte> frame) => XxHash3.HashToUInt64(frame);
}
