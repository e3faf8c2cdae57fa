using Peerd.Contracts;
using Peerd.Simulation.Network;

namespace Peerd.Simulation.Requesters;

/// <summary>What a frame is to the node that it comes to.</summary>
internal enum FrameNews
{
    /// <summary>It was here.</summary>
    Repeated,

    /// <summary>It is new, and its piece is not whole.</summary>
    Part,

    /// <summary>It is new and makes its piece whole.</summary>
    Piece,
}

/// <summary>The frames of a content that are here, and the pieces that they make.</summary>
internal sealed class ReceivedFrames(ContentLayout layout)
{
    private readonly PieceSet _frames = new(new NetworkFrames(layout).Count);
    private readonly byte[] _framesOfPieces = new byte[layout.PieceCount];

    // The layout computes what it tells each time, which is too slow for each frame.
    private readonly int _framesPerPiece = new NetworkFrames(layout).PerPiece;
    private readonly int _lastPiece = layout.PieceCount - 1;
    private readonly int _framesOfLastPiece = new NetworkFrames(layout).In(layout.PieceCount - 1);

    /// <summary>The pieces that are whole.</summary>
    public PieceSet Pieces { get; } = new(layout.PieceCount);

    public bool Contains(int frame) => _frames.Contains(frame);

    public int PieceOf(int frame) => frame / _framesPerPiece;

    public FrameNews Add(int frame)
    {
        if (!_frames.Add(frame))
        {
            return FrameNews.Repeated;
        }

        var piece = PieceOf(frame);
        if (++_framesOfPieces[piece] < (piece == _lastPiece ? _framesOfLastPiece : _framesPerPiece))
        {
            return FrameNews.Part;
        }

        Pieces.Add(piece);
        return FrameNews.Piece;
    }

    /// <summary>The frames of these pieces from the first one that is missing on; both numbers are equal when none is.</summary>
    public (int First, int End) MissingOf(int firstPiece, int pieces)
    {
        var last = firstPiece + pieces - 1;
        var end = (last * _framesPerPiece) + (last == _lastPiece ? _framesOfLastPiece : _framesPerPiece);
        var missing = _frames.NextClear(firstPiece * _framesPerPiece);
        return (missing < 0 ? end : Math.Min(missing, end), end);
    }
}
