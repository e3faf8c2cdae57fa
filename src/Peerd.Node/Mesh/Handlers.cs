using System.Net;
using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Mesh;

/// <summary>Takes what peers announce; the directory.</summary>
internal interface IAnnounceHandler
{
    /// <summary>Opens a lease; null when another process has the name: a newer one, or one at the member's own address.</summary>
    /// <param name="member">Who he says that he is.</param>
    /// <param name="from">Where he calls from, if nothing proves his name; null when something does.</param>
    IAnnounceSession? Open(Contracts.V1.Member member, IPAddress? from);
}

/// <summary>One Announce stream. Dispose when the stream ends: what was announced is forgotten after a grace.</summary>
internal interface IAnnounceSession : IDisposable
{
    /// <summary>Takes what a message tells; false when nothing of it counts: a newer stream, or another process, has taken the place of this one.</summary>
    bool Apply(AnnounceRequest request);

    /// <summary>Completes with the next content of which the node is to drop what it holds in part.</summary>
    /// <exception cref="System.Threading.Channels.ChannelClosedException">Somebody at another address has the node's name now: the stream is to end.</exception>
    ValueTask<Digest> NextDiscardAsync(CancellationToken cancellationToken);

    /// <summary>The node ended the stream in an orderly way: what it announced is withdrawn at once.</summary>
    void Leave();
}

/// <summary>Answers who looks for contents; the coordinators.</summary>
internal interface ILookupHandler
{
    /// <summary>Opens the session of one requester for one content.</summary>
    /// <param name="want">The first message.</param>
    /// <param name="from">Where he calls from, if nothing proves his name; null when something does, or when it is this node itself.</param>
    ILookupSession Open(Want want, IPAddress? from = null);
}

/// <summary>One Lookup stream. Dispose when the stream ends: the requester reads nothing from the origin any more.</summary>
internal interface ILookupSession : IDisposable
{
    void Apply(LookupRequest request);

    /// <summary>Completes with the next push; when too many have not been taken yet, the later ones are merged into one.</summary>
    ValueTask<LookupResponse> NextAsync(CancellationToken cancellationToken);

    /// <summary>Cancelled when it takes nothing and others are in need: what is being written to it is given up.</summary>
    CancellationToken Cut { get; }
}

/// <summary>What becomes of a piece that is not here.</summary>
internal enum PieceArrival
{
    /// <summary>This node is not downloading the content, or needs nothing of the piece.</summary>
    None,

    /// <summary>The content is being downloaded: the piece is to come from another node, or has not been asked for yet.</summary>
    Expected,

    /// <summary>It is on its way, from the very node that asks and from nowhere else.</summary>
    FromReader,

    /// <summary>It is on its way from the origin.</summary>
    Coming,
}

/// <summary>Knows what this node is receiving right now, and who else has it.</summary>
internal interface IIncomingPieces
{
    /// <summary>This node is downloading the content, and the download is not over.</summary>
    bool IsDownloading(Digest content);

    /// <summary>Completes when a content that is being downloaded is in the cache for the first time, or never will be; at once when it is not being downloaded.</summary>
    Task OpenedAsync(Digest content);

    /// <summary>What becomes of a piece that is not here, as seen by <paramref name="reader"/>, who must not wait for itself.</summary>
    PieceArrival ArrivalOf(Digest content, int piece, string? reader);

    /// <summary>Adds the pieces that are on their way from the origin to this node.</summary>
    void AddIncoming(Digest content, PieceSet pieces);

    /// <summary>A few other nodes that have the piece, as far as this node knows.</summary>
    IReadOnlyList<string> HoldersOf(Digest content, int piece);
}
