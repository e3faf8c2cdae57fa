namespace Peerd.Node.Swarm;

/// <summary>
/// Tells which holders are slow. What askers report does not show it: connections that share a link take it from each other
/// for seconds, and what the origin sends beside a peer is one of them. So what a holder brings to all is compared with what
/// others bring. Of two there are no others: once nothing is left to be read, what each holder brings is compared with what the
/// origin brought before. Where many ask, who is slow is found by their reports; see <see cref="BringsLess"/>. Not thread-safe.
/// </summary>
internal sealed class HolderTrial(CoordinatorPolicy policy)
{
    /// <summary>Fewer tell nothing of the origin, or of a holder that another is compared with.</summary>
    private const int LeastSegments = 4;

    /// <summary>Holders that another is compared with, at least; or all that there are.</summary>
    private const int LeastOthers = 3;

    /// <summary>What is on its way has arrived to this part, usually.</summary>
    private const double HalfWay = 0.5;

    // When nobody looked for longer, it was not the sources that stood still.
    private static readonly TimeSpan LongestStep = TimeSpan.FromMilliseconds(500);

    private TimeSpan? _lastLook;
    private TimeSpan? _lastFade;
    private TimeSpan _readingTime;
    private int _readers;

    /// <summary>Whose service is known, the slowest first; null until somebody asks after this look.</summary>
    private List<Participant>? _measured;

    /// <summary>Time passes: to be told whenever something may have changed.</summary>
    public void Look(List<Participant> participants, SegmentTable table, bool isOriginPaused, TimeSpan now)
    {
        var step = now - (_lastLook ?? now);
        var isAnybodyGranted = participants.Exists(static participant => participant.Grants.Count > 0);

        // Who is alone is granted all at once, and may want none of it for minutes.
        var readers = participants.Count(static participant => participant.Grants.Exists(participant.Wants));
        if (!isOriginPaused)
        {
            _readingTime += Math.Max(readers, _readers) * (step < LongestStep ? step : LongestStep);
        }

        NoteService(participants, table, _lastLook is not null && step < LongestStep ? step : null);
        FadeService(participants, table, now);
        (_readers, _lastLook) = (readers, now);
        if (!policy.AreFew(participants))
        {
            return;
        }

        var isNothingLeft = !isAnybodyGranted && table.Covered.IsFull && step < LongestStep;
        foreach (var holder in participants)
        {
            var isTried = Try(holder, isNothingLeft, now);
            var isLess = BringsLess(holder, participants, table) == true;
            if (isLess)
            {
                // It reads nothing then; but it may be the link of the others, as long as they read: nothing is read again for that.
                (holder.HasBeenSlow, holder.Tokens) = (true, 1);
                table.Judged(holder);
            }

            if (isTried && BringLittle(holder, participants, table, now) && (isLess || IsSlow(holder, table, now)))
            {
                // Until it has served as many as others again.
                (holder.IsFoundSlow, holder.Tokens) = (true, 1);
                table.Judged(holder);
            }
        }
    }

    /// <summary>
    /// While it served many it brought less than a quarter of what is usual among the others, though half of what is on its way counts
    /// as brought; or it did not, though only what has arrived counts. Null when neither is sure.
    /// </summary>
    public bool? BringsLess(Participant holder, List<Participant> participants, SegmentTable table)
    {
        _measured ??= [.. participants.Where(IsMeasured).OrderBy(static other => other.Service.PerSecond)];
        var others = _measured.FindAll(other => other != holder);
        if (others.Count < Math.Clamp(participants.Count - 1, 1, LeastOthers) || holder.Service.Busy < policy.ShortestTrial)
        {
            return null;
        }

        var expected = others[others.Count / 2].Service.PerSecond * holder.Service.Busy.TotalSeconds;
        if (expected < LeastExpected(table))
        {
            return null;
        }

        var isLess = (holder.Service.Sent + (holder.Serving.Count * HalfWay)) * policy.SlowFactor < expected;
        return isLess || holder.Service.Sent * policy.SlowFactor >= expected ? isLess : null;
    }

    private static int LeastExpected(SegmentTable table) => 2 * table.Credits;

    private bool IsMeasured(Participant holder) => !holder.IsBanned && holder.Service.Busy >= policy.ShortestTrial && holder.Service.Sent >= LeastSegments;

    /// <summary>What everybody did since the last look. Of a time that is not looked at nothing counts, neither the time nor what arrived.</summary>
    private void NoteService(List<Participant> participants, SegmentTable table, TimeSpan? step)
    {
        _measured = null;
        foreach (var holder in participants)
        {
            holder.WasReading = holder.Grants.Count > 0;
            if (step is { } passed)
            {
                holder.Service.Passed(holder.IsServing(table.ManyServed) ? passed : TimeSpan.Zero);
                holder.Service.Arrived(holder.Brought);
            }

            holder.Brought = 0;
        }
    }

    /// <summary>Or who becomes slow would be protected for long by what it brought before, and who was slow be so for ever.</summary>
    private void FadeService(List<Participant> participants, SegmentTable table, TimeSpan now)
    {
        // Whether it serves many or not: it may not, for long.
        var times = (int)Math.Min(64, (now - (_lastFade ?? now)) / policy.LongestService);
        _lastFade = times > 0 ? now : _lastFade ?? now;
        foreach (var holder in participants)
        {
            holder.Service.Fade(times + (holder.Service.Sent > 2 * LeastExpected(table) ? 1 : 0));
        }
    }

    /// <summary>It has been looked at for long enough what it brings while nothing is left to be read.</summary>
    private bool Try(Participant holder, bool isNothingLeft, TimeSpan now)
    {
        if (!isNothingLeft || holder.Serving.Count == 0)
        {
            holder.TrialSince = null;
            return false;
        }

        if (holder.TrialSince is not { } since || now - since > policy.LongestTrial)
        {
            (holder.TrialSince, holder.ServedBefore) = (now, holder.Served);
            return false;
        }

        return now - since >= policy.ShortestTrial;
    }

    /// <summary>
    /// Those whom the holder serves get less from all who serve them than half of what the origin brought: many that fill a link need
    /// not be quick, each of them.
    /// </summary>
    private bool BringLittle(Participant holder, List<Participant> participants, SegmentTable table, TimeSpan now)
    {
        var served = holder.Serving.Select(static fetch => fetch.To).ToHashSet();
        return !IsOriginKnown(table)
            || 2 * participants.Where(other => other.Serving.Exists(fetch => served.Contains(fetch.To))).Sum(other => Rate(other, now)) < OriginRate(table) * served.Count;
    }

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
