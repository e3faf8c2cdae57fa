namespace Peerd.Node.Swarm;

/// <summary>
/// Chooses what to fetch from whom without an owner: half in the order of reading, half anywhere, each of a peer that is known to have it.
/// Not thread-safe.
/// </summary>
/// <param name="policy">Constants.</param>
/// <param name="table">What is here, granted, and under way.</param>
/// <param name="demands">What is needed.</param>
/// <param name="peers">Those that are known.</param>
/// <param name="assigned">Knows what may be asked of a peer.</param>
/// <param name="random">All that is random.</param>
/// <param name="actions">Takes what is to be done.</param>
internal sealed class OwnerlessFetches(
    DownloaderPolicy policy, PieceTable table, ReaderDemands demands, KnownPeers peers, AssignedSegments assigned, Random random, List<DownloadAction> actions)
{
    private TimeSpan _lastInquiry;

    /// <summary>Asks peers for as much as may be asked for at a time.</summary>
    public void Ask(TimeSpan now)
    {
        while (table.Requests.Count - table.RequestsToOrigin < policy.Requests)
        {
            var usable = peers.All.Where(peer => peer.BannedUntil <= now && peer.Open < policy.RequestsPerPeer && assigned.HasRoomAt(peer.Node, now) && peer.Pieces.Count > 0).ToList();
            var candidates = usable.Count == 0 ? [] : Candidates(usable);
            if (candidates.Count == 0)
            {
                Inquire(now);
                return;
            }

            // What everybody fetches in order nobody can give to another.
            var piece = table.Begun % 2 == 0 ? candidates[0] : candidates[random.Next(candidates.Count)];
            var holders = usable.Where(peer => peer.Pieces.Contains(piece)).ToList();
            var holder = KnownPeers.Choose(holders, random);
            Fetch(holder, piece, RunLength(holder, piece, usable.Count), now);
        }
    }

    /// <summary>Nobody is known to have what is missing: asks some peer for it, which tells at least what it has by now.</summary>
    private void Inquire(TimeSpan now)
    {
        var missing = demands.First();
        if (missing < 0 || !table.IsIdle(missing) || now - _lastInquiry < policy.InquiryInterval)
        {
            return;
        }

        var idle = peers.All.Where(peer => peer.BannedUntil <= now && peer.Open == 0).ToList();
        if (idle.Count > 0)
        {
            _lastInquiry = now;
            Fetch(idle[random.Next(idle.Count)], missing, 1, now);
        }
    }

    private void Fetch(KnownPeer peer, int first, int count, TimeSpan now)
    {
        var request = table.Begin(new PieceRequest(peer.Node, first, count, now));
        actions.Add(new DownloadAction.FetchFromPeer(request.Id, peer.Node, first, count, IsAssigned: false));
    }

    /// <summary>Missing pieces that a usable peer has, the most wanted first.</summary>
    private List<int> Candidates(List<KnownPeer> usable)
    {
        var candidates = new List<int>();
        foreach (var demand in demands.All)
        {
            var end = Math.Min(Math.Min(demand.End, table.Layout.PieceCount), demand.Ahead > table.Layout.PieceCount ? int.MaxValue : demand.Position + demand.Ahead);
            for (var piece = table.Have.NextClear(demand.Position); piece >= 0 && piece < end && candidates.Count < policy.Window * table.Layout.PiecesPerSegment; piece = table.Have.NextClear(piece + 1))
            {
                if (table.IsIdle(piece) && usable.Exists(peer => peer.Pieces.Contains(piece)))
                {
                    candidates.Add(piece);
                }
            }
        }

        return candidates;
    }

    private int RunLength(KnownPeer peer, int first, int usablePeers)
    {
        // With several peers a range is no longer than a segment, so that all of them have something to do.
        var longest = Math.Max(1, policy.LongestRange / table.Layout.PieceSize);
        longest = demands.IsAhead ? 1 : usablePeers > 1 ? Math.Min(longest, table.Layout.PiecesPerSegment) : longest;
        var count = 1;
        while (count < longest && first + count < table.Layout.PieceCount && peer.Pieces.Contains(first + count) && table.IsIdle(first + count) && demands.Include(first + count))
        {
            count++;
        }

        return count;
    }
}
