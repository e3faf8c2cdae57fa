using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>
/// Takes back what is granted and not read: all that a reader lets lie without new bytes until its lease is over, and a part of what
/// one with a thin link reads so slowly that all others wait for it. Not thread-safe.
/// </summary>
/// <param name="policy">Constants.</param>
/// <param name="askers">All who ask, now and later.</param>
internal sealed class GrantLeases(CoordinatorPolicy policy, List<Participant> askers)
{
    private const double WeightOfNews = 0.2;

    private TimeSpan _lease = policy.Lease;
    private bool _hasExpired;

    /// <summary>How long reading a segment from the origin takes; null until one was read.</summary>
    private TimeSpan? _usualReading;

    /// <summary>Segments that were taken from who read them slowly.</summary>
    private int _takenFromSlow;
    private TimeSpan _lastTaken;

    /// <summary>The reader says that bytes of these segments arrive.</summary>
    public static void Renew(Participant reader, IEnumerable<SegmentRun> reading, SegmentTable table, TimeSpan now)
    {
        var segments = SegmentRuns.ToSet(reading, table.Layout);
        foreach (var grant in reader.Grants.Where(grant => grant.Segments.Exists(segments.Contains)))
        {
            grant.LastProgress = now;
        }
    }

    /// <summary>The participant holds these pieces now. To be told before the table is.</summary>
    public void Arrived(Participant participant, PieceSet pieces, SegmentTable table, TimeSpan now)
    {
        foreach (var grant in participant.Grants)
        {
            var read = grant.Segments.Count(segment => table.HoldsAll(pieces, segment));
            if (read > 0)
            {
                NoteReading((now - grant.SegmentSince) / read);
                grant.SegmentSince = now;
            }

            if (grant.Segments.Sum(segment => table.CountHeld(pieces, segment)) > grant.Arrived)
            {
                grant.LastProgress = now;
                if (participant.Asker is { } asker)
                {
                    asker.Expired = 0;
                }
            }
        }
    }

    /// <summary>Time passes: takes back what the participant does not read, or reads too slowly.</summary>
    public void End(Participant participant, SegmentTable table, TimeSpan now)
    {
        // Who is the only one that could read goes on: it has its own patience with the origin.
        if (participant.Grants.Count == 0 || (participant.Asker is not null && !askers.Exists(other => other != participant && other.Asker!.CanReachOrigin && !other.WantsNothing)))
        {
            return;
        }

        foreach (var stalled in participant.Grants.Where(grant => now - grant.LastProgress > _lease).ToList())
        {
            var segments = stalled.Segments.ToList();
            if (participant.Asker is { } asker && participant.Wants(stalled))
            {
                // An origin that lets everybody wait is not made quicker by asking it again and again.
                _hasExpired = true;
                asker.Expired++;
                asker.NoGrantsUntil = now + policy.LongestBan;
            }

            Revoke(participant, segments, table);
        }

        EndSlow(participant, table, now);
    }

    /// <summary>All were looked at: leases are longer from now on when one has expired.</summary>
    public void Lengthen()
    {
        _lease = _hasExpired ? DoublingTime.After(1, _lease, policy.LongestLease) : _lease;
        _hasExpired = false;
    }

    /// <summary>Who has a thin link reads on as long as bytes arrive, and all others wait for what it reads.</summary>
    private void EndSlow(Participant participant, SegmentTable table, TimeSpan now)
    {
        if (_usualReading is not { } usual || participant.Grants.Count == 0)
        {
            return;
        }

        var least = policy.LeastHeld(askers, table.Layout);
        var patience = policy.SlowReading * usual;
        if (!participant.IsBehind(least) || !askers.Exists(other => other.Asker is { CanReachOrigin: true, Wanted: null, Expired: 0 } && !other.IsBehind(least)))
        {
            return;
        }

        foreach (var slow in participant.Grants.Where(grant => now - grant.SegmentSince > (patience > policy.ReadingPatience ? patience : policy.ReadingPatience)).ToList())
        {
            _takenFromSlow = now - _lastTaken > policy.TakenFromSlowMemory ? 0 : _takenFromSlow;
            if (_takenFromSlow >= policy.MostTakenFromSlow(askers))
            {
                // Where so many are slow it is the origin, or a machine that they share: what is read twice makes that worse.
                return;
            }

            _takenFromSlow += slow.Segments.Count;
            _lastTaken = now;
            NoteReading(now - slow.SegmentSince);
            participant.Asker!.NoGrantsUntil = now + policy.LongestBan;
            Revoke(participant, [.. slow.Segments], table);
        }
    }

    private static void Revoke(Participant reader, List<int> segments, SegmentTable table)
    {
        reader.Asker?.Pending.Revoked.AddRange(SegmentRuns.Of(segments));
        foreach (var segment in segments)
        {
            table.Release(reader, segment);
            EndFetchesBehind(reader, segment, table);
        }
    }

    /// <summary>Who was to get the segment from a reader that reads it no more, or from one of those, gets it elsewhere.</summary>
    private static void EndFetchesBehind(Participant reader, int segment, SegmentTable table)
    {
        foreach (var fetch in reader.Serving.Where(fetch => fetch.Segment == segment).ToList())
        {
            table.End(fetch);
            EndFetchesBehind(fetch.To, segment, table);
        }
    }

    /// <summary>Reading a segment took so long, or would have taken longer.</summary>
    private void NoteReading(TimeSpan each) => _usualReading = _usualReading is { } usual ? usual + ((each - usual) * WeightOfNews) : each;
}
