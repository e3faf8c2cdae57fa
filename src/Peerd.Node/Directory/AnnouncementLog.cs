using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Directory;

/// <summary>What this node holds of a content.</summary>
/// <param name="Size">Bytes of the whole.</param>
/// <param name="MediaType">Media type as the origin told it; null when unknown.</param>
/// <param name="Complete">All of it is here and right.</param>
/// <param name="Pieces">The pieces that are here.</param>
/// <param name="Losses">How often pieces that were here were lost.</param>
internal sealed record HeldContent(long Size, string? MediaType, bool Complete, PieceSet Pieces, int Losses = 0)
{
    /// <summary>Pieces in the order in which a container needed them first; empty when unknown.</summary>
    public IReadOnlyList<int> StartupOrder { get; init; } = [];
}

/// <summary>
/// What has been said on one Announce stream, and so what the next batch has to say. Pure: no I/O, no clock.
/// Not thread-safe.
/// </summary>
/// <param name="saidBefore">Contents of which former streams may have said something.</param>
internal sealed class AnnouncementLog(IReadOnlySet<Digest> saidBefore)
{
    /// <summary>Contents in one batch at most.</summary>
    private const int BatchSize = 256;

    /// <summary>Bytes of contents in one batch, if it has more than one of them.</summary>
    private const int BatchBytes = ProtocolConstants.MaxRequestBytes / 4;

    /// <summary>Runs of pieces that are told at once: 128 KiB, or a little more. Of a content that has more the rest follows.</summary>
    private const int MostRuns = 16 * 1024;

    /// <summary>No number of losses: whatever is held differs from what was said.</summary>
    private const int NeverLost = -1;

    private readonly Dictionary<Digest, (bool Complete, PieceSet Pieces, int Ordered, int Losses)> _said = [];

    /// <summary>
    /// The batches that bring the other side to what is held now.
    /// </summary>
    /// <param name="changed">Contents that may differ from what was said.</param>
    /// <param name="held">What is held of a content; null when nothing, or when the other side is not responsible for it.</param>
    public IEnumerable<AnnounceRequest> Batches(IEnumerable<Digest> changed, Func<Digest, HeldContent?> held)
    {
        var batch = new AnnounceRequest();
        var bytes = 0;
        foreach (var digest in changed)
        {
            IReadOnlyList<Availability> parts = [];
            if (held(digest) is { } now)
            {
                parts = Describe(digest, now);
            }
            else if (_said.Remove(digest))
            {
                batch.Withdrawn.Add(digest.ToString());
            }

            foreach (var part in parts)
            {
                var size = part.CalculateSize();
                if (batch.Contents.Count > 0 && bytes + size > BatchBytes)
                {
                    yield return batch;
                    (batch, bytes) = (new AnnounceRequest(), 0);
                }

                batch.Contents.Add(part);
                bytes += size;
            }

            if (batch.Contents.Count + batch.Withdrawn.Count >= BatchSize)
            {
                yield return batch;
                (batch, bytes) = (new AnnounceRequest(), 0);
            }
        }

        if (batch.Contents.Count + batch.Withdrawn.Count > 0)
        {
            yield return batch;
        }
    }

    /// <summary>The other side has forgotten what it was told of this content in part: what is held still has to be said again.</summary>
    public void Repeat(Digest digest)
    {
        if (_said.TryGetValue(digest, out var said) && !said.Complete)
        {
            _said[digest] = said with { Ordered = 0, Losses = NeverLost };
        }
    }

    /// <summary>All contents of which something has been said.</summary>
    public IReadOnlyCollection<Digest> Said => _said.Keys;

    /// <summary>What is to be said of a content now; nothing when that was said already.</summary>
    private List<Availability> Describe(Digest digest, HeldContent held)
    {
        var known = _said.TryGetValue(digest, out var said);

        // What came and went between two batches was never said here, but reports of the same download may have told of it.
        var hasLost = said.Losses != held.Losses;
        if (known && !hasLost && said.Complete == held.Complete && (held.Complete || SameSet(said.Pieces, held.Pieces)) && said.Ordered == held.StartupOrder.Count)
        {
            return [];
        }

        var grows = known && !hasLost && !said.Complete && (held.Complete || IsSubset(said.Pieces, held.Pieces));
        // A first word must not take away what reports of the same download have said while it was on its way.
        var replaces = known ? !grows : hasLost || saidBefore.Contains(digest);
        var availability = new Availability
        {
            Digest = digest.ToString(),
            Size = held.Size,
            MediaType = held.MediaType ?? string.Empty,
            Complete = held.Complete,
            Replace = replaces,
        };
        var parts = new List<Availability> { availability };
        foreach (var runs in held.Complete ? [] : (grows ? Difference(held.Pieces, said.Pieces) : held.Pieces).ToPieceRuns().Chunk(MostRuns))
        {
            if (availability.Pieces.Count > 0)
            {
                parts.Add(availability = new Availability { Digest = availability.Digest, Size = held.Size, MediaType = availability.MediaType });
            }

            availability.Pieces.AddRange(runs);
        }

        if (held.StartupOrder.Count > said.Ordered)
        {
            availability.StartupOrder.AddRange(held.StartupOrder.Select(piece => (uint)piece));
        }

        _said[digest] = (held.Complete, held.Pieces.Clone(), held.StartupOrder.Count, held.Losses);
        return parts;
    }

    private static bool SameSet(PieceSet a, PieceSet b) => a.Count == b.Count && IsSubset(a, b);

    private static bool IsSubset(PieceSet part, PieceSet whole)
    {
        for (var piece = part.NextSet(0); piece >= 0; piece = part.NextSet(piece + 1))
        {
            if (!whole.Contains(piece))
            {
                return false;
            }
        }

        return true;
    }

    private static PieceSet Difference(PieceSet all, PieceSet without)
    {
        var rest = all.Clone();
        for (var piece = without.NextSet(0); piece >= 0; piece = without.NextSet(piece + 1))
        {
            rest.Remove(piece);
        }

        return rest;
    }
}
