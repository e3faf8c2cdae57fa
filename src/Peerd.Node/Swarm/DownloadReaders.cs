using Peerd.Node.Origin;
using Peerd.Node.Storage;

namespace Peerd.Node.Swarm;

/// <summary>
/// What is wanted of one content on this node, by readers and in the background, and what of that is barred: no client that wants it can
/// read it at the origin. Not thread-safe; the download's lock protects it.
/// </summary>
/// <param name="origins">The ways to the origin that the clients know.</param>
internal sealed class DownloadReaders(ClientOrigins origins)
{
    private readonly List<DownloadReader> _readers = [];
    private IReadOnlyList<BackgroundDemand> _background = [];

    /// <summary>Where nothing can be read in the background, as far as is known.</summary>
    private readonly HashSet<OriginReference> _barred = [];

    /// <summary>Nobody reads, or waits for the whole.</summary>
    public bool IsEmpty => _readers.Count == 0;

    /// <summary>Nothing is wanted, not even in the background.</summary>
    public bool WantNothing => _readers.Count + _background.Count == 0;

    /// <summary>Some reader comes to the last byte soon, which it gets only when the whole was found right.</summary>
    public bool NeedWhole => _readers.Exists(static reader => reader.NeedsWhole);

    public void Add(DownloadReader reader) => _readers.Add(reader);

    public void Remove(DownloadReader reader) => _readers.Remove(reader);

    /// <summary>What is to be fetched besides what readers need, the most wanted first; replaces what was said before.</summary>
    public void SetBackground(IReadOnlyList<BackgroundDemand> demands)
    {
        _background = demands;
        _barred.IntersectWith(demands.Select(static background => background.Origin));
    }

    /// <summary>A reader that needs the whole, and thus its hash, has not come to this piece.</summary>
    public bool IsAnyBehind(int piece) => _readers.Exists(reader => reader.NeedsWhole && reader.Position < piece);

    /// <summary>What is to be fetched, the most wanted first.</summary>
    /// <param name="pieceCount">Pieces of the content.</param>
    /// <param name="firstUnverified">The piece at which hashing is: who waits for the whole needs all from there on.</param>
    /// <param name="longest">Pieces that may be fetched ahead of a reader.</param>
    public List<Demand> Demands(int pieceCount, int firstUnverified, int longest)
    {
        var demands = _readers.Where(static reader => reader.Position < reader.Barred)
            .Select(reader => new Demand(reader.Position, Math.Min(reader.End, reader.Barred), Math.Min(reader.Ahead, longest))).ToList();
        if (_readers.Where(static reader => reader.NeedsWhole).Select(static reader => reader.Barred).DefaultIfEmpty().Max() is > 0 and var barred)
        {
            demands.Add(new Demand(firstUnverified, Math.Min(pieceCount, barred), longest));
        }

        demands.AddRange(_background.Where(background => !_barred.Contains(background.Origin)).Select(static background => background.Demand));
        return demands;
    }

    /// <summary>
    /// The way to the origin for a piece, null when those of the clients that want it do not work, and the piece before which
    /// it ends: what one client brought is for what that client wants.
    /// </summary>
    public (OriginReference? Origin, int Stop) WayFor(int piece, int end, int firstUnverified)
    {
        if (origins.For(way => IsWanted(piece, firstUnverified, way)) is not { } origin)
        {
            return (null, end);
        }

        var stop = piece + 1;
        while (stop < end && (IsWanted(stop, firstUnverified, origin) || !IsWanted(stop, firstUnverified)))
        {
            stop++;
        }

        return (origin, stop);
    }

    /// <summary>
    /// No client that wants this piece can read it at the origin, and others' credentials are not for them: they wait for what
    /// comes for others.
    /// </summary>
    public void Bar(int piece, int firstUnverified)
    {
        foreach (var reader in _readers.Where(reader => IsWantedBy(reader, piece, firstUnverified) && !origins.MayServe(reader.Origin)))
        {
            reader.Bar(piece, origins.FailureOf(reader.Origin));
        }

        _barred.UnionWith(_background.Where(background => background.Demand.Includes(piece) && !origins.MayServe(background.Origin)).Select(static background => background.Origin));
    }

    /// <summary>Something has become of the ways to the origin: true when somebody is barred no more.</summary>
    public bool Unbar()
    {
        var barred = _readers.FindAll(reader => reader.Barred < int.MaxValue && origins.MayServe(reader.Origin));
        barred.ForEach(static reader => reader.Unbar());
        return _barred.RemoveWhere(origins.MayServe) > 0 || barred.Count > 0;
    }

    /// <summary>Nothing is fetched in the background for this client at the moment: no way of it works.</summary>
    public bool IsBarred(OriginReference origin) => _barred.Contains(origin);

    /// <summary>Ends readers that wait for what they may not read and nobody brings.</summary>
    /// <param name="content">What is here.</param>
    /// <param name="firstUnverified">The piece at which hashing is.</param>
    /// <param name="isBrought">Somebody brings the piece, or will.</param>
    public void RefuseBarred(CachedContent content, int firstUnverified, Func<int, bool> isBrought)
    {
        foreach (var reader in _readers.Where(static reader => reader.Barred < int.MaxValue))
        {
            if (Awaited(reader, content, firstUnverified) is var piece && piece >= reader.Barred && !isBrought(piece))
            {
                reader.Refuse();
            }
            else
            {
                reader.GoOn();
            }
        }
    }

    /// <summary>Some client wants the piece, or the client that would read it at this place.</summary>
    private bool IsWanted(int piece, int firstUnverified, OriginReference? way = null) =>
        _readers.Exists(reader => (way is null || reader.Origin.Equals(way)) && IsWantedBy(reader, piece, firstUnverified))
        || _background.Any(background => (way is null || background.Origin.Equals(way)) && background.Demand.Includes(piece));

    private static bool IsWantedBy(DownloadReader reader, int piece, int firstUnverified) => reader.Wants(piece) || (reader.NeedsWhole && piece >= firstUnverified);

    /// <summary>The piece that a reader waits for, itself or for the whole to be found right; -1 for none.</summary>
    private static int Awaited(DownloadReader reader, CachedContent content, int firstUnverified)
    {
        if (reader.Position < reader.End && !content.HasPiece(reader.Position))
        {
            return reader.Position;
        }

        if (!reader.NeedsWhole || firstUnverified >= content.Layout.PieceCount || (content.KeepsInMemory ? firstUnverified > reader.Position : reader.Position < reader.End - 1))
        {
            return -1;
        }

        var missing = content.SnapshotPieces().NextClear(firstUnverified);
        return content.KeepsInMemory && missing != firstUnverified ? -1 : missing;
    }
}
