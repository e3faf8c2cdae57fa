using Peerd.Contracts;

namespace Peerd.Node.Swarm;

/// <summary>A node that asks for the content, holds some of it, or both, as its owner sees it. Not thread-safe.</summary>
internal sealed class Participant(string node, string zone)
{
    private const int LongestChain = 256;

    private static readonly PieceSet Nothing = new(0);

    public string Node { get; } = node;

    /// <summary>Zone of the node; empty when unknown.</summary>
    public string Zone { get; } = zone;

    /// <summary>Its session; null when it does not ask.</summary>
    public Asker? Asker { get; set; }

    /// <summary>Pieces that it holds, as the directory has it; null when nothing.</summary>
    public PieceSet? Pieces { get; set; }

    /// <summary>It holds the whole content, checked.</summary>
    public bool Complete { get; set; }

    /// <summary>When another owner told of its pieces; null when it has spoken itself.</summary>
    public TimeSpan? HeardAt { get; set; }

    /// <summary>Segments that it holds. Changed by the <see cref="SegmentTable"/> only.</summary>
    public PieceSet Held { get; set; } = Nothing;

    /// <summary>Segments that can be fetched from it: held, or about to arrive. Changed by the <see cref="SegmentTable"/> only.</summary>
    public PieceSet Available { get; set; } = Nothing;

    /// <summary>Segments that it is reading from the origin.</summary>
    public List<Grant> Grants { get; } = [];

    /// <summary>It read something when the <see cref="HolderTrial"/> looked last.</summary>
    public bool WasReading { get; set; }

    /// <summary>What it fetches from others, by segment.</summary>
    public Dictionary<int, Fetch> Fetches { get; } = [];

    /// <summary>What others fetch from it.</summary>
    public List<Fetch> Serving { get; } = [];

    /// <summary>How many fetches it may serve at a time: fewer than the policy's credits when it has shown to be slow.</summary>
    public int Tokens { get; set; }

    /// <summary>It was too slow for somebody, and has not served as many as others since.</summary>
    public bool HasBeenSlow { get; set; }

    /// <summary>How quickly others get segments from it while it serves many of them: see <see cref="IsServing"/>.</summary>
    public SourceRate Service { get; } = new();

    /// <summary>Segments that others got from it while it served many of them, since the <see cref="HolderTrial"/> looked last.</summary>
    public int Brought { get; set; }

    /// <summary>Segments that others have fetched from it.</summary>
    public int Served { get; set; }

    /// <summary>The same when its trial began.</summary>
    public int ServedBefore { get; set; }

    /// <summary>Since when it is looked at what it brings; null when it is not.</summary>
    public TimeSpan? TrialSince { get; set; }

    /// <summary>It was found to be slow where a few ask, and has not served as many as others since: what only it holds is read from the origin again.</summary>
    public bool IsFoundSlow { get; set; }

    /// <summary>It was found to be slow, or has been too slow for somebody and may not serve more than so many again.</summary>
    public bool IsSlow(int tokens) => IsFoundSlow || (HasBeenSlow && Tokens <= tokens);

    /// <summary>
    /// Others of its zone do without what can be fetched from it elsewhere: not while it is banned or slow. Changed by the
    /// <see cref="SegmentTable"/> only.
    /// </summary>
    public bool CountsInZone { get; set; } = true;

    /// <summary>It serves nobody until then.</summary>
    public TimeSpan BannedUntil { get; set; } = TimeSpan.MinValue;

    /// <summary>How long the last ban was.</summary>
    public TimeSpan LastBan { get; set; }

    /// <summary>It serves nobody, and what only it holds counts as lost.</summary>
    public bool IsBanned { get; set; }

    /// <summary>It is busy with other contents: not asked before.</summary>
    public TimeSpan NotBefore { get; set; } = TimeSpan.MinValue;

    /// <summary>Who could not fetch from it since it last served anybody.</summary>
    public HashSet<string> Complainers { get; } = new(StringComparer.Ordinal);

    /// <summary>Segments that it turned out not to hold, though it had told that it holds the whole, since it last served anybody.</summary>
    public int Denials { get; set; }

    /// <summary>Where it stands in the matcher's list of those with room; -1 when it does not.</summary>
    public int FreeIndex { get; set; } = -1;

    /// <summary>It asks, needs no piece of the content right now, and reads none.</summary>
    public bool WantsNothing => Grants.Count == 0 && Asker is { Wanted.Count: 0 };

    /// <summary>
    /// It wants the whole and holds fewer segments than this: it came late, or has a thin link. Who wants only some of the
    /// content has little of it for another reason.
    /// </summary>
    public bool IsBehind(int least) => Asker is { Wanted: null } && Held.Count < least;

    /// <summary>It still wants something of what it was granted here.</summary>
    public bool Wants(Grant grant) => Asker?.Wanted is not { } wanted || grant.Segments.Exists(wanted.Contains);

    /// <summary>It can serve one more.</summary>
    public bool HasRoom(TimeSpan now) => Serving.Count < Tokens && !IsBanned && NotBefore <= now && Available.Count > 0;

    /// <summary>How many it serves this one.</summary>
    public int CountServed(Participant asker)
    {
        var served = 0;
        foreach (var fetch in Serving)
        {
            served += fetch.To == asker ? 1 : 0;
        }

        return served;
    }

    /// <summary>It waits for the other to send it this segment, maybe by way of more: what one of them waits for the other must not.</summary>
    public bool WaitsFor(Participant other, int segment)
    {
        var steps = 0;
        for (var above = this; above.Fetches.TryGetValue(segment, out var fetch); above = fetch.From)
        {
            if (fetch.From == other || ++steps > LongestChain)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// It serves so many at the moment, and not all to the same one, whose link may be what limits them. What it waits for itself
    /// counts, too: most of what healthy ones serve is passed on while it arrives.
    /// </summary>
    public bool IsServing(int least)
    {
        if (Serving.Count < least)
        {
            return false;
        }

        foreach (var fetch in Serving)
        {
            if (fetch.To != Serving[0].To)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>How many fetch this segment from it.</summary>
    public int ChildrenOf(int segment)
    {
        var children = 0;
        foreach (var fetch in Serving)
        {
            children += fetch.Segment == segment ? 1 : 0;
        }

        return children;
    }
}

/// <summary>A segment on its way from one participant to another.</summary>
/// <param name="To">Who fetches it.</param>
/// <param name="From">Who serves it.</param>
/// <param name="Segment">Number of the segment.</param>
/// <param name="Depth">How many nodes its bytes pass after the last that is known to hold all of them.</param>
/// <param name="IsInOrder">Chosen as the first that the requester lacked.</param>
/// <param name="HeldBefore">Pieces of the segment that the requester had when it began.</param>
internal sealed record Fetch(Participant To, Participant From, int Segment, int Depth, bool IsInOrder, int HeldBefore);

/// <summary>Segments that a participant is to read from the origin. The lease lives as long as bytes arrive.</summary>
internal sealed class Grant(Participant reader)
{
    public Participant Reader { get; } = reader;

    public List<int> Segments { get; } = [];

    public TimeSpan LastProgress { get; set; }

    /// <summary>Since when it reads the segment that it reads now.</summary>
    public TimeSpan SegmentSince { get; set; }

    /// <summary>Another owner has told of it.</summary>
    public bool IsHeard { get; set; }

    /// <summary>Pieces of its segments that have arrived.</summary>
    public int Arrived { get; set; }
}
