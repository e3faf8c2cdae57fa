using Peerd.Contracts;

namespace Peerd.Node.Content;

/// <summary>
/// The order in which a container that starts needs the pieces of a content: written down while the first one starts,
/// followed by those that start later, on other nodes, and completed by those that need more. Pure; not thread-safe.
/// </summary>
internal sealed class StartupOrder
{
    /// <summary>Pieces that are written down at most, and told to others.</summary>
    private const int MostPieces = ProtocolConstants.MaxStartupOrder;

    /// <summary>After so many pieces in a row that the known order does not have, it is not followed any more.</summary>
    private const int Patience = 16;

    /// <summary>Nobody needs to hear of so small a part more than what is known.</summary>
    private const int LeastPart = 8;

    private readonly List<int> _seen = [];
    private readonly HashSet<int> _touched = [];
    private readonly IReadOnlyList<int> _known;
    private readonly Dictionary<int, int> _places = [];
    private int _next;
    private int _strange;
    private int _unknown;

    /// <param name="known">The order as somebody else has seen it; empty when nobody has.</param>
    public StartupOrder(IReadOnlyList<int> known)
    {
        _known = known;
        for (var place = 0; place < known.Count; place++)
        {
            _places.TryAdd(known[place], place);
        }
    }

    /// <summary>Pieces of the order that was known before.</summary>
    public int Known => _known.Count;

    /// <summary>The known order has this piece.</summary>
    public bool Knows(int piece) => _places.ContainsKey(piece);

    /// <summary>Pieces in the order of their first touch here.</summary>
    public IReadOnlyList<int> Seen => _seen;

    /// <summary>Enough of <see cref="Seen"/> is not in the known order: that was written down from less than a start.</summary>
    public bool IsWorthTelling => _unknown > Known / LeastPart;

    /// <summary>Pieces that are going to be needed, the next one first; none when the reader goes another way than those before it.</summary>
    public IEnumerable<int> Ahead(int most) => _strange < Patience ? _known.Skip(_next).Where(piece => !_touched.Contains(piece)).Take(most) : [];

    /// <summary>The reader needs this piece; true when it did so for the first time.</summary>
    public bool Touch(int piece)
    {
        if (_touched.Count >= MostPieces || !_touched.Add(piece))
        {
            return false;
        }

        _seen.Add(piece);
        if (!_places.TryGetValue(piece, out var place))
        {
            _strange++;
            _unknown++;
        }
        else
        {
            // Readers overtake each other a little: what was left out on the way is still to come.
            _strange = 0;
            _next = Math.Max(_next, place - Patience);
        }

        return true;
    }
}
