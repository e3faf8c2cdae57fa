using Peerd.Contracts;

namespace Peerd.Node.Swarm;

/// <summary>Constants of the owner's policy.</summary>
internal sealed record CoordinatorPolicy
{
    /// <summary>Askers that read from the origin at the same moment. Fewer leave the origin idle, more spread its bytes too late.</summary>
    public int Readers { get; init; } = 8;

    /// <summary>Grants that one asker may have open, so that it asks the origin for the next while it reads one.</summary>
    public int GrantsPerAsker { get; init; } = 2;

    /// <summary>The same for one that reads bit by bit: only what is wanted now counts.</summary>
    public int GrantsOfParts { get; init; } = 8;

    /// <summary>The same for all askers together when they are few and segments are short.</summary>
    public int LeastOpenGrants { get; init; } = 16;

    /// <summary>
    /// Grants of a content at once, and then in a second: each is a run of neighbouring segments, which is read with one request.
    /// </summary>
    /// <remarks>
    /// It stops what goes round and round, never a herd: contents up to 8 GiB have at most 512 segments, and of longer ones,
    /// whose segments have 16 MiB, 75 in a second fill 10 Gbit/s; of segments of 4 MiB it would be 300.
    /// </remarks>
    public int GrantsPerSecond { get; init; } = 1000;

    /// <summary>
    /// Share of the content by which an asker is far behind the foremost: a late one, or one with a thin link, through which
    /// others would have to get what it reads.
    /// </summary>
    public double FarBehind { get; init; } = 1 / 16.0;

    /// <summary>Segments that an asker holds at least when it is not far behind those who hold most.</summary>
    public int LeastHeld(IEnumerable<Participant> askers, ContentLayout layout) =>
        askers.Select(asker => asker.Held.Count).DefaultIfEmpty().Max() - (int)Math.Ceiling(FarBehind * layout.SegmentCount);

    /// <summary>
    /// How many times longer than usual one that is far behind may take to read a segment: then it is dealt again, because
    /// all others wait for it.
    /// </summary>
    public double SlowReading { get; init; } = 4;

