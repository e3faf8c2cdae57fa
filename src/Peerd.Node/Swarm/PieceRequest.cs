using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>A run of pieces that a downloader has asked of a peer, or of the origin.</summary>
/// <param name="Node">The peer; null for the origin.</param>
/// <param name="First">First piece.</param>
/// <param name="Count">How many pieces.</param>
/// <param name="Started">When.</param>
internal sealed record PieceRequest(string? Node, int First, int Count, TimeSpan Started)
{
    public const int Unassigned = -1;

    /// <summary>Under which its end is told; given when it begins.</summary>
    public int Id { get; init; }

    /// <summary>The segment that the owner assigned; <see cref="Unassigned"/> when it did not.</summary>
    public int Segment { get; init; } = Unassigned;

    /// <summary>Asked of the origin without a grant.</summary>
    public bool IsLastResort { get; init; }

    /// <summary>Asked for a part of the pieces that a reader waits for, with a time limit of its own.</summary>
    public bool IsUrgent { get; init; }

    /// <summary>When its last byte came.</summary>
    public TimeSpan LastBytes { get; set; } = Started;

    /// <summary>How much of the time since it began nobody looked, and of that since its last byte: neither is its source's fault.</summary>
    public (TimeSpan InAll, TimeSpan SinceLastBytes) Unseen { get; set; }

    /// <summary>Frames that have arrived.</summary>
    public int Frames { get; set; }

    /// <summary>The peer waits for the next bytes itself.</summary>
    public bool IsWaiting { get; set; }

    /// <summary>Since when this node's own limit holds back what the peer sends; null while it does not.</summary>
    public TimeSpan? HeldSince { get; set; }

    /// <summary>It is held back, or was last, as something that is fetched ahead: behind all that readers wait for.</summary>
    public bool IsHeldAhead { get; set; }

    /// <summary>How long it was held back, in all.</summary>
    public TimeSpan Held { get; set; }

    /// <summary>It was found slow when the budget was spent.</summary>
    public bool WasRefused { get; set; }

    /// <summary>Why it is being cancelled; null while it is not.</summary>
    public FetchFailure? Verdict { get; set; }

    public bool Contains(int piece) => piece >= First && piece < First + Count;
}
