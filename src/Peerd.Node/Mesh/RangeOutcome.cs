using Peerd.Contracts.V1;

namespace Peerd.Node.Mesh;

/// <summary>How reading a range from a peer ended.</summary>
internal enum RangeOutcomeKind
{
    Complete,

    /// <summary>The peer has not what was asked for.</summary>
    NotHeld,

    /// <summary>The peer serves as many as it may, or the range was not finished in time, but on its way.</summary>
    Busy,

    /// <summary>No connection, a broken stream, nothing received for too long, or a deadline.</summary>
    Failed,

    /// <summary>Wrong bytes: a checksum that does not match, bytes that were not asked for, another size.</summary>
    Corrupt,

    /// <summary>This node cancelled the range.</summary>
    Cancelled,

    /// <summary>This node's membership list has no such peer: views of the ring differ.</summary>
    NotAMember,
}

/// <summary>How reading a range from a peer ended, and whom to ask instead.</summary>
internal readonly record struct RangeOutcome(RangeOutcomeKind Kind, IReadOnlyList<string> Holders, string Error = "")
{
    /// <summary>A node tells so many runs of pieces at the end of a range; more are not taken.</summary>
    public const int MaxPieceRuns = 1024;

    public static readonly RangeOutcome Complete = new(RangeOutcomeKind.Complete, []);

    public static readonly RangeOutcome NotAMember = new(RangeOutcomeKind.NotAMember, [], "not a member");

    public static readonly RangeOutcome Cancelled = new(RangeOutcomeKind.Cancelled, []);

    public static RangeOutcome Failed(string error) => new(RangeOutcomeKind.Failed, [], error);

    public static RangeOutcome NotHeld { get; } = new(RangeOutcomeKind.NotHeld, []);

    public static RangeOutcome Corrupt(string error) => new(RangeOutcomeKind.Corrupt, [], error);

    /// <summary>
    /// Pieces that the peer has or is reading from the origin, as far as it said so: only when asked, and not always. Not checked
    /// against the content.
    /// </summary>
    public IReadOnlyList<PieceRun> Pieces { get => field ?? []; private init; }

    /// <summary>Of wrong bytes: the answer fits together, and somebody else says otherwise. False: it is wrong in itself.</summary>
    public bool IsContradicted { get; init; }

    public static RangeOutcome Of(RangeEnd end)
    {
        var outcome = end.Status switch
        {
            RangeStatus.Complete => Complete,
            // Who leaves is not to blame: it is as if it had nothing.
            RangeStatus.NotHeld or RangeStatus.Leaving => new(RangeOutcomeKind.NotHeld, [.. end.Holders.Take(16)]),
            RangeStatus.Busy => new(RangeOutcomeKind.Busy, [.. end.Holders.Take(16)]),
            _ => Failed($"the peer ended the range with {end.Status}: {end.Message}"),
        };
        return outcome with { Pieces = [.. end.Pieces.Take(MaxPieceRuns)] };
    }
}

/// <summary>Takes the frames of a range as they arrive, each already checked against its checksum.</summary>
internal interface IRangeSink
{
    /// <summary>A frame has arrived. The data is not kept after the call. False: the frame is wrong, stop.</summary>
    bool Accept(int frame, ReadOnlySpan<byte> data, ulong checksum);

    /// <summary>The peer tells the media type of the content; empty when it knows none.</summary>
    void Told(string mediaType);

    /// <summary>The peer waits for the next bytes itself, until a frame comes; said again every second or so.</summary>
    void Waiting();

    /// <summary>
    /// This node's own limit (<see cref="RangeLimits.Rate"/>) holds the next frame back from now on, or does not any more: meanwhile nothing
    /// comes, and the peer has no part in that.
    /// </summary>
    void HeldBack(bool isHeld)
    {
    }
}
