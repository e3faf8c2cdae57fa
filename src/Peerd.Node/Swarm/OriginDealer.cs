using Peerd.Contracts;

namespace Peerd.Node.Swarm;

/// <summary>
/// Deals the segments that nobody holds to those who can read them from the origin: in order, a few readers at a time,
/// each segment to one of them, and so many grants in a second. Not thread-safe.
/// </summary>
internal sealed class OriginDealer(CoordinatorPolicy policy)
{
    private readonly GrantPace _pace = new(policy.GrantsPerSecond);

    /// <summary>Who is to find out the size, which counts as a grant: null when nobody can.</summary>
    public Participant? ChooseProber(IReadOnlyCollection<Participant> askers, TimeSpan now)
    {
        var prober = _pace.HasToken(now) ? Choose(askers, null, null, isAlone: false, now) : null;
        if (prober is not null)
        {
            _pace.Take(now);
        }

        return prober;
    }

    /// <summary>Grants what can be granted now.</summary>
    /// <param name="askers">To whom.</param>
    /// <param name="participants">They and all others who hold something.</param>
    /// <param name="table">What there is to deal.</param>
    /// <param name="isAlone">Nobody else wants anything, here or elsewhere.</param>
    /// <param name="now">The time.</param>
    /// <param name="grant">Takes each grant.</param>
    public void Deal(IReadOnlyCollection<Participant> askers, List<Participant> participants, SegmentTable table, bool isAlone, TimeSpan now, Action<Participant, List<int>> grant)
    {
        var covered = Covered(participants, table);
        if (covered.IsFull)
        {
            return;
        }

        // What is read only because its holder is in doubt is read bit by bit: the holder may come to itself.
        isAlone &= !table.Covered.IsFull;
        var length = isAlone ? table.Layout.SegmentCount : GrantLength(table.Layout);
        while (_pace.HasToken(now) && Choose(askers, table, covered, isAlone, now) is { } reader)
        {
            _pace.Take(now);
            var segments = new List<int> { NextFor(reader, table, covered, isAlone) };
            while (segments.Count < length && segments[^1] + 1 < table.Layout.SegmentCount && IsFor(reader, covered, segments[^1] + 1, isAlone))
            {
                segments.Add(segments[^1] + 1);
            }

            covered.AddRun(segments[0], segments.Count);
            grant(reader, segments);
        }
    }

    /// <summary>
    /// Somebody could read from the origin and all is granted: who has more than its share is to give back what it has not
    /// begun. Null when there is nobody.
    /// </summary>
    public Participant? ChooseRichest(IReadOnlyCollection<Participant> askers, SegmentTable table)
    {
        var share = GrantsPerAsker(askers.Count, table) * GrantLength(table.Layout);
        Participant? richest = null;
        var isSomebodyPoor = false;
        foreach (var asker in askers)
        {
            var open = Open(asker);
            isSomebodyPoor |= open == 0 && asker.Asker!.CanReachOrigin;
            if (open > share && open != asker.Asker!.AskedBackAt && (richest is null || open > Open(richest)))
            {
                richest = asker;
            }
        }

        return isSomebodyPoor ? richest : null;
    }

    /// <summary>Segments that are granted and have not arrived.</summary>
    public static int Open(Participant participant)
    {
        var open = 0;
        foreach (var grant in participant.Grants)
        {
            open += grant.Segments.Count;
        }

        return open;
    }

    /// <summary>
    /// What need not be read: somebody has it or reads it. When that is all, and a few ask, what only those have that were found
    /// slow does not count. It comes last, because some of it has come from them until then. Where many ask, two of them ban a holder.
    /// </summary>
    private PieceSet Covered(List<Participant> participants, SegmentTable table)
    {
        var covered = table.Covered.Clone();
        if (!covered.IsFull || !policy.AreFew(participants))
        {
            return covered;
        }

        foreach (var slow in participants.Where(participant => participant.IsFoundSlow))
        {
            foreach (var segment in SegmentRuns.Numbers(slow.Held))
            {
                if (!table.IsGranted(segment) && !participants.Exists(other => !other.IsFoundSlow && other.Available.Contains(segment)))
                {
                    covered.Remove(segment);
                }
            }
        }

        return covered;
    }

    private int GrantLength(ContentLayout layout) => Math.Max(1, policy.LeastGrant / layout.SegmentSize);

