using Peerd.Contracts;

namespace Peerd.Tests.Contracts;

public sealed class FrameChecksumTests
{
    // Computed with the C library xxhash 0.8.1. They are on the wire and on disk: other values break both.
    [Fact]
    public void Compute_KnownBytes_IsAsEver()
    {
        Assert.Equal(0x2d06800538d394c2UL, FrameChecksum.Compute([]));
        Assert.Equal(0x5343a60645a36b8bUL, FrameChecksum.Compute("peerd"u8));
        Assert.Equal(0xaaae63800707a868UL, FrameChecksum.Compute([.. Enumerable.Range(0, 65536).Select(i => (byte)(i % 251))]));
    }
}
