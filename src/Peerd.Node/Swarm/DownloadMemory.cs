using Peerd.Contracts;

namespace Peerd.Node.Swarm;

/// <summary>What a download takes of memory in proportion to the size of its content, roughly.</summary>
internal static class DownloadMemory
{
    /// <summary>Its checksum in the cache and that of its hashed bytes, its state, and where it came from.</summary>
    private const int FrameBytes = 18;

    /// <summary>Bits of each piece: three of each of the peers that may be known of a huge content, and eight.</summary>
    private const int SetsOfPieces = (3 * KnownPeers.FewestKnown) + 8;


    public static long BytesOf(ContentLayout layout)
    {
        var sets = SetsOfPieces * (long)(layout.PieceCount / 8);
        return 1024 + (FrameBytes * (long)layout.FrameCount) + sets;
    }
}
