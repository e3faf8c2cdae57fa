using Peerd.Contracts;
using Peerd.Node.Origin;

namespace Peerd.Node.Swarm;

/// <summary>One reader of a download: where it is and what it still needs. Used by one thread at a time.</summary>
internal sealed class DownloadReader(Download download, ContentLayout layout, OriginReference origin, ByteRange range, int aheadPieces) : IDisposable
{
    private int _disposed;

    /// <summary>Where its client would read it.</summary>
    public OriginReference Origin => origin;

    /// <summary>The piece that the reader needs next.</summary>
    public int Position { get; private set; } = layout.PieceAt(range.Offset);

    /// <summary>The piece before which the reader stops.</summary>
    public int End { get; } = range.IsEmpty ? layout.PieceAt(range.Offset) : layout.PieceAt(range.End - 1) + 1;

    /// <summary>How many pieces from its position on are to be fetched ahead of it.</summary>
    public int Ahead { get; } = aheadPieces;

    /// <summary>It comes to the last byte soon, which it gets only when the whole content was found right.</summary>
    public bool NeedsWhole => range.End >= layout.Size && !range.IsEmpty && End - Position <= Ahead;

    /// <summary>It needs this piece itself.</summary>
    public bool Wants(int piece) => Position <= piece && piece < End;

    /// <summary>The reader needs nothing before this byte any more.</summary>
    public void MoveTo(long offset)
    {
        var piece = layout.PieceAt(offset);
        if (piece > Position)
        {
            Position = piece;
            download.ReaderMoved();
        }
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            download.ReaderGone(this);
        }
    }
}
