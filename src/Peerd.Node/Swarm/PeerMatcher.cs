using Peerd.Contracts;

namespace Peerd.Node.Swarm;

/// <summary>
/// Matches those who lack segments with those who have them or are about to: each asker has a few fetches at a time, each
/// holder serves as many, and nobody queues. Half of an asker's fetches are the first segments that it lacks, half are
/// random ones, so that askers have something to give each other. Not thread-safe.
/// </summary>
internal sealed class PeerMatcher(CoordinatorPolicy policy, Random random)
{
    private readonly List<Participant> _hungry = [];
    private readonly List<Participant> _free = [];
    private readonly List<Participant> _looked = [];

    /// <summary>How many lack something that is not on its way to them, when few ask; 0 else.</summary>
    private int _few;

    /// <summary>Assigns what can be assigned now.</summary>
    public void Match(IReadOnlyCollection<Participant> askers, IEnumerable<Participant> participants, SegmentTable table, TimeSpan now, Action<Fetch> assign)
    {
        _hungry.Clear();
        _few = 0;
        var areFew = policy.AreFew(askers);
        foreach (var asker in askers)
        {
            var lacksNothing = asker.Asker!.Wanted is { } wanted ? wanted.CountOf(asker.Available, within: null) == 0 : asker.Available.IsFull;
            asker.Asker.IsOneOfFew = areFew && !lacksNothing;
            _few += asker.Asker.IsOneOfFew ? 1 : 0;
            if (lacksNothing || asker.Fetches.Count + asker.Grants.Count > 0)
            {
                asker.Asker.StarvingSince = null;
            }

            if (!lacksNothing && asker.Fetches.Count < table.Credits && asker.Asker.NotBefore <= now)
            {
                _hungry.Add(asker);
            }
        }

        if (_hungry.Count == 0)
        {
            return;
        }

        foreach (var free in _free)
        {
            free.FreeIndex = -1;
        }

        _free.Clear();
        foreach (var participant in participants)
        {
            if (participant.HasRoom(now))
            {
                AddFree(participant);
            }
        }

        // One for each at a time: nobody takes all that is free before others had a chance.
        while (_hungry.Count > 0)
        {
            Shuffle(_hungry);
            for (var i = _hungry.Count - 1; i >= 0; i--)
            {
                var asker = _hungry[i];
                if (Find(asker, table, now) is not { } fetch)
                {
                    asker.Asker!.StarvingSince = asker.Fetches.Count + asker.Grants.Count > 0 ? null : asker.Asker.StarvingSince ?? now;
                    _hungry.RemoveAt(i);
                    continue;
                }

                asker.Asker!.StarvingSince = null;
                if (!fetch.From.HasRoom(now))
                {
                    RemoveFree(fetch.From);
                }

                if (asker.FreeIndex < 0 && asker.HasRoom(now))
                {
                    // What it is about to receive can be fetched from it.
                    AddFree(asker);
                }

                assign(fetch);
                if (asker.Fetches.Count >= table.Credits)
                {
                    _hungry.RemoveAt(i);
                }
            }
        }
    }

    private Fetch? Find(Participant asker, SegmentTable table, TimeSpan now)
    {
        // What somebody in its zone has, or is about to have, does not cross the border once more.
        PieceSet? nearby = null;
        var mayCross = asker.Asker!.StarvingSince is { } since && now - since >= policy.ZonePatience;
        if (table.HasZones && !mayCross)
        {
            table.TryGetAvailable(asker.Zone, out nearby);
        }

        return FindAmong(policy.HoldersLookedAt, now)
            ?? (_free.Count > policy.HoldersLookedAt ? FindAmong(policy.HoldersLookedAtLonger, now) : null)
            ?? (asker.Asker.Avoided.Count > 0 && asker.Fetches.Count + asker.Grants.Count == 0 ? FindAmong(policy.HoldersLookedAtLonger, avoidingAt: null) : null);

        Fetch? FindAmong(int lookedAt, TimeSpan? avoidingAt)
        {
            Look(asker, lookedAt, avoidingAt);
            return Find(asker, table, nearby);
        }
    }

    private Fetch? Find(Participant asker, SegmentTable table, PieceSet? nearby)
    {
        var inOrder = 0;
        foreach (var fetch in asker.Fetches.Values)
        {
            inOrder += fetch.IsInOrder ? 1 : 0;
        }

        var isInOrder = inOrder < (table.Credits + 1) / 2;
        var segment = isInOrder ? FirstOf(asker, nearby) : AnyOf(asker, nearby);
        if (segment < 0)
        {
            return null;
        }

        return Best(asker, table, nearby, segment) is { } holder ? table.Begin(asker, holder, segment, isInOrder) : AnyPair(asker, table, nearby, isInOrder);
    }

    /// <summary>Takes a random sample of those with room; without those that the asker avoids then, if a time is given.</summary>
    private void Look(Participant asker, int count, TimeSpan? avoidingAt)
    {
        _looked.Clear();
        for (var i = 0; i < _free.Count && _looked.Count < count; i++)
        {
            var j = random.Next(i, _free.Count);
            SwapFree(i, j);
            if (_free[i] != asker && (_few == 0 || _free[i].CountServed(asker) < ShareOf(_free[i])) && !(avoidingAt is { } now && asker.Asker!.Avoids(_free[i].Node, now)))
            {
                _looked.Add(_free[i]);
            }
        }
    }