    private Participant? Choose(IReadOnlyCollection<Participant> askers, SegmentTable? table, PieceSet? covered, bool isAlone, TimeSpan now)
    {
        var reading = askers.Count(asker => asker.Grants.Count > 0);
        var isAnybodyFree = askers.Any(asker => asker.Asker!.CanReachOrigin && IsTrusted(asker, now));
        var least = table is null ? 0 : policy.LeastHeld(askers, table.Layout);
        // Who has let a lease expire may be dead, however much it holds. Nobody is kept waiting for it, and it gets nothing
        // beside what it still reads: with leases that end at different times it would be a reader for ever.
        var isForemostEnough = askers.Count(asker => asker.Grants.Count > 0 && !IsPoor(asker, least, askers) && asker.Asker!.Expired == 0) >= policy.ForemostReaders;
        var areEnoughQuick = askers.Count(asker => asker.Grants.Count > 0 && asker.Asker is { Wanted: null, Expired: 0 } && !IsSlow(asker, askers)) >= Math.Min(policy.ForemostReaders, (askers.Count + 1) / 2);
        Participant? best = null;
        foreach (var asker in askers)
        {
            if (!asker.Asker!.CanReachOrigin || (isForemostEnough && asker.IsBehind(least)) || (areEnoughQuick && IsSlow(asker, askers)) || (isAnybodyFree && !IsTrusted(asker, now))
                || !HasRoom(asker, table, askers.Count, isAlone) || (asker.Grants.Count == 0 ? reading >= policy.Readers : asker.Asker.Expired > 0 && askers.Count > 1)
                || (covered is not null && NextFor(asker, table!, covered, isAlone) < 0))
            {
                continue;
            }

            if (best is null || Compare(asker, best, least, askers) < 0)
            {
                best = asker;
            }
        }

        return best;
    }

    // The origin would have nothing to do until a few askers are told of the next of their short segments.
    private int GrantsPerAsker(int askers, SegmentTable? table) =>
        table?.Layout.SegmentSize <= policy.ShortSegment ? Math.Max(policy.GrantsPerAsker, (int)Math.Ceiling(policy.LeastOpenGrants / (double)askers)) : policy.GrantsPerAsker;

    private bool HasRoom(Participant asker, SegmentTable? table, int askers, bool isAlone)
    {
        if (table is null)
        {
            return asker.Grants.Count < policy.GrantsPerAsker;
        }

        if (asker.Asker!.Wanted is not null)
        {
            // Readers wait for each part that is wanted, and what is not wanted any more is not being read.
            return isAlone || asker.Grants.Count(asker.Wants) < policy.GrantsOfParts;
        }

        // The next only when the one before is half there: what many read at the same time, slowly, all others wait for.
        return asker.Grants.Count < GrantsPerAsker(askers, table)
            && (asker.Grants.Count == 0 || asker.Grants[^1].Arrived * 2 >= asker.Grants[^1].Segments.Count * table.Layout.PiecesPerSegment || table.Layout.PiecesPerSegment == 1);
    }

    /// <summary>A bad first holder: its link is thin one way or the other, or it came late and has enough to do.</summary>
    private bool IsPoor(Participant asker, int least, IReadOnlyCollection<Participant> askers) => asker.IsBehind(least) || IsSlow(asker, askers);

    /// <summary>
    /// Wants the whole, and has shown to be slow to serve: what it reads others would get late, or not at all. Of two it is so until it
    /// has served as many as others again, unless both are: nobody tells which of them it is.
    /// </summary>
    private bool IsSlow(Participant asker, IReadOnlyCollection<Participant> askers) =>
        asker.Asker!.Wanted is null && (asker.IsSlow(policy.TokensOfSlow) || (asker.HasBeenSlow && askers.Count == 2 && askers.Any(static other => !other.HasBeenSlow)));

    private static bool IsTrusted(Participant asker, TimeSpan now) => asker.Asker!.NoGrantsUntil <= now && !asker.IsBanned;

    // Who has least to do reads next: who has much to fetch from others has no room for it, and who is slow to serve is a bad
    // first holder, as is who is far behind the others: it may have a thin link that all would wait for.
    private int Compare(Participant a, Participant b, int least, IReadOnlyCollection<Participant> askers)
    {
        var byExpired = a.Asker!.Expired.CompareTo(b.Asker!.Expired);
        var byProgress = IsPoor(a, least, askers).CompareTo(IsPoor(b, least, askers));
        var byLoad = Load(a).CompareTo(Load(b));
        return byExpired != 0 ? byExpired : byProgress != 0 ? byProgress : byLoad != 0 ? byLoad : a.Asker.GrantedEver.CompareTo(b.Asker.GrantedEver);

        static int Load(Participant participant) => participant.Fetches.Count + (4 * participant.Grants.Count) - participant.Tokens;
    }

    private static int NextFor(Participant reader, SegmentTable table, PieceSet covered, bool isAlone)
    {
        if (!isAlone && reader.Asker!.Wanted is { } wanted)
        {
            var first = reader.Asker.WantedFirst;
            if (first >= 0 && first < table.Layout.SegmentCount && wanted.Contains(first) && !covered.Contains(first) && !reader.Available.Contains(first))
            {
                return first;
            }

            return wanted.ElementOf(0, covered, within: null, reader.Available);
        }

        var next = covered.NextClear(0);
        while (next >= 0 && reader.Available.Contains(next))
        {
            next = covered.NextClear(next + 1);
        }

        return next;
    }

    // Who is alone gets also what it does not want yet: then it has it without asking, and gives it back when others come.
    private static bool IsFor(Participant reader, PieceSet covered, int segment, bool isAlone) =>
        !covered.Contains(segment) && !reader.Available.Contains(segment) && (isAlone || reader.Asker!.Wanted?.Contains(segment) != false);
}
