using Peerd.Node.Origin;

namespace Peerd.Node.Swarm;

/// <summary>
/// The ways to the origin that the clients of one download know, in the order in which they are tried; never empty. A
/// client's credential goes with the client, so that it is used for nobody else. Not thread-safe.
/// </summary>
internal sealed class ClientOrigins
{
    /// <summary>More push out the oldest: each client of a store brings signatures of its own, and the oldest expires first.</summary>
    public const int Max = 8;

    private readonly List<(OriginReference Reference, int Clients)> _all = [];

    /// <param name="first">The way of the first client.</param>
    public ClientOrigins(OriginReference first) => _all.Add((first, 1));

    /// <summary>The one to be tried now.</summary>
    public OriginReference Current => _all[0].Reference;

    /// <summary>A client comes; false when its way is among them already.</summary>
    public bool Join(OriginReference reference)
    {
        var known = IndexOf(reference);
        if (known >= 0)
        {
            _all[known] = (reference, _all[known].Clients + 1);
        }
        else
        {
            // After the others: what works for a client must not be spoiled by another client's way.
            _all.Add((reference, 1));
            if (_all.Count > Max)
            {
                _all.RemoveAt(0);
            }
        }

        _all.RemoveAll(way => way.Clients == 0 && IsSecret(way.Reference));
        return known < 0;
    }

    /// <summary>
    /// A client is gone. Its credential may still serve its own next request, which usually follows; as soon as the download
    /// goes on for others it is forgotten.
    /// </summary>
    public void Leave(OriginReference reference)
    {
        var known = IndexOf(reference);
        if (known < 0 || _all[known].Clients == 0)
        {
            return;
        }

        _all[known] = (reference, _all[known].Clients - 1);
        if (_all[known].Clients == 0 && IsSecret(reference) && _all.Exists(static way => way.Clients > 0))
        {
            _all.RemoveAt(known);
        }
    }

    /// <summary>One way is of no use; true when there is another to be tried. The last one stays, so that there is something to tell.</summary>
    public bool HasAnother(OriginReference useless)
    {
        if (_all.Count == 1)
        {
            return !Current.Equals(useless);
        }

        _all.RemoveAll(way => way.Reference.Equals(useless));
        return true;
    }

    private static bool IsSecret(OriginReference reference) => reference.Credential?.Authorization is not null;

    private int IndexOf(OriginReference reference) => _all.FindIndex(way => way.Reference.Equals(reference));
}