    /// <summary>
    /// How many places of a holder one asker takes at most. Where few ask, two of them beside the holder, it is half of them: all that one whose link
    /// is thin fetches is under way for long, and would leave none to the other.
    /// </summary>
    private int ShareOf(Participant holder) =>
        _few - (holder.Asker is { IsOneOfFew: true } ? 1 : 0) > 1 ? (holder.Tokens + 1) / 2 : holder.Tokens;

    private int FirstOf(Participant asker, PieceSet? nearby)
    {
        var first = -1;
        foreach (var holder in _looked)
        {
            var segment = Useful(holder, asker, nearby, 0);
            first = segment >= 0 && (first < 0 || segment < first) ? segment : first;
        }

        return first;
    }

    private int AnyOf(Participant asker, PieceSet? nearby)
    {
        // A random holder, then a random one of its segments.
        foreach (var holder in _looked)
        {
            var count = CountUseful(holder, asker, nearby);
            if (count > 0)
            {
                return Useful(holder, asker, nearby, random.Next(count));
            }
        }

        return -1;
    }

    private static int CountUseful(Participant holder, Participant asker, PieceSet? nearby) =>
        holder.Available.CountOf(asker.Available, asker.Asker!.Wanted, holder.Zone == asker.Zone ? null : nearby);

    /// <summary>The index-th segment that the asker could fetch from the holder; -1 when there are not so many.</summary>
    private static int Useful(Participant holder, Participant asker, PieceSet? nearby, int index) =>
        holder.Available.ElementOf(index, asker.Available, asker.Asker!.Wanted, holder.Zone == asker.Zone ? null : nearby);

    /// <summary>The best of those looked at who have the segment.</summary>
    private Participant? Best(Participant asker, SegmentTable table, PieceSet? nearby, int segment)
    {
        Participant? best = null;
        var bestCost = double.MaxValue;
        foreach (var holder in _looked)
        {
            if (!holder.Available.Contains(segment) || !MayServe(holder, asker, table, segment) || holder.Serving.Count >= holder.Tokens
                || (nearby is not null && holder.Zone != asker.Zone && nearby.Contains(segment)) || holder.WaitsFor(asker, segment))
            {
                continue;
            }

            var depth = holder.Held.Contains(segment) ? 0 : 1 + (holder.Fetches.TryGetValue(segment, out var above) ? above.Depth : 0);
            var cost = (8.0 * holder.Serving.Count / holder.Tokens) + depth + random.NextDouble();

            // Who has much more than the asker has what others can get from nobody else: its uploads are for them.
            cost += policy.CostOfBeingAhead * Math.Max(0, holder.Available.Count - asker.Available.Count) / table.Layout.SegmentCount;
            if (asker.Asker!.LastFailed.TryGetValue(segment, out var failed) && failed == holder.Node)
            {
                cost += 1000;
            }

            if (cost < bestCost)
            {
                (best, bestCost) = (holder, cost);
            }
        }

        return best;
    }

    private bool MayServe(Participant holder, Participant asker, SegmentTable table, int segment)
    {
        // Through a thin link, or from one that came late, only what nobody else is closer to.
        if (holder.Fetches.ContainsKey(segment) && holder.IsBehind(asker.Held.Count - (int)Math.Ceiling(policy.FarBehind * table.Layout.SegmentCount)))
        {
            return false;
        }

        // Who reads a small content serves each of its segments at once, and leaves what else its places allow to those
        // who have got them from it: or some of them would come a round later than the others.
        var isFirst = table.ChildrenOfReader < table.Children && !holder.Held.Contains(segment) && !holder.Fetches.ContainsKey(segment);
        return holder.ChildrenOf(segment) < (isFirst ? table.ChildrenOfReader : table.Children);
    }

    /// <summary>The chosen segment has too many children already: any other that somebody can serve.</summary>
    private Fetch? AnyPair(Participant asker, SegmentTable table, PieceSet? nearby, bool isInOrder)
    {
        foreach (var holder in _looked)
        {
            for (var index = 0; index < table.Children; index++)
            {
                var segment = Useful(holder, asker, nearby, index);
                if (segment < 0)
                {
                    break;
                }

                if (MayServe(holder, asker, table, segment) && !holder.WaitsFor(asker, segment))
                {
                    return table.Begin(asker, holder, segment, isInOrder);
                }
            }
        }

        return null;
    }

    private void AddFree(Participant participant)
    {
        participant.FreeIndex = _free.Count;
        _free.Add(participant);
    }

    private void RemoveFree(Participant participant)
    {
        SwapFree(participant.FreeIndex, _free.Count - 1);
        _free.RemoveAt(_free.Count - 1);
        participant.FreeIndex = -1;
    }

    private void SwapFree(int i, int j)
    {
        (_free[i], _free[j]) = (_free[j], _free[i]);
        _free[i].FreeIndex = i;
        _free[j].FreeIndex = j;
    }

    private void Shuffle(List<Participant> list)
    {
        for (var i = list.Count - 1; i > 0; i--)
        {
            var j = random.Next(i + 1);
            (list[i], list[j]) = (list[j], list[i]);
        }
    }
}
