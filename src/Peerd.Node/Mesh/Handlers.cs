using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Mesh;

/// <summary>Takes what peers announce; the directory.</summary>
internal interface IAnnounceHandler
{
    /// <summary>Opens a lease; null when a newer process of this node has announced already.</summary>
    IAnnounceSession? Open(Contracts.V1.Member member);
}

/// <summary>One Announce stream. Dispose when the stream ends: what was announced is forgotten after a grace.</summary>
internal interface IAnnounceSession : IDisposable
{
    void Apply(AnnounceRequest request);

    /// <summary>The node ended the stream in an orderly way: what it announced is withdrawn at once.</summary>
    void Leave();
}

/// <summary>Answers who looks for contents; the coordinators.</summary>
internal interface ILookupHandler
{
    /// <summary>Opens the session of one requester for one content.</summary>
    ILookupSession Open(Want want);
}

/// <summary>One Lookup stream. Dispose when the stream ends: the requester reads nothing from the origin any more.</summary>
internal interface ILookupSession : IDisposable
{
    void Apply(LookupRequest request);

    /// <summary>Completes with the next push; pushes that were not taken yet are merged into one.</summary>
    ValueTask<LookupResponse> NextAsync(CancellationToken cancellationToken);
}

/// <summary>Knows what this node is receiving right now, and who else has it.</summary>
internal interface IIncomingPieces
{
    /// <summary>The piece is on its way to this node: from the origin, or from a peer other than <paramref name="reader"/>, who would wait for itself.</summary>
    bool IsIncoming(Digest content, int piece, string? reader);

    /// <summary>A few other nodes that have the piece, as far as this node knows.</summary>
    IReadOnlyList<string> HoldersOf(Digest content, int piece);
}
