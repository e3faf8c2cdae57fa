using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>
/// Checksums of the frames of one content as owners told them: what peers send is compared with them, long before the whole can be compared
/// with its digest. Not thread-safe; the download's lock protects it.
/// </summary>
internal sealed class OwnerChecksums(ChecksumBudget budget)
{
    private readonly Dictionary<int, ulong[]> _byPiece = [];
    private readonly ChecksumShare _share = new(budget);

    /// <summary>Keeps those of pieces that are not known yet, and only what can belong to the content: an owner could fill the memory otherwise.</summary>
    public void Add(IEnumerable<PieceChecksums> told, string owner, ContentLayout layout)
    {
        foreach (var checksums in told)
        {
            if (checksums.Piece < layout.PieceCount && checksums.Frames.Count == layout.FramesIn((int)checksums.Piece)
                && !_byPiece.ContainsKey((int)checksums.Piece) && _share.TryTake(owner, checksums.Frames.Count))
            {
                _byPiece.Add((int)checksums.Piece, [.. checksums.Frames]);
            }
        }
    }

    /// <summary>The frame should have another checksum than this.</summary>
    public bool Contradict(int frame, ulong checksum, ContentLayout layout) =>
        _byPiece.TryGetValue(frame / layout.FramesPerPiece, out var known) && frame % layout.FramesPerPiece < known.Length
        && known[frame % layout.FramesPerPiece] != checksum;

    /// <summary>None are kept any more.</summary>
    public void Clear()
    {
        _byPiece.Clear();
        _share.Clear();
    }
}
