using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;

namespace Peerd.Node.Swarm;

/// <summary>What a requester knows of other nodes: what they hold of the content, and how they have behaved. Not thread-safe.</summary>
internal sealed class KnownPeers(ContentLayout layout, DownloaderPolicy policy)
{
    /// <summary>What the sets of pieces of all known peers may take: an owner that invents holders fills no memory.</summary>
    private const int MaxBytes = 16 << 20;

    /// <summary>So many may be known of a content of any size.</summary>
    public const int FewestKnown = 64;

    /// <summary>Three sets of a bit for each piece, and the rest.</summary>
    private readonly int _most = Math.Clamp(MaxBytes / (512 + (3 * layout.PieceCount / 8)), FewestKnown, 4096);

    private readonly SortedDictionary<string, KnownPeer> _peers = new(StringComparer.Ordinal);

    public IEnumerable<KnownPeer> All => _peers.Values;

    public KnownPeer? Find(string node) => _peers.GetValueOrDefault(node);

    public KnownPeer GetOrAdd(string node)
    {
        if (!_peers.TryGetValue(node, out var peer))
        {
            if (_peers.Count >= _most && _peers.Values.FirstOrDefault(known => known.Open == 0) is { } idle)
            {
                _peers.Remove(idle.Node);
            }

            _peers.Add(node, peer = new KnownPeer(node, layout.PieceCount));
        }

        return peer;
    }

    /// <summary>An owner told this of a holder.</summary>
    public void Learn(Holder holder)
    {
        var peer = GetOrAdd(holder.Node);
        if (holder.Replace)
        {
            peer.Forget();
        }

        peer.Holds(holder.Complete ? [new PieceRun { Count = (uint)layout.PieceCount }] : holder.Pieces);
        peer.Pieces.AddRuns(holder.Receiving);
    }

    /// <summary>The peer told so itself.</summary>
    public void LearnFrom(string node, IEnumerable<PieceRun> pieces) => GetOrAdd(node).Pieces.AddRuns(pieces);

    /// <summary>A range asked of the peer has ended like this.</summary>
    /// <param name="peer">Whom it was asked of.</param>
    /// <param name="first">First piece of the range.</param>
    /// <param name="count">Pieces of the range.</param>
    /// <param name="stoppedAt">First piece of the range that is missing here; -1 when none is.</param>
    /// <param name="outcome">How it ended.</param>
    /// <param name="now">The time.</param>
    public void Judge(KnownPeer peer, int first, int count, int stoppedAt, RangeOutcomeKind outcome, TimeSpan now)
    {
        switch (outcome)
        {
            case RangeOutcomeKind.Complete:
                peer.Failures = 0;
                break;
            case RangeOutcomeKind.NotHeld:
                // It answers in order up to the first piece that it has not. An owner tells each held piece only once,
                // so what is behind is forgotten only if the peer was still to receive it, and nothing that was told since.
                for (var piece = first; piece < first + count; piece++)
                {
                    if (piece == stoppedAt && peer.ToldSince?.Contains(piece) != true)
                    {
                        peer.Held.Remove(piece);
                    }

                    if (!peer.Held.Contains(piece))
                    {
                        peer.Pieces.Remove(piece);
                    }
                }

                break;
            case RangeOutcomeKind.Busy:
                peer.BannedUntil = now + policy.BusyPause;
                break;
            case RangeOutcomeKind.Corrupt:
                peer.Forget();
                Ban(peer, now);
                break;
            case RangeOutcomeKind.Failed:
                Ban(peer, now);
                break;
            case RangeOutcomeKind.NotAMember:
                peer.Forget();
                break;
        }
    }

    /// <summary>One of those that are asked for least right now: of two of them the one that has been quicker.</summary>
    public static KnownPeer Choose(List<KnownPeer> holders, Random random)
    {
        var fewest = holders.Min(peer => peer.Open);
        holders.RemoveAll(peer => peer.Open > fewest);
        var (a, b) = (holders[random.Next(holders.Count)], holders[random.Next(holders.Count)]);
        return a.UsualTime <= b.UsualTime ? a : b;
    }

    /// <summary>Not to be asked for a while.</summary>
    public void Ban(KnownPeer peer, TimeSpan now)
    {
        if (peer.BannedUntil > now)
        {
            // Requests that were under way together fail together, and say no more than one of them.
            return;
        }

        peer.BannedUntil = now + DoublingTime.After(peer.Failures++, policy.FirstBan, policy.LongestBan);
    }

    /// <summary>It has failed too often to be counted on.</summary>
    public bool IsFailing(KnownPeer peer) => peer.Failures >= policy.FailuresToDistrust;

    /// <summary>A peer that sends a little and breaks, again and again, must not hold up who could read from the origin.</summary>
    public bool IsHeldByFailingOnly(int piece)
    {
        var isHeld = false;
        foreach (var peer in _peers.Values)
        {
            if (peer.Pieces.Contains(piece))
            {
                isHeld = true;
                if (!IsFailing(peer))
                {
                    return false;
                }
            }
        }

        return isHeld;
    }

    /// <summary>Some peer that can be counted on has the piece.</summary>
    public bool IsHeld(int piece) => _peers.Values.Any(peer => peer.Pieces.Contains(piece) && !IsFailing(peer));
}

/// <summary>One other node, as a requester knows it.</summary>
internal sealed class KnownPeer(string node, int pieceCount)
{
    private const double WeightOfNews = 0.2;

    private static readonly PieceSet Nothing = new(0);

    public string Node { get; } = node;

    /// <summary>What it holds or is said to be receiving.</summary>
    public PieceSet Pieces { get; } = new(pieceCount);

    /// <summary>What it is told to hold, which nobody tells of most peers. Changed by <see cref="Holds"/> and removals only.</summary>
    public PieceSet Held { get; private set; } = Nothing;

    /// <summary>What it was told to hold while ranges are asked of it; null while none is.</summary>
    public PieceSet? ToldSince { get; private set; }

    /// <summary>Ranges that are asked of it right now.</summary>
    public int Open { get; private set; }

    /// <summary>How often it failed in a row.</summary>
    public int Failures { get; set; }

    /// <summary>It is not asked before.</summary>
    public TimeSpan BannedUntil { get; set; } = TimeSpan.MinValue;

    /// <summary>When something was asked of it last that no reader waits for.</summary>
    public TimeSpan LastRange { get; set; } = TimeSpan.MinValue / 2;

    /// <summary>How long it takes for a piece, as a rule; zero as long as that is unknown, so that new peers are tried.</summary>
    public TimeSpan UsualTime { get; private set; }

    /// <summary>It was told to hold these.</summary>
    public void Holds(IReadOnlyCollection<PieceRun> runs)
    {
        if (runs.Count > 0 && Held == Nothing)
        {
            Held = new PieceSet(pieceCount);
        }

        ToldSince?.AddRuns(runs);
        Held.AddRuns(runs);
        Pieces.AddRuns(runs);
    }

    /// <summary>A piece has taken so long.</summary>
    public void Took(TimeSpan time) => UsualTime = UsualTime == TimeSpan.Zero ? time : UsualTime + ((time - UsualTime) * WeightOfNews);

    public void Asked()
    {
        Open++;
        ToldSince ??= new PieceSet(Pieces.Capacity);
    }

    public void Answered()
    {
        if (--Open == 0)
        {
            ToldSince = null;
        }
    }

    /// <summary>Nothing is known of what it has.</summary>
    public void Forget()
    {
        Pieces.Clear();
        Held.Clear();
    }
}
