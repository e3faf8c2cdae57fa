using Peerd.Contracts;

namespace Peerd.Simulation.Network;

/// <summary>What the simulator moves as one frame: all frames of one message, which come together wherever the sender has them.</summary>
/// <param name="layout">Of the content.</param>
internal readonly struct NetworkFrames(ContentLayout layout)
{
    /// <summary>Bytes of one; the last is shorter.</summary>
    public int Size { get; } = layout.FramesPerMessage * layout.FrameSize;

    public int Count { get; } = Blocks(layout.Size, layout.FramesPerMessage * layout.FrameSize);

    /// <summary>Bytes of the last one.</summary>
    public int LastSize => (int)(layout.Size - ((Count - 1) * (long)Size));

    public int PerPiece => layout.PieceSize / Size;

    /// <summary>How many this piece has.</summary>
    public int In(int piece) => Blocks(layout.Piece(piece).Length, Size);

    private static int Blocks(long bytes, int block) => (int)((bytes + block - 1) / block);
}
