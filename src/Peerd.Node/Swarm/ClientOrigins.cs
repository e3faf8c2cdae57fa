using System.Net;
using Peerd.Node.Origin;

namespace Peerd.Node.Swarm;

/// <summary>
/// The ways to the origin that the clients of one download know, in the order in which they are tried; never empty. A
/// client's credential is used for what that client wants and goes with the client, and each client is told what came of
/// its own way only. Not thread-safe.
/// </summary>
internal sealed class ClientOrigins
{
    /// <summary>More push out those that nobody brings any more, that were refused, or that are nobody's secret and not tried now; there is no room for more than that.</summary>
    public const int Max = 32;

    private static readonly SourceFailure Full = new(HttpStatusCode.ServiceUnavailable, "too many clients read this content with credentials of their own");

    private readonly List<Way> _all = [];

    /// <summary>
    /// Secrets of clients that are here, and are not tried: there was no room for them, or they had to make some. Of what is nobody's
    /// secret none are kept: one serves for all, and each new signature of a URL is one more.
    /// </summary>
    private readonly Dictionary<OriginReference, Way> _without = [];

    /// <param name="first">The way of the first client.</param>
    public ClientOrigins(OriginReference first) => _all.Add(new Way { Reference = first });

    /// <summary>All that are kept.</summary>
    public int Count => _all.Count + _without.Count;

    /// <summary>The one to be tried now.</summary>
    public OriginReference Current => (_all.Find(static way => !way.IsTried) ?? _all[0]).Reference;

    /// <summary>The one to be tried now for a part of the content; null when only credentials of clients that do not want the part are left.</summary>
    /// <param name="isWanted">The client that would read it there wants the part.</param>
    public OriginReference? For(Func<OriginReference, bool> isWanted)
    {
        var way = _all.Find(way => !way.IsTried && isWanted(way.Reference))
            ?? _all.Find(way => !way.IsTried && !way.Reference.IsPrivate);
        if (way is null && _all.TrueForAll(static other => other.IsTried))
        {
            way = _all.Find(other => isWanted(other.Reference)) ?? _all.Find(static other => !other.Reference.IsPrivate);
        }

        return way?.Reference;
    }

    /// <summary>A client may be served by the origin: its own way, or one that is nobody's secret, is not known to fail.</summary>
    public bool MayServe(OriginReference reference) => For(reference.Equals) is not null;

    /// <summary>A client comes; false when its way is among them already, or there is no room: a client that came before keeps its own.</summary>
    /// <param name="reference">Its way.</param>
    /// <param name="isCounted">It is one more, and leaves on its own.</param>
    public bool Join(OriginReference reference, bool isCounted = true)
    {
        var known = Find(reference);
        if (known is not null)
        {
            known.Clients += isCounted ? 1 : 0;
            known.IsTried = false;
            known.Failure = null;
        }
        else
        {
            var waiting = _without.GetValueOrDefault(reference);
            var clients = isCounted || waiting is null ? 1 : 0;
            if (_all.Count >= Max && !TryMakeRoom())
            {
                if (waiting is not null)
                {
                    waiting.Clients += clients;
                }
                else if (reference.IsPrivate)
                {
                    _without.Add(reference, new Way { Reference = reference, Failure = Full });
                }

                return false;
            }

            // After the others: what works for a client must not be spoiled by another client's way.
            _all.Add(new Way { Reference = reference, Clients = (waiting?.Clients ?? 0) + clients });
            _without.Remove(reference);
        }

        // What was begun for no client has a way to the origin now.
        _all.RemoveAll(static way => way.Reference == OriginReference.None || (way.Clients == 0 && way.Reference.IsPrivate));
        return known is null;
    }

    /// <summary>
    /// A client is gone. Its credential may still serve its own next request, which usually follows; as soon as the download
    /// goes on for others it is forgotten.
    /// </summary>
    public void Leave(OriginReference reference)
    {
        if (_without.TryGetValue(reference, out var waiting))
        {
            if (--waiting.Clients == 0)
            {
                _without.Remove(reference);
            }
        }
        else if (Find(reference) is { Clients: > 0 } way)
        {
            way.Clients--;
            if (way.Clients == 0 && reference.IsPrivate && _all.Exists(static other => other.Clients > 0))
            {
                _all.Remove(way);
            }
        }
    }

    /// <summary>A way works.</summary>
    public void Worked(OriginReference reference)
    {
        if (Find(reference) is { } way)
        {
            way.IsTried = false;
            way.Failure = null;
        }
    }

    /// <summary>A way did not work; true when there is another to be tried now.</summary>
    public bool Failed(OriginReference reference, SourceFailure failure)
    {
        if (Find(reference) is not { } way)
        {
            return true;
        }

        way.IsTried = true;
        way.Failure = failure;

        // A pause is waited for by its client, whose turn does not come by others' credentials.
        if (_all.Exists(other => !other.IsTried && (failure.RetryAfter is null || !other.Reference.IsPrivate)))
        {
            return true;
        }

        // All were tried. Next time those come first that may work then.
        foreach (var passing in _all.Where(static other => !IsFinal(other.Failure)))
        {
            passing.IsTried = false;
        }

        return false;
    }

    /// <summary>What came of a client's own way; null when it was not tried, or worked.</summary>
    public SourceFailure? FailureOf(OriginReference reference) => (Find(reference) ?? _without.GetValueOrDefault(reference)) is { } way ? way.Failure
        : _all.Count >= Max && !MayServe(reference) ? Full
        : null;

    private bool TryMakeRoom()
    {
        var gone = _all.Find(static way => way.Clients == 0)
            ?? _all.Find(static way => way.IsTried && IsFinal(way.Failure))
            ?? _all.Find(way => !way.Reference.IsPrivate && !way.Reference.Equals(Current));
        if (gone is null)
        {
            return false;
        }

        _all.Remove(gone);
        if (gone.Clients > 0 && gone.Reference.IsPrivate)
        {
            _without.Add(gone.Reference, gone);
        }

        return true;
    }

    private static bool IsFinal(SourceFailure? failure) =>
        failure?.Status is HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden or HttpStatusCode.NotFound;

    private Way? Find(OriginReference reference) => _all.Find(way => way.Reference.Equals(reference));

    private sealed class Way
    {
        public required OriginReference Reference { get; init; }

        public int Clients { get; set; } = 1;

        /// <summary>It did not work, and others are tried before it.</summary>
        public bool IsTried { get; set; }

        public SourceFailure? Failure { get; set; }
    }
}
