using Peerd.Contracts.V1;
using Peerd.Node.Origin;

namespace Peerd.Node.Swarm;

/// <summary>What a downloader wants done. Each request has an id under which its end is reported.</summary>
internal abstract record DownloadAction
{
    /// <summary>Ask a peer for a run of pieces; when the owner assigned them, they are on their way to the peer at least.</summary>
    internal sealed record FetchFromPeer(int Id, string Node, int First, int Count, bool IsAssigned) : DownloadAction;

    /// <summary>Read a run of pieces from the origin.</summary>
    internal sealed record FetchFromOrigin(int Id, int First, int Count, bool IsGranted) : DownloadAction;

    /// <summary>Stop a request.</summary>
    internal sealed record Cancel(int Id) : DownloadAction;

    /// <summary>Tell the owner that these segments will not be read.</summary>
    internal sealed record GiveBack(IReadOnlyList<SegmentRun> Segments, bool OriginFailed, TimeSpan OriginPause) : DownloadAction;

    /// <summary>Tell the owner that an assigned segment could not be fetched.</summary>
    internal sealed record ReportFailed(FailedFetch Failed) : DownloadAction;

    /// <summary>Tell the owner that what is wanted has changed.</summary>
    internal sealed record AskAgain : DownloadAction;

    /// <summary>No source has what is missing.</summary>
    internal sealed record Fail : DownloadAction;
}

/// <summary>What a reader still needs: the pieces from its position up to an end, and how many beyond its position to have ready.</summary>
internal readonly record struct Demand(int Position, int End, int Ahead)
{
    /// <summary>It needs the piece now.</summary>
    public bool Includes(int piece) => piece >= Position && piece < End && piece - Position < Ahead;
}

/// <summary>What is to be fetched besides what readers need.</summary>
/// <param name="Demand">Which pieces.</param>
/// <param name="Origin">Where the client would read them for whom that is done.</param>
internal readonly record struct BackgroundDemand(Demand Demand, OriginReference Origin);
