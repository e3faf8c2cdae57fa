namespace Peerd.Node.Swarm;

/// <summary>
/// Adapts how many segments an asker may fetch at a time to how quickly they come. Many are needed where a segment takes no longer
/// than the news that it is there. Where links are thin, or several contents share them, each of many takes seconds: whoever waits for
/// it waits as long, and nobody can tell who is slow. Where fewer at a time bring less it is not the links: the way is long, or a machine
/// busy, and many are needed. Not thread-safe.
/// </summary>
internal sealed class FetchPace(CoordinatorPolicy policy)
{
    // When nobody looked for longer nothing is known of that time.
    private static readonly TimeSpan LongestStep = TimeSpan.FromMilliseconds(500);

    /// <summary>With fewer at a time so much of what came before has to come still.</summary>
    private const double EnoughWithFewer = 0.75;

    private readonly SourceRate _asker = new();

    /// <summary>What came in a second before fewer were fetched at a time; null once that was compared.</summary>
    private double? _before;
    private bool _needsMany;
    private TimeSpan? _lastLook;
    private int _fetching;
    private int _fetched;

    /// <summary>Time passes: to be told whenever something may have changed.</summary>
    public void Look(List<Participant> askers, List<Participant> participants, SegmentTable table, TimeSpan now)
    {
        if (now - _lastLook is { } step && step < LongestStep)
        {
            _asker.Passed(_fetching * step);
            _asker.Arrived(table.SegmentsFetched - _fetched);
        }

        (_lastLook, _fetched) = (now, table.SegmentsFetched);
        _fetching = askers.Count(static asker => asker.Fetches.Count > 0);
        if (_asker.Busy >= policy.PaceInterval * Math.Max(1, _fetching))
        {
            table.SetCredits(CreditsFor(_asker.PerSecond, table), participants);
            _asker.Forget();
        }
    }

    private int CreditsFor(double rate, SegmentTable table)
    {
        _needsMany |= rate < EnoughWithFewer * _before;
        var credits = _needsMany ? policy.MostCredits(table.Layout) : policy.CreditsFor(rate, table.Layout);
        _before = credits < table.Credits ? rate : null;
        return credits;
    }
}
