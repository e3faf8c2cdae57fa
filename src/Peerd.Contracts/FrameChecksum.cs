using System.IO.Hashing;

namespace Peerd.Contracts;

/// <summary>The checksum that goes with every frame, on the wire, on disk and in the directory: XxHash3, 64 bit, seed 0.</summary>
public static class FrameChecksum
{
    // More than the calls after which the runtime compiles a method again, with optimizations.
    private const int WarmUpCalls = 60;
    private const int WarmUpBytes = 4096;

    /// <summary>The checksum of the bytes of one frame.</summary>
    public static ulong Compute(ReadOnlySpan<byte> frame) => XxHash3.HashToUInt64(frame);

    /// <summary>
    /// Has the runtime compile the computation with optimizations before the first frame comes: what it compiles first
    /// is about a hundred times slower. Takes a few milliseconds.
    /// </summary>
    public static void WarmUp()
    {
        Span<byte> bytes = stackalloc byte[WarmUpBytes];
        bytes.Clear();
        for (var call = 0; call < WarmUpCalls; call++)
        {
            _ = Compute(bytes);
        }
    }
}
