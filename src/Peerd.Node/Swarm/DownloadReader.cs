using Peerd.Contracts;
using Peerd.Node.Origin;

namespace Peerd.Node.Swarm;

/// <summary>One reader of a download: where it is and what it still needs. Used by one thread at a time.</summary>
internal sealed class DownloadReader(Download download, ContentLayout layout, OriginReference origin, ByteRange range, int aheadPieces) : IDisposable
{
    private TaskCompletionSource _refused = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _disposed;

    /// <summary>Where its client would read it.</summary>
    public OriginReference Origin => origin;

    /// <summary>The piece that the reader needs next.</summary>
    public int Position { get; private set; } = layout.PieceAt(range.Offset);

    /// <summary>The piece from which on its client may not read the origin: it is demanded for others, or not at all. Written under the lock of the download.</summary>
    public int Barred { get; private set; } = int.MaxValue;

    /// <summary>Completes when what the reader needs next is barred, and nobody brings it.</summary>
    public Task RefusedAsync => Volatile.Read(ref _refused).Task;

    /// <summary>Why it is barred.</summary>
    public SourceFailure? Failure { get; private set; }

    /// <summary>The piece before which the reader stops.</summary>
    public int End { get; } = range.IsEmpty ? layout.PieceAt(range.Offset) : layout.PieceAt(range.End - 1) + 1;

    /// <summary>How many pieces from its position on are to be fetched ahead of it.</summary>
    public int Ahead { get; } = aheadPieces;

    /// <summary>It comes to the last byte soon, which it gets only when the whole content was found right.</summary>
    public bool NeedsWhole => range.End >= layout.Size && !range.IsEmpty && End - Position <= Ahead;

    /// <summary>It needs this piece itself.</summary>
    public bool Wants(int piece) => Position <= piece && piece < End;

    /// <summary>Its client cannot read this piece at the origin.</summary>
    public void Bar(int piece, SourceFailure? failure) => (Barred, Failure) = (Math.Min(Barred, piece), failure);

    /// <summary>It may be able to, again.</summary>
    public void Unbar()
    {
        (Barred, Failure) = (int.MaxValue, null);
        GoOn();
    }

    /// <summary>Somebody brings what it needs next.</summary>
    public void GoOn()
    {
        if (_refused.Task.IsCompleted)
        {
            Volatile.Write(ref _refused, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }
    }

    /// <summary>What it needs next does not come.</summary>
    public void Refuse() => _refused.TrySetResult();

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
