using System.Diagnostics.CodeAnalysis;
using Peerd.Contracts;

namespace Peerd.Node.Swarm;

/// <summary>
/// Who holds, fetches and reads which segment of one content: the one place where these change, so that what follows from
/// them always agrees. Not thread-safe.
/// </summary>
internal sealed class SegmentTable(CoordinatorPolicy policy, ContentLayout layout)
{
    private readonly Dictionary<int, Grant> _granted = [];
    private readonly int[] _holders = new int[layout.SegmentCount];
    private readonly PieceSet _covered = new(layout.SegmentCount);

    // The layout computes these from the size each time.
    private readonly int _segmentCount = layout.SegmentCount;
    private readonly int _piecesPerSegment = layout.PiecesPerSegment;
    private readonly Dictionary<string, Zone> _zones = new(StringComparer.Ordinal);

    public ContentLayout Layout => layout;

    /// <summary>Fetches that one asker, and one holder, may have at a time.</summary>
    public int Credits { get; private set; } = policy.MostCredits(layout);

    /// <summary>Who serves so many is looked at how quickly it does: with fewer it may be they who are slow.</summary>
    public int ManyServed => Math.Max(1, Credits / 2);

    /// <summary>Nodes that may fetch the same segment from one holder at a time.</summary>
    public int Children { get; } = ChildrenOf(policy, layout);

    /// <summary>The same for who is reading it from the origin: fewer when all segments of the content can be served at once.</summary>
    public int ChildrenOfReader { get; } = layout.SegmentCount <= 1 || layout.SegmentCount > policy.MostCredits(layout)
        ? ChildrenOf(policy, layout)
        : Math.Clamp(policy.MostCredits(layout) / layout.SegmentCount, 1, policy.Children);

    /// <summary>Segments that somebody holds, or reads from the origin.</summary>
    public PieceSet Covered => _covered;

    /// <summary>Somebody reads the segment from the origin.</summary>
    public bool IsGranted(int segment) => _granted.ContainsKey(segment);

    /// <summary>Segments that were read from the origin.</summary>
    public int SegmentsRead { get; private set; }

    /// <summary>Segments that askers have fetched from others.</summary>
    public int SegmentsFetched { get; private set; }

    /// <summary>Participants of more than one zone have something.</summary>
    public bool HasZones => _zones.Count > 1;

    /// <summary>Who reads what from the origin.</summary>
    public IEnumerable<KeyValuePair<int, Grant>> Granted => _granted;

    /// <summary>Segments that can be fetched from somebody in this zone.</summary>
    public bool TryGetAvailable(string zone, [NotNullWhen(true)] out PieceSet? available)
    {
        available = _zones.TryGetValue(zone, out var found) ? found.Available : null;
        return available is not null;
    }

    /// <summary>From now on askers may fetch, and holders serve, so many at a time. Who is slow has as far to go as before.</summary>
    public void SetCredits(int credits, List<Participant> participants)
    {
        foreach (var participant in participants)
        {
            var part = Math.Max(1, participant.Tokens * credits / Credits);
            participant.Tokens = participant.HasBeenSlow || participant.IsFoundSlow ? Math.Min(participant.Tokens, part)
                : participant.Tokens >= Credits ? credits
                : Math.Min(participant.Tokens, credits);
            Judged(participant);
        }

        Credits = credits;
    }

    /// <summary>A new participant.</summary>
    public void Enter(Participant participant)
    {
        participant.Held = new PieceSet(layout.SegmentCount);
        participant.Available = new PieceSet(layout.SegmentCount);
        participant.Tokens = Credits;
    }

