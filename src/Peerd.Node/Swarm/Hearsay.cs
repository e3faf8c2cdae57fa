using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>What owners of one content tell each other of those who hold and read it. Not thread-safe.</summary>
internal sealed class Hearsay(CoordinatorPolicy policy)
{
    /// <summary>Holders that another owner is believed to know.</summary>
    public const int MostHeard = 8192;

    /// <summary>Those who hold or read something, for another owner. First-hand only, or two would tell each other for ever what has long ended. Of one holder no more than some runs of pieces: the other owner hears the rest from it.</summary>
    /// <param name="participants">All that there are.</param>
    /// <param name="layout">Of the content; null as long as the size is not known.</param>
    public IEnumerable<Holder> Tell(IEnumerable<Participant> participants, ContentLayout? layout)
    {
        var runs = 0;

        // Readers first.
        foreach (var participant in participants.Where(IsFirstHand).OrderBy(static participant => participant.Grants.Count == 0))
        {
            if (runs > policy.RunsTold)
            {
                break;
            }

            var isPieceTold = participant.HeardAt is null;
            var holder = new Holder { Node = participant.Node, Complete = participant.Complete && isPieceTold };
            if (isPieceTold && participant is { Complete: false, Pieces: { } pieces })
            {
                holder.Pieces.AddRange(pieces.ToPieceRuns().Take(policy.RunsOfHolder));
            }

            if (layout is { PiecesPerSegment: var length })
            {
                foreach (var run in SegmentRuns.Of(participant.Grants.Where(static grant => !grant.IsHeard).SelectMany(static grant => grant.Segments)))
                {
                    holder.Receiving.Add(new PieceRun { First = run.First * (uint)length, Count = run.Count * (uint)length });
                }
            }

            runs += 1 + holder.Pieces.Count + holder.Receiving.Count;
            yield return holder;
        }
    }

    /// <summary>Another owner has told this of the participant. No word of its own is overruled.</summary>
    public static void Hear(Participant participant, Holder told, SegmentTable table, TimeSpan now)
    {
        if (participant.Asker is not null)
        {
            // It speaks for itself.
            return;
        }

        if ((participant.Pieces is null || participant.HeardAt is not null) && (told.Complete || told.Pieces.Count > 0))
        {
            var pieces = participant.Pieces?.Clone() ?? new PieceSet(table.Layout.PieceCount);
            pieces.AddRuns(told.Complete ? [new PieceRun { Count = (uint)table.Layout.PieceCount }] : told.Pieces);
            participant.HeardAt = now;
            participant.Pieces = pieces;
            participant.Complete |= told.Complete;
            table.SetPieces(participant, pieces);
        }

        var reading = new PieceSet(table.Layout.PieceCount);
        reading.AddRuns(told.Receiving);
        table.ReleaseAll(participant);
        var segments = Enumerable.Range(0, table.Layout.SegmentCount).Where(segment => !table.Covered.Contains(segment) && Intersects(reading, segment, table.Layout)).ToList();
        if (segments.Count > 0)
        {
            table.AddGrant(participant, segments, now).IsHeard = true;
        }
    }

    private static bool IsFirstHand(Participant participant) =>
        (participant.Pieces is not null && participant.HeardAt is null) || participant.Grants.Exists(static grant => !grant.IsHeard);

    private static bool Intersects(PieceSet pieces, int segment, ContentLayout layout)
    {
        var (first, end) = SegmentRuns.PiecesOf(segment, layout);
        var next = pieces.NextSet(first);
        return next >= 0 && next < end;
    }
}
