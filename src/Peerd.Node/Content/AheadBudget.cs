using Peerd.Contracts;

namespace Peerd.Node.Content;

/// <summary>
/// How much of what a container may need next is fetched ahead of it. What is ahead and here counts, too; what a guess is widened by to
/// whole segments counts as far as it has to be fetched. Not thread-safe.
/// </summary>
/// <param name="bytes">That may be ahead in all; the last segment may be more than was left, for at the origin nothing less can be read.</param>
/// <param name="layout">Of the content.</param>
/// <param name="isHere">Whether a piece is here.</param>
internal sealed class AheadBudget(long bytes, ContentLayout layout, Func<int, bool> isHere)
{
    private readonly HashSet<int> _counted = [];
    private readonly long _bytes = bytes;
    private long _left = bytes;

    /// <summary>Begins anew for guesses of another kind, which must not take the place of these. What was counted is not counted again.</summary>
    public void Renew() => _left = _bytes;

    /// <summary>The pieces to be fetched of those from the first up to the end; both are the same when there is nothing.</summary>
    /// <param name="first">First piece.</param>
    /// <param name="end">Piece behind the last.</param>
    /// <param name="isHeld">Whether a peer has a piece; else it is read at the origin, with the segment that it is in.</param>
    public (int First, int End) Take(int first, int end, Func<int, bool> isHeld)
    {
        for (; first < end && isHere(first); first++)
        {
            Count(first);
        }

        var step = 1;
        if (first < end && !isHeld(first))
        {
            step = layout.PiecesPerSegment;
            first = first / step * step;
            end = Math.Min(layout.PieceCount, (((end - 1) / step) + 1) * step);
        }

        for (var piece = first; piece < end; piece++)
        {
            if (_left <= 0 && piece % step == 0)
            {
                return (first, piece);
            }

            // What is here is behind the reader, or has been counted as what is ahead.
            if (!isHere(piece))
            {
                Count(piece);
            }
        }

        return (first, end);
    }

    private void Count(int piece) => _left -= _counted.Add(piece) ? layout.PieceSize : 0;
}
