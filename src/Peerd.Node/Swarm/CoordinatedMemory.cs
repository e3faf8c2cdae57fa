using Peerd.Contracts;

namespace Peerd.Node.Swarm;

/// <summary>What a <see cref="Coordinator"/> takes of memory in proportion to the size of its content, roughly.</summary>
internal static class CoordinatedMemory
{
    /// <summary>Counts of holders, of all and of three zones, and a grant of each segment.</summary>
    private const int SegmentBytes = 80;

    /// <summary>A participant without sets of pieces and segments.</summary>
    private const int ParticipantBytes = 2048;

    /// <summary>Bits for each segment: held, available, wanted, granted.</summary>
    private const int SetsOfSegments = 4;

    /// <summary>Bits for each piece: held, new, and what is told of a few holders.</summary>
    private const int SetsOfPieces = 10;

    /// <summary>Bytes of a content of this size with so many who ask for it or hold it.</summary>
    public static long BytesOf(long size, int participants)
    {
        // What is impossible is not taken, and takes nothing.
        var layout = new ContentLayout(Math.Clamp(size, 0, Directory.HolderDirectory.MaxSize));
        var each = ParticipantBytes + (SetsOfSegments * (layout.SegmentCount / 8)) + (SetsOfPieces * (layout.PieceCount / 8));
        return ParticipantBytes + (SegmentBytes * (long)layout.SegmentCount) + ((long)each * participants);
    }
}
