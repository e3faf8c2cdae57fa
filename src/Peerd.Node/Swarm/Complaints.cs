using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>
/// Takes what askers say of holders from whom they could not fetch a segment, and draws the consequences: who is busy is left alone for a
/// moment, who is slow serves fewer, who is slow to one only is avoided by that one, and who fails two of them is banned. Not thread-safe.
/// </summary>
/// <param name="policy">Constants.</param>
/// <param name="trial">Knows what holders bring.</param>
/// <param name="askers">All who ask, now and later.</param>
/// <param name="everybody">They and all others who hold something, now and later.</param>
internal sealed class Complaints(CoordinatorPolicy policy, HolderTrial trial, List<Participant> askers, List<Participant> everybody)
{
    /// <summary>An asker says that a fetch has failed.</summary>
    public void Take(Participant complainer, FailedFetch failed, SegmentTable table, TimeSpan now)
    {
        if (failed.Segment > int.MaxValue || !complainer.Fetches.TryGetValue((int)failed.Segment, out var fetch) || fetch.From.Node != failed.Node)
        {
            // Of something that was taken back meanwhile.
            return;
        }

        table.End(fetch);
        var asker = complainer.Asker!;
        asker.LastFailed[fetch.Segment] = failed.Node;
        if (failed.Reason is not (FetchFailure.Slow or FetchFailure.Starved) && asker.NotBefore <= now)
        {
            // Failures that come at once must not go round and round. What fails during the pause was under way before it: when holders
            // die all that was fetched from them fails together, and counts once.
            asker.NotBefore = now + DoublingTime.After(asker.Failures++, policy.FirstFailurePause, policy.LongestFailurePause);
        }

        var holder = fetch.From;
        switch (failed.Reason)
        {
            case FetchFailure.Busy:
                holder.Tokens = Math.Max(1, holder.Serving.Count);
                table.Judged(holder);
                holder.NotBefore = holder.Serving.Count == 0 ? now + policy.BusyPause : holder.NotBefore;
                break;
            case FetchFailure.NotHeld:
                table.Lose(holder, fetch.Segment);
                if (holder.Complete && ++holder.Denials >= policy.DenialsToComplain)
                {
                    // Lost just now it would have told so by the next.
                    Complain(holder, complainer, table, now);
                }

                break;
            case FetchFailure.Slow:
                TakeSlow(holder, complainer, table, now);
                break;
            case FetchFailure.Starved when asker.Wanted is not null && asker.NotBefore <= now && table.HasArrived(fetch):
                // Who reads bit by bit gives a segment back when it has what it needs of it, and may never have one as a whole.
                TakeEnough(holder, asker, table);
                break;
            case FetchFailure.Unreachable or FetchFailure.Corrupt:
                Complain(holder, complainer, table, now);
                break;
        }
    }

    /// <summary>Time passes: the holder's ban ends when it is over.</summary>
    public static void EndBan(Participant holder, SegmentTable table, TimeSpan now)
    {
        if (holder.IsBanned && holder.BannedUntil <= now)
        {
            table.SetBanned(holder, isBanned: false);
            holder.Service.Forget();
        }
    }

    private static void TakeEnough(Participant holder, Asker asker, SegmentTable table)
    {
        asker.Failures = 0;
        holder.Denials = 0;
        if (holder is { HasBeenSlow: false, IsFoundSlow: false })
        {
            holder.Tokens = Math.Min(table.Credits, holder.Tokens + 1);
        }
    }

    private void TakeSlow(Participant holder, Participant complainer, SegmentTable table, TimeSpan now)
    {
        var areFew = policy.AreFew(askers);
        var bringsLess = areFew ? null : trial.BringsLess(holder, everybody, table);
        if (bringsLess == false)
        {
            Avoid(holder, complainer, now);
            return;
        }

        if (!areFew && bringsLess is null && (complainer.WasReading || complainer.Grants.Count > 0))
        {
            // It may be the link of the complainer: what it reads from the origin, or has read until this report, may have taken that.
            return;
        }

        holder.HasBeenSlow = true;
        holder.Tokens = Math.Max(1, holder.Tokens / 2);
        table.Judged(holder);
        if (areFew || holder.Tokens > 1)
        {
            // A few are no judges of each other: see HolderTrial.
            return;
        }

        if (holder.LastBan == TimeSpan.Zero)
        {
            // Machines have bad moments: at first it is only left alone.
            holder.LastBan = policy.FirstBan;
            holder.NotBefore = now + policy.FirstBan;
        }
        else if (holder.NotBefore <= now)
        {
            // Or what only it holds would come one segment after the other.
            Complain(holder, complainer, table, now);
        }
    }

    /// <summary>
    /// To others the holder is not slow, as far as is known: it is the path between both. All that the complainer may fetch would
    /// gather there in the end, because the place that is free is mostly the one that it has just left; and the holder would serve
    /// nobody else. When another says the same the holder may have become slow, which shows only as long as it serves many.
    /// </summary>
    private void Avoid(Participant holder, Participant complainer, TimeSpan now)
    {
        var others = askers.FindAll(other => other != complainer && other.Asker!.Avoids(holder.Node, now));
        others.ForEach(other => other.Asker!.Avoided.Remove(holder.Node));
        if (others.Count == 0)
        {
            complainer.Asker!.Avoid(holder.Node, now + policy.FirstBan, now);
        }
    }

    /// <summary>One alone may be the one that is cut off: it takes two, or all that there are, to ban a holder.</summary>
    private void Complain(Participant holder, Participant complainer, SegmentTable table, TimeSpan now)
    {
        if (holder.IsBanned)
        {
            // Of what was under way already: nothing that a ban after this one could be founded on.
            return;
        }

        holder.Complainers.Add(complainer.Node);
        if (holder.Complainers.Count >= Math.Min(2, askers.Count(other => other != holder)))
        {
            Ban(holder, table, now);
        }
    }

    private void Ban(Participant holder, SegmentTable table, TimeSpan now)
    {
        holder.LastBan = holder.LastBan == TimeSpan.Zero ? policy.FirstBan : DoublingTime.After(1, holder.LastBan, policy.LongestBan);
        holder.BannedUntil = now + holder.LastBan;
        holder.Complainers.Clear();
        table.SetBanned(holder, isBanned: true);
    }
}
