using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Node.Swarm;

/// <summary>
/// The order in which containers need the pieces of one content, as the owner tells it bit by bit. What others have seen is followed here,
/// but told by them alone. Not thread-safe; the download's lock protects it.
/// </summary>
internal sealed class LearnedOrder
{
    private readonly List<uint> _pieces = [];

    /// <summary>The owner tells more.</summary>
    public void Add(IReadOnlyList<uint> more) => _pieces.AddRange(more.Take(ProtocolConstants.MaxStartupOrder - _pieces.Count));

    /// <summary>Another session tells it from the beginning.</summary>
    public void Forget() => _pieces.Clear();

    /// <summary>Passes on what the content does not know yet.</summary>
    public void TellTo(CachedContent content)
    {
        if (_pieces.Count > content.StartupOrder.Count)
        {
            content.Ordered([.. _pieces.Where(piece => piece < content.Layout.PieceCount).Select(piece => (int)piece)], isSeenHere: false);
        }
    }
}