    /// <summary>The participant holds these pieces now: ends the fetches and grants whose segments are whole.</summary>
    public void SetPieces(Participant participant, PieceSet pieces)
    {
        for (var segment = 0; segment < _segmentCount; segment++)
        {
            var isHeld = HoldsAll(pieces, segment);
            if (isHeld == participant.Held.Contains(segment))
            {
                continue;
            }

            if (isHeld)
            {
                participant.Held.Add(segment);
                CountHolder(participant, segment, 1);
                if (participant.Fetches.TryGetValue(segment, out var fetch))
                {
                    fetch.From.Brought += fetch.From.IsServing(ManyServed) ? 1 : 0;
                    End(fetch);
                    SegmentsFetched++;
                    fetch.From.Tokens = Math.Min(Credits, fetch.From.Tokens + 1);
                    fetch.From.Served++;
                    if (fetch.From.Tokens == Credits)
                    {
                        (fetch.From.LastBan, fetch.From.HasBeenSlow, fetch.From.IsFoundSlow) = (TimeSpan.Zero, false, false);
                    }

                    Judged(fetch.From);

                    fetch.From.Complainers.Clear();
                    fetch.From.Denials = 0;
                    if (participant.Asker is { } asker)
                    {
                        asker.Failures = 0;
                    }
                }

                SegmentsRead += _granted.TryGetValue(segment, out var grant) && grant.Reader == participant ? 1 : 0;
                Release(participant, segment);
            }
            else
            {
                participant.Held.Remove(segment);
                CountHolder(participant, segment, -1);
            }

            Refresh(participant, segment);
        }
    }

    /// <summary>The participant turned out not to hold the segment.</summary>
    public void Lose(Participant participant, int segment)
    {
        if (participant.Held.Remove(segment))
        {
            CountHolder(participant, segment, -1);
            Refresh(participant, segment);
        }
    }

    public Fetch Begin(Participant to, Participant from, int segment, bool isInOrder)
    {
        var depth = from.Held.Contains(segment) ? 1 : (from.Fetches.TryGetValue(segment, out var above) ? above.Depth : 0) + 1;
        var fetch = new Fetch(to, from, segment, depth, isInOrder, CountHeld(to, segment));
        to.Fetches.Add(segment, fetch);
        NotStarving(to);
        from.Serving.Add(fetch);
        Refresh(to, segment);
        return fetch;
    }

    /// <summary>The fetch is over, with or without success.</summary>
    public void End(Fetch fetch)
    {
        if (fetch.To.Fetches.Remove(fetch.Segment))
        {
            fetch.From.Serving.Remove(fetch);
            Refresh(fetch.To, fetch.Segment);
        }
    }

    public Grant AddGrant(Participant reader, List<int> segments, TimeSpan now)
    {
        var grant = new Grant(reader) { LastProgress = now, SegmentSince = now };
        reader.Grants.Add(grant);
        NotStarving(reader);
        foreach (var segment in segments)
        {
            _granted.Add(segment, grant);
            grant.Segments.Add(segment);
            RefreshCover(segment);
            Refresh(reader, segment);
        }

        return grant;
    }

    /// <summary>The participant does not read this segment from the origin any more.</summary>
    public void Release(Participant reader, int segment)
    {
        if (!_granted.TryGetValue(segment, out var grant) || grant.Reader != reader)
        {
            return;
        }

        _granted.Remove(segment);
        grant.Segments.Remove(segment);
        if (grant.Segments.Count == 0)
        {
            reader.Grants.Remove(grant);
        }

        RefreshCover(segment);
        Refresh(reader, segment);
    }

    public void ReleaseAll(Participant reader)
    {
        foreach (var segment in reader.Grants.SelectMany(grant => grant.Segments).ToList())
        {
            Release(reader, segment);
        }
    }

    /// <summary>Nothing is expected of the participant for a while, or is again: what only it holds counts as lost meanwhile.</summary>
    public void SetBanned(Participant participant, bool isBanned)
    {
        if (participant.IsBanned == isBanned)
        {
            return;
        }

        participant.IsBanned = isBanned;
        for (var segment = participant.Held.NextSet(0); segment >= 0; segment = participant.Held.NextSet(segment + 1))
        {
            _holders[segment] += isBanned ? -1 : 1;
            RefreshCover(segment);
        }

        Judged(participant);
    }

