using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>
/// Checksums of the frames of one content as the first readers of its pieces told its owner, and how far each asker was told of them.
/// Not thread-safe.
/// </summary>
internal sealed class FirstChecksums(CoordinatorPolicy policy)
{
    private readonly HashSet<int> _pieces = [];

    /// <summary>In the order in which they became known. Every asker is sent the same messages, so nobody changes them.</summary>
    private readonly List<PieceChecksums> _known = [];

    /// <summary>False when those of the piece are known: later words do not count.</summary>
    public bool Add(int piece, ulong[] checksums)
    {
        if (!_pieces.Add(piece))
        {
            return false;
        }

        _known.Add(new PieceChecksums { Piece = (uint)piece, Frames = { checksums } });
        return true;
    }

    /// <summary>None are known any more: all askers are to be told anew.</summary>
    public void Clear(List<Participant> askers)
    {
        _known.Clear();
        _pieces.Clear();
        askers.ForEach(static asker => asker.Asker!.ToldChecksums = 0);
    }

    /// <summary>Adds what is new to the asker to its next push: with what it is told anyway, or after a while.</summary>
    public void Tell(Asker asker, TimeSpan now)
    {
        if (asker.ToldChecksums >= _known.Count || !(asker.HasPending || asker.LastPush is null || now - asker.LastPush >= policy.ChecksumInterval))
        {
            return;
        }

        var end = Math.Min(_known.Count, asker.ToldChecksums + policy.ChecksumsAtOnce);
        for (; asker.ToldChecksums < end; asker.ToldChecksums++)
        {
            asker.Pending.Checksums.Add(_known[asker.ToldChecksums]);
        }
    }
}
