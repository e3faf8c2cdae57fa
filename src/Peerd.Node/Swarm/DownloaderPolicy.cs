namespace Peerd.Node.Swarm;

/// <summary>Constants of the requester's policy.</summary>
internal sealed record DownloaderPolicy
{
    /// <summary>Without an owner: ranges that are asked of peers at the same moment. Each holder serves as many.</summary>
    public int Requests { get; init; } = 16;

    /// <summary>Without an owner: ranges that are asked of one peer at the same moment.</summary>
    public int RequestsPerPeer { get; init; } = 4;

    /// <summary>
    /// Ranges of what is only fetched ahead that are asked of one peer at the same moment. More would share the link with what
    /// readers wait for, and each would come later. As long as a reader waits for the peer it is one.
    /// </summary>
    public int RequestsAheadPerPeer { get; init; } = 2;

    /// <summary>The same of a peer that sends a piece within <see cref="ReaderPatience"/>, as a rule.</summary>
    public int RequestsAheadPerQuickPeer { get; init; } = 8;

    /// <summary>Once a reader has waited for a peer for so long, the link is what it waits for.</summary>
    public TimeSpan ReaderPatience { get; init; } = TimeSpan.FromMilliseconds(16);

    /// <summary>How often a range is asked of a peer ahead then: never would keep places at holders that owners have given for it.</summary>
    public TimeSpan AheadInterval { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>Segments that an owner may have assigned at the same moment. An honest one stays far below.</summary>
    public int MostAssigned { get; init; } = 128;

    /// <summary>Requests to the origin at the same moment.</summary>
    public int OriginRequests { get; init; } = 2;

    /// <summary>The same when readers want many different parts.</summary>
    public int MostOriginRequests { get; init; } = 8;

    /// <summary>Bytes of the first requests to the origin, where that is more than a segment: what is not asked for yet can be given to others.</summary>
    public int FirstOriginRead { get; init; } = 1024 * 1024;

    /// <summary>Bytes of one request to the origin at most; they double up to here while nobody else comes.</summary>
    public int LongestOriginRead { get; init; } = 16 * 1024 * 1024;

    /// <summary>Bytes of one range asked of a peer at most.</summary>
    public int LongestRange { get; init; } = 4 * 1024 * 1024;

    /// <summary>Without an owner: segments among which the random half of the requests is chosen, from the first missing one on.</summary>
    public int Window { get; init; } = 128;

    /// <summary>A busy peer is not asked again for this long.</summary>
    public TimeSpan BusyPause { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>A peer that failed is not asked for this long, doubling up to <see cref="LongestBan"/>.</summary>
    public TimeSpan FirstBan { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest of these times.</summary>
    public TimeSpan LongestBan { get; init; } = TimeSpan.FromSeconds(8);

    /// <summary>
    /// A peer that failed so many times in a row is not counted on. With the bans between them this takes longer than
    /// owners need to forget a dead node: what it held is then read once, not by everybody.
    /// </summary>
    public int FailuresToDistrust { get; init; } = 4;

    /// <summary>A peer that waits for bytes itself is given up after this long without any, or after twice the usual time of a range.</summary>
    public TimeSpan StarvedPatience { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>A peer that has the bytes is given up after this long without any, or after the usual time of a range.</summary>
    public TimeSpan StallPatience { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>A range that is going to take so many times as long as usual is moved to another holder.</summary>
    public double SlowFactor { get; init; } = 4;

    /// <summary>A peer that no other was asked besides is compared with the origin. Not where this node itself limits what peers may send it.</summary>
    public bool ComparesOnlyPeer { get; init; } = true;

    /// <summary>Such a peer is slow when the origin sends so many times as much.</summary>
    public double SlowFactorOfOnlyPeer { get; init; } = 4;

    /// <summary>Part of the ranges that may be moved because they are slow.</summary>
    public double HedgeBudget { get; init; } = 0.05;

    /// <summary>Ranges that may be moved in any case.</summary>
    public int LeastHedges { get; init; } = 4;

    /// <summary>With an owner that assigns nothing, this long without anything under way leads to the peers that are known.</summary>
    public TimeSpan AssignmentPatience { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Without an owner, this long without anything under way leads to the origin.</summary>
    public TimeSpan OwnerlessPatience { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>And up to so much longer, by chance: many may have lost the same owner.</summary>
    public TimeSpan OwnerlessSpread { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>The same when there are peers that could have read it meanwhile.</summary>
    public TimeSpan OwnerlessSpreadAmongPeers { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>Without an owner, and without anybody known to have what is missing: how often a peer is asked what it has.</summary>
    public TimeSpan InquiryInterval { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>
    /// With an owner that answers and does not tell the size, this long leads to the origin. Longer than an owner waits for who was to
    /// find it out before it lets another try.
    /// </summary>
    public TimeSpan SizePatience { get; init; } = TimeSpan.FromSeconds(8);

    /// <summary>And up to so much longer, by chance: an origin that is slow to answer one need not be asked by all at once.</summary>
    public TimeSpan SizeSpread { get; init; } = TimeSpan.FromSeconds(12);

    /// <summary>What arrives within this time is told the owner together.</summary>
    public TimeSpan ReportInterval { get; init; } = TimeSpan.FromMilliseconds(5);

    /// <summary>No owner may have this node leave the origin alone for longer.</summary>
    public TimeSpan LongestOriginPause { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>With an owner, this long without anything arriving leads straight to the origin: the last resort.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>By chance up to so much longer, or an origin that stalls would be asked by all of a herd at the same moment.</summary>
    public TimeSpan PatienceSpread { get; init; } = TimeSpan.FromSeconds(10);
}
