namespace Peerd.Node.Swarm;

/// <summary>
/// Tells which holders are slow. What askers report does not show it: connections that share a link take it from each other
/// for seconds, and what the origin sends beside a peer is one of them. So what a holder brings to all is compared with what
/// others bring. Where a few ask there are hardly any others: once nothing is left to be read, what each holder brings is
/// compared with what the origin brought before. Not thread-safe.
/// </summary>
internal sealed class HolderTrial(CoordinatorPolicy policy)
{
    /// <summary>Fewer tell nothing of the origin, or of a holder.</summary>
    private const int LeastSegments = 4;

    // When nobody looked for longer, it was not the sources that stood still.
    private static readonly TimeSpan LongestStep = TimeSpan.FromMilliseconds(500);

    private TimeSpan? _lastLook;
    private TimeSpan _readingTime;
    private int _readers;

    /// <summary>Time passes: to be told whenever something may have changed.</summary>
    public void Look(List<Participant> participants, SegmentTable table, TimeSpan now)
    {
        var step = now - (_lastLook ?? now);
        var readers = participants.Count(static participant => participant.Grants.Count > 0);
        var passed = step < LongestStep ? step : LongestStep;
        _readingTime += Math.Max(readers, _readers) * passed;
        (_readers, _lastLook) = (readers, now);
        foreach (var holder in participants.Where(holder => holder.IsServing(table.ManyServed)))
        {
            holder.Service.Passed(passed);
            if (holder.Service.Busy > policy.LongestService)
            {
                holder.Service.Fade();
            }
        }

        if (!policy.AreFew(participants))
        {
            return;
        }

        var isNothingLeft = readers == 0 && table.Covered.IsFull && step < LongestStep;
        var areSlow = isNothingLeft && BringLittle(participants, table, now);
        foreach (var holder in participants)
        {
            if (!isNothingLeft || holder.Serving.Count == 0)
            {
                holder.TrialSince = null;
            }
            else if (holder.TrialSince is not { } since || now - since > policy.LongestTrial)
            {
                (holder.TrialSince, holder.ServedBefore) = (now, holder.Served);
            }
            else if (areSlow && now - since >= policy.ShortestTrial && (BringsLess(holder, participants) || IsSlow(holder, table, now)))
            {
                // Until it has served as many as others again.
                (holder.IsFoundSlow, holder.Tokens) = (true, 1);
            }
        }
    }

    /// <summary>
    /// While it served many it brought less than a quarter of what is usual. A healthy one does not, however little of it comes
    /// to one asker; and when all bring little, it is not the holders.
    /// </summary>
    public bool BringsLess(Participant holder, List<Participant> participants)
    {
        var rates = participants.Where(static other => other.Service.Busy > TimeSpan.Zero).Select(static other => other.Service.PerSecond).Order().ToList();
        var usual = rates.Count == 0 ? 0 : rates[rates.Count / 2];
        return usual * holder.Service.Busy.TotalSeconds >= LeastSegments && holder.Service.PerSecond * policy.SlowFactor < usual;
    }

    /// <summary>Together they bring less than half of what the origin brought: many that fill a link need not be quick, each of them.</summary>
    private bool BringLittle(List<Participant> participants, SegmentTable table, TimeSpan now) =>
        !IsOriginKnown(table)
        || 2 * participants.Sum(holder => Rate(holder, now)) < OriginRate(table) * participants.Count(static participant => participant.Fetches.Count > 0);

    // Without the origin's word there is only that of the askers.
    private bool IsSlow(Participant holder, SegmentTable table, TimeSpan now) =>
        IsOriginKnown(table) ? Rate(holder, now) * policy.SlowFactor < OriginRate(table) : holder is { HasBeenSlow: true, Tokens: 1 };

    private bool IsOriginKnown(SegmentTable table) => table.SegmentsRead >= LeastSegments && _readingTime >= policy.ShortestTrial;

    /// <summary>Segments in a second that the origin brought one reader.</summary>
    private double OriginRate(SegmentTable table) => table.SegmentsRead / _readingTime.TotalSeconds;

    /// <summary>Segments in a second that a holder brings; what is on its way counts as brought.</summary>
    private static double Rate(Participant holder, TimeSpan now) =>
        holder.TrialSince is { } since && now > since ? (holder.Served - holder.ServedBefore + holder.Serving.Count) / (now - since).TotalSeconds : 0;
}