    /// <summary>Something is known anew of how the participant serves: its zone counts on it or does not.</summary>
    public void Judged(Participant participant)
    {
        var counts = !participant.IsBanned && !participant.IsSlow(policy.TokensOfSlow);
        if (participant.CountsInZone == counts)
        {
            return;
        }

        participant.CountsInZone = counts;
        for (var segment = participant.Available.NextSet(0); segment >= 0; segment = participant.Available.NextSet(segment + 1))
        {
            ZoneOf(participant).Count(segment, counts ? 1 : -1);
        }
    }

    /// <summary>The participant is gone: whoever fetched from it needs another.</summary>
    public void Leave(Participant participant)
    {
        foreach (var fetch in participant.Fetches.Values.Concat(participant.Serving).ToList())
        {
            End(fetch);
        }

        ReleaseAll(participant);
        SetPieces(participant, new PieceSet(layout.PieceCount));
    }

    /// <summary>Somebody else has all of the segment.</summary>
    public bool IsHeldByOthers(Participant participant, int segment) =>
        _holders[segment] > (participant is { IsBanned: false } && participant.Held.Contains(segment) ? 1 : 0);

    public bool HoldsAll(PieceSet pieces, int segment)
    {
        var first = segment * _piecesPerSegment;
        var missing = pieces.NextClear(first);
        return missing < 0 || missing >= first + _piecesPerSegment;
    }

    public int CountHeld(PieceSet pieces, int segment)
    {
        var count = 0;
        for (var piece = segment * _piecesPerSegment; piece < (segment + 1) * _piecesPerSegment; piece++)
        {
            count += pieces.Contains(piece) ? 1 : 0;
        }

        return count;
    }

    /// <summary>The requester has more of the segment than when the fetch began, from wherever.</summary>
    public bool HasArrived(Fetch fetch) => CountHeld(fetch.To, fetch.Segment) > fetch.HeldBefore;

    private int CountHeld(Participant participant, int segment) => participant.Pieces is { } pieces ? CountHeld(pieces, segment) : 0;

    private void CountHolder(Participant participant, int segment, int change)
    {
        if (!participant.IsBanned)
        {
            _holders[segment] += change;
            RefreshCover(segment);
        }
    }

    private static void NotStarving(Participant participant)
    {
        if (participant.Asker is { } asker)
        {
            asker.StarvingSince = null;
        }
    }

    private void RefreshCover(int segment)
    {
        if (_holders[segment] > 0 || _granted.ContainsKey(segment))
        {
            _covered.Add(segment);
        }
        else
        {
            _covered.Remove(segment);
        }
    }

    private void Refresh(Participant participant, int segment)
    {
        var isAvailable = participant.Held.Contains(segment) || participant.Fetches.ContainsKey(segment)
            || (_granted.TryGetValue(segment, out var grant) && grant.Reader == participant);
        if (isAvailable ? !participant.Available.Add(segment) : !participant.Available.Remove(segment))
        {
            return;
        }

        var zone = ZoneOf(participant);
        if (participant.CountsInZone)
        {
            zone.Count(segment, isAvailable ? 1 : -1);
        }
    }

    private Zone ZoneOf(Participant participant)
    {
        if (!_zones.TryGetValue(participant.Zone, out var zone))
        {
            _zones.Add(participant.Zone, zone = new Zone(layout.SegmentCount));
        }

        return zone;
    }

    private static int ChildrenOf(CoordinatorPolicy policy, ContentLayout layout) =>
        layout.SegmentCount == 1 ? policy.ChildrenOfOnlySegment : policy.Children;

    private sealed class Zone(int segmentCount)
    {
        private readonly int[] _counts = new int[segmentCount];

        public PieceSet Available { get; } = new(segmentCount);

        public void Count(int segment, int change)
        {
            _counts[segment] += change;
            if (_counts[segment] > 0)
            {
                Available.Add(segment);
            }
            else
            {
                Available.Remove(segment);
            }
        }
    }
}