    /// <summary>It may take so long in any case.</summary>
    public TimeSpan ReadingPatience { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Segments that may be taken in all from those who read them slowly, as a share of what the foremost holds: little is read twice,
    /// however many are slow.
    /// </summary>
    public double TakenFromSlow { get; init; } = 1 / 32.0;

    /// <summary>So many may be taken in any case; of the last reader all that it was granted in one go is.</summary>
    public int LeastTakenFromSlow { get; init; } = 4;

    /// <summary>When nothing was taken for so long, all of that may be taken again.</summary>
    public TimeSpan TakenFromSlowMemory { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary><see cref="TakenFromSlow"/> in segments, but <see cref="LeastTakenFromSlow"/> at least.</summary>
    public int MostTakenFromSlow(IEnumerable<Participant> askers) =>
        Math.Max(LeastTakenFromSlow, (int)(TakenFromSlow * askers.Select(asker => asker.Held.Count).DefaultIfEmpty().Max()));

    /// <summary>Askers that are not far behind: while so many read from the origin, those who are read nothing.</summary>
    public int ForemostReaders { get; init; } = 3;

    /// <summary>So many, or fewer, that want something are no judges of each other.</summary>
    public int Few { get; init; } = 3;

    /// <summary>So few want something that what one of them says of a holder is all there is.</summary>
    public bool AreFew(IEnumerable<Participant> participants) =>
        participants.Count(static participant => participant is { Asker: not null, WantsNothing: false }) <= Few;

    /// <summary>
    /// How long it is looked at least before what a source brings tells anything: a holder that serves many, or anything when nothing is
    /// left to be read; or the origin.
    /// </summary>
    public TimeSpan ShortestTrial { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>After so long it is looked at anew what a holder brings when nothing is left to be read.</summary>
    public TimeSpan LongestTrial { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>What a holder brought while it served many counts half after this time, or when it was four times its <see cref="Credits"/>.</summary>
    public TimeSpan LongestService { get; init; } = TimeSpan.FromSeconds(8);

    /// <summary>A holder is slow when what is usual among the others (the median), or what the origin brought one reader, is more than so many times as much.</summary>
    public double SlowFactor { get; init; } = 4;

    /// <summary>Bytes of a grant at least, where that is more than a segment: requests to the origin have their price.</summary>
    public int LeastGrant { get; init; } = 256 * 1024;

    /// <summary>
    /// Segments that one asker fetches from others at a time, and that one holder serves at a time. One number for both:
    /// more uploads than downloads let everybody crowd those who have fresh segments while others have nothing to do.
    /// </summary>
    public int Credits { get; init; } = 8;

    /// <summary>Who may serve only so many at a time, because it has shown to be slow, is a bad first holder.</summary>
    public int TokensOfSlow { get; init; } = 2;

    /// <summary><see cref="Credits"/> for contents whose segments are so short that news of them take as long as themselves, at most.</summary>
    public int CreditsOfShortSegments { get; init; } = 16;

    /// <summary>How long it takes from a segment's arrival until another is assigned in its place.</summary>
    public TimeSpan NewsDelay { get; init; } = TimeSpan.FromMilliseconds(25);

    /// <summary>For so long it is looked at how quickly segments come, before <see cref="Credits"/> are adapted to it.</summary>
    public TimeSpan PaceInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The most that an asker may fetch at a time of a content, and what it may at first.</summary>
    public int MostCredits(ContentLayout layout) => layout.SegmentSize <= ShortSegment ? CreditsOfShortSegments : Credits;

    /// <summary>What an asker may fetch at a time when it fetches so many segments in a second.</summary>
    public int CreditsFor(double segmentsPerSecond, ContentLayout layout) =>
        Math.Clamp(4 + (2 * (int)Math.Ceiling(segmentsPerSecond * NewsDelay.TotalSeconds)), Math.Min(Credits, MostCredits(layout)), MostCredits(layout));

    /// <summary>Bytes of a segment up to which it is short.</summary>
    public int ShortSegment { get; init; } = 256 * 1024;

    /// <summary>Nodes that fetch the same segment from one holder at a time.</summary>
    public int Children { get; init; } = 4;

    /// <summary>The same for a content of one segment: a tree of two children per node is the quickest.</summary>
    public int ChildrenOfOnlySegment { get; init; } = 2;

    /// <summary>
    /// How much less a holder is preferred that has all of a content to an asker that has nothing of it, where 8 is the
    /// difference between an idle and a fully used one. What makes latecomers fetch from each other.
    /// </summary>
    public double CostOfBeingAhead { get; init; } = 512;

    /// <summary>Holders that are looked at for one assignment.</summary>
    public int HoldersLookedAt { get; init; } = 16;

    /// <summary>The same when nothing was found among them.</summary>
    public int HoldersLookedAtLonger { get; init; } = 64;

    /// <summary>An asker that fetches nothing for this long because nobody in its zone can serve it may fetch from another zone.</summary>
    public TimeSpan ZonePatience { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>A grant without new bytes for this long is dealt again, if somebody else can read it.</summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>Up to which it doubles whenever one expires: an origin may be slow to begin.</summary>
    public TimeSpan LongestLease { get; init; } = TimeSpan.FromSeconds(12);

    /// <summary>A node that others cannot fetch from is left alone for this long, doubling up to <see cref="LongestBan"/>.</summary>
    public TimeSpan FirstBan { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest of these times; who let a lease expire is granted nothing for as long while others can read.</summary>
    public TimeSpan LongestBan { get; init; } = TimeSpan.FromSeconds(8);

    /// <summary>Segments that a holder of the whole may turn out not to hold, one after the other, before that is a complaint.</summary>
    public int DenialsToComplain { get; init; } = 3;

    /// <summary>A holder that said it is busy, and serves nobody here, is asked again after this long.</summary>
    public TimeSpan BusyPause { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>An asker whose fetches fail one after the other is assigned the next after this long, doubling up to <see cref="LongestFailurePause"/>.</summary>
    public TimeSpan FirstFailurePause { get; init; } = TimeSpan.FromMilliseconds(10);

    /// <summary>The longest of these times.</summary>
    public TimeSpan LongestFailurePause { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// A new owner that a download goes on with grants nothing for this long: the others of the same herd come, too, and
    /// tell what they are reading.
    /// </summary>
    public TimeSpan Settling { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>A former owner that was asked by the new one deals nothing for this long. Longer than the new one takes to ask again.</summary>
    public TimeSpan HandOver { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How often the new owner asks again while the former one has askers: views of the ring differ for a while.</summary>
    public TimeSpan HandOverInterval { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>How soon it does so at first, twice as late each time, as long as it does not know the size: all wait for that, and small contents take no longer.</summary>
    public TimeSpan FirstHandOverInterval { get; init; } = TimeSpan.FromMilliseconds(25);

    /// <summary>What another owner told of a holder is believed for this long without a word of the holder itself.</summary>
    public TimeSpan Hearsay { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Holders and runs of pieces that another owner is told at most: no message takes more memory than it may.</summary>
    public int RunsTold { get; init; } = 100_000;

    /// <summary>Runs of pieces of one holder that an asker is told at a time, and another owner at all: who holds every second piece of a content that is huge fills no memory.</summary>
    public int RunsOfHolder { get; init; } = 8192;

    /// <summary>Pieces whose checksums an asker is told in one push: no message is too long for gRPC.</summary>
    public int ChecksumsAtOnce { get; init; } = 32 * 1024;

    /// <summary>An asker that is told nothing else is told new checksums after this long.</summary>
    public TimeSpan ChecksumInterval { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>Holders that one asker is told of, so that it has somebody to ask should its owners die.</summary>
    public int HolderSample { get; init; } = 8;

    /// <summary>So many of them are of other zones, where others than those of its own are known.</summary>
    public int HoldersElsewhere { get; init; } = 2;

    /// <summary>How often it is told anew what these hold.</summary>
    public TimeSpan SampleInterval { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Longest pause that an origin can ask for.</summary>
    public TimeSpan LongestOriginPause { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// What happens within this time is told together. In a large herd each has enough to do meanwhile, and something happens
    /// all the time: matching once for all of it is what keeps the owner's processor free.
    /// </summary>
    /// <param name="askers">How many ask.</param>
    public TimeSpan PushInterval(int askers) =>
        LeastPushInterval + ((LongestPushInterval - LeastPushInterval) * Math.Clamp((askers - AskersOfSmallHerd) / (double)(AskersOfLargeHerd - AskersOfSmallHerd), 0, 1));

    /// <summary>The least of <see cref="PushInterval"/>.</summary>
    public TimeSpan LeastPushInterval { get; init; } = TimeSpan.FromMilliseconds(5);

    /// <summary>The most of <see cref="PushInterval"/>.</summary>
    public TimeSpan LongestPushInterval { get; init; } = TimeSpan.FromMilliseconds(20);

    /// <summary>So many, or fewer, get the least of <see cref="PushInterval"/>.</summary>
    public int AskersOfSmallHerd { get; init; } = 100;

    /// <summary>So many, or more, get the most of <see cref="PushInterval"/>.</summary>
    public int AskersOfLargeHerd { get; init; } = 1000;
}
