using System.Diagnostics.CodeAnalysis;
using Peerd.Contracts;

namespace Peerd.Node.Swarm;

/// <summary>
/// Which pieces of one content are here, granted, and under way to a requester: the one place where requests begin and end, so that what
/// follows from them always agrees. Not thread-safe.
/// </summary>
/// <param name="layout">Of the content.</param>
/// <param name="have">Pieces that are here.</param>
/// <param name="peers">Are told what is asked of them.</param>
/// <param name="slowness">The same.</param>
internal sealed class PieceTable(ContentLayout layout, PieceSet have, KnownPeers peers, SlownessJudge slowness)
{
    private readonly Dictionary<int, PieceRequest> _requests = [];
    private readonly PieceSet _inFlight = new(layout.PieceCount);

    public ContentLayout Layout => layout;

    /// <summary>Pieces that are here.</summary>
    public PieceSet Have { get; } = have.Clone();

    /// <summary>Pieces that may be read from the origin.</summary>
    public PieceSet Granted { get; } = new(layout.PieceCount);

    /// <summary>Pieces that were asked for. Changed by requests that begin and end only.</summary>
    public PieceSet InFlight => _inFlight;

    /// <summary>All that are under way.</summary>
    public Dictionary<int, PieceRequest>.ValueCollection Requests => _requests.Values;

    /// <summary>How many of them are to the origin.</summary>
    public int RequestsToOrigin => _requests.Values.Count(static request => request.Node is null);

    /// <summary>How many have begun: what takes turns takes them by this.</summary>
    public int Begun { get; private set; }

    /// <summary>A request begins. Returns it with its id.</summary>
    public PieceRequest Begin(PieceRequest request)
    {
        request = request with { Id = ++Begun };
        _inFlight.AddRun(request.First, request.Count);
        _requests.Add(request.Id, request);
        if (request.Node is { } node)
        {
            var peer = peers.GetOrAdd(node);
            peer.Asked();
            if (!request.IsUrgent)
            {
                peer.LastRange = request.Started;
                slowness.Began(node);
            }
        }

        return request;
    }

    public bool TryGet(int id, [NotNullWhen(true)] out PieceRequest? request) => _requests.TryGetValue(id, out request);

    /// <summary>A request ends; false when it has already.</summary>
    public bool TryEnd(int id, [NotNullWhen(true)] out PieceRequest? request)
    {
        if (!_requests.Remove(id, out request))
        {
            return false;
        }

        for (var piece = request.First; piece < request.First + request.Count; piece++)
        {
            // The last resort may be bringing it, too.
            if (!IsAskedFor(piece))
            {
                _inFlight.Remove(piece);
            }
        }

        return true;
    }

    /// <summary>The piece is neither here, nor under way, nor granted.</summary>
    public bool IsIdle(int piece) => IsMissing(piece) && !Granted.Contains(piece);

    /// <summary>The piece is neither here nor under way.</summary>
    public bool IsMissing(int piece) => !Have.Contains(piece) && !_inFlight.Contains(piece);

    /// <summary>The first of these pieces that is neither here nor under way; the end when none is.</summary>
    public int NextMissing(int from, int end)
    {
        while (from < end && !IsMissing(from))
        {
            from++;
        }

        return from;
    }

    /// <summary>What is missing of the segment is under way.</summary>
    public bool IsRestInFlight(int segment)
    {
        var (first, end) = SegmentRuns.PiecesOf(segment, layout);
        return NextMissing(first, end) == end;
    }

    /// <summary>Some of the segment is here.</summary>
    public bool IsBegun(int segment)
    {
        var (first, end) = SegmentRuns.PiecesOf(segment, layout);
        return Have.NextSet(first) is var piece && piece >= 0 && piece < end;
    }

    /// <summary>All of the segment is here.</summary>
    public bool IsWhole(int segment)
    {
        var (first, end) = SegmentRuns.PiecesOf(segment, layout);
        var missing = Have.NextClear(first);
        return missing < 0 || missing >= end;
    }

    private bool IsAskedFor(int piece)
    {
        foreach (var request in _requests.Values)
        {
            if (request.Contains(piece))
            {
                return true;
            }
        }

        return false;
    }
}
