using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>
/// Chooses a few holders for each asker to be told of, so that it has somebody to ask should its owners die: most of them of its own
/// zone, and rather those who serve few. By chance all the same: those who lose their owners together must not all turn to the same
/// ones. Not thread-safe.
/// </summary>
/// <param name="policy">Constants.</param>
/// <param name="seed">Of all that is random.</param>
internal sealed class HolderSampler(CoordinatorPolicy policy, int seed)
{
    private readonly Random _random = new(seed);

    /// <summary>Of what decides between holders.</summary>
    private readonly Random _chance = new(~seed);

    /// <summary>Holders for a sample, while it is chosen.</summary>
    private readonly List<(Participant Holder, double Cost)> _drawn = [];

    /// <summary>Chooses anew once it is time to, and adds what these hold now to the next push.</summary>
    /// <param name="participant">Who asks.</param>
    /// <param name="participants">All that there are, by name.</param>
    /// <param name="everybody">The same, in no order, which is changed.</param>
    /// <param name="table">What they hold; null as long as the size is not known.</param>
    /// <param name="now">The time.</param>
    public void Tell(Participant participant, Dictionary<string, Participant> participants, List<Participant> everybody, SegmentTable? table, TimeSpan now)
    {
        var asker = participant.Asker!;
        if (asker.LastSample is not null && now - asker.LastSample < policy.SampleInterval)
        {
            return;
        }

        asker.LastSample = now;
        if (table is null || policy.HolderSample == 0)
        {
            return;
        }

        Fill(participant, asker, participants, everybody, table.Layout);
        foreach (var (node, told) in asker.Sample)
        {
            if (participants.TryGetValue(node, out var holder) && holder.Pieces is { } pieces)
            {
                Tell(asker, holder, pieces, told);
            }
        }
    }

    private void Fill(Participant participant, Asker asker, Dictionary<string, Participant> participants, List<Participant> everybody, ContentLayout layout)
    {
        if (asker.Sample.Count >= policy.HolderSample)
        {
            // A piece may be held only by a node outside the sample: another one takes a place now and then, as long as too many are of
            // other zones that of one of those.
            var away = Elsewhere().ToList();
            var leaving = away.Count > policy.HoldersElsewhere ? away : [.. asker.Sample.Keys];
            asker.Forget(leaving[_random.Next(leaving.Count)]);
        }

        Draw(participant, asker, everybody);
        var elsewhere = Elsewhere().Count();
        while (asker.Sample.Count < policy.HolderSample && _drawn.Count > 0)
        {
            // What only another zone holds must be known of, too.
            var isNearby = elsewhere >= policy.HoldersElsewhere;
            var best = _drawn.MinBy(drawn => ((drawn.Holder.Zone == participant.Zone) == isNearby ? 0 : 2) + drawn.Cost);
            _drawn.Remove(best);
            elsewhere += best.Holder.Zone == participant.Zone ? 0 : 1;
            asker.Sample.Add(best.Holder.Node, new PieceSet(layout.PieceCount));
        }

        IEnumerable<string> Elsewhere() => asker.Sample.Keys.Where(node => participants.TryGetValue(node, out var holder) && holder.Zone != participant.Zone);
    }

    /// <summary>Holders that can take a place in the sample, each with what it costs to choose it: less than 2.</summary>
    private void Draw(Participant participant, Asker asker, List<Participant> everybody)
    {
        _drawn.Clear();
        var nearby = 0;

        // One by one: to look at everybody for everybody costs the square of a herd.
        for (var i = 0; i < everybody.Count && _drawn.Count < (nearby < policy.HolderSample ? policy.HoldersLookedAtLonger : policy.HoldersLookedAt); i++)
        {
            var drawn = _random.Next(i, everybody.Count);
            (everybody[i], everybody[drawn]) = (everybody[drawn], everybody[i]);
            if (everybody[i] is { Pieces: not null } holder && holder != participant && !asker.Sample.ContainsKey(holder.Node))
            {
                var load = holder.IsBanned ? 1 : Math.Min(1, (double)holder.Serving.Count / holder.Tokens);
                _drawn.Add((holder, load + _chance.NextDouble()));
                nearby += holder.Zone == participant.Zone ? 1 : 0;
            }
        }
    }

    private void Tell(Asker asker, Participant holder, PieceSet pieces, PieceSet told)
    {
        var added = new PieceSet(pieces.Capacity);
        var isLess = told.CountOf(pieces, within: null) > 0;
        if (isLess)
        {
            told.Clear();
        }

        // What is too much for now follows with the next sample.
        var runs = 0;
        for (var piece = pieces.NextSet(0); piece >= 0; piece = pieces.NextSet(piece + 1))
        {
            if (!told.Contains(piece))
            {
                if (!added.Contains(piece - 1) && ++runs > policy.RunsOfHolder)
                {
                    break;
                }

                told.Add(piece);
                added.Add(piece);
            }
        }

        if (added.Count > 0 || isLess)
        {
            asker.Pending.Holders.Add(new Holder { Node = holder.Node, Complete = holder.Complete, Replace = isLess, Pieces = { holder.Complete ? [] : added.ToPieceRuns() } });
        }
    }
}
