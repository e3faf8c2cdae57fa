using System.Diagnostics;
using System.Net;
using Peerd.Contracts;
using Peerd.Node.Limits;
using Peerd.Node.Origin;

namespace Peerd.Node.Swarm;

/// <summary>What a probe needs of the download that it is for, and what that is told.</summary>
internal interface IOriginProbeUser
{
    /// <summary>The size is known, or somebody finds it out, or nobody wants it any more.</summary>
    bool IsServed { get; }

    /// <summary>Who goes before whom where bandwidth is limited, for so many pieces from the beginning on; asked again and again while they come.</summary>
    Urgency UrgencyOf(int pieces);

    /// <summary>A probe brought no size.</summary>
    void ProbeFailed(OriginReference origin, SourceFailure failure);

    /// <summary>A probe brought the size, and so many pieces. Returns what is to store them, and as which read; null when nobody needs them.</summary>
    (OriginReads Reads, DownloadAction.FetchFromOrigin Read)? Probed(long size, string? mediaType, int pieces);
}

/// <summary>Asks the origin about one content of which nothing is known: what it wants of the client, and the size. Thread-safe.</summary>
internal sealed class OriginProbe(DownloadServices services, DownloadTrace trace, IOriginProbeUser user)
{
    private static readonly TimeSpan ChallengePatience = TimeSpan.FromMilliseconds(300);

    /// <summary>A client that brought nothing may have to bring something: in a herd it is told so before it is its turn to read. Null when it need not.</summary>
    public async Task<SourceFailure?> AskForChallengeAsync(OriginReference origin, CancellationToken cancellationToken)
    {
        await Task.Delay(ChallengePatience, services.Time, cancellationToken);
        if (user.IsServed)
        {
            return null;
        }

        // Once for all contents of a repository: what each node asks for each layer is outside of what owners grant.
        await using var answer = await services.OpenRepositories.AskAsync(origin, StatAsync, cancellationToken);
        return answer?.Challenge is null ? null : SourceFailure.Of(answer);

        async Task<OriginResponse?> StatAsync()
        {
            if (user.IsServed)
            {
                return null;
            }

            using var step = trace.Step("read", ActivityKind.Internal);
            return await services.Origin.StatAsync(origin, cancellationToken);
        }
    }

    /// <summary>Finds out the size, and reads the beginning while at it.</summary>
    public async Task AskForSizeAsync(OriginReference origin, CancellationToken cancellationToken)
    {
        var range = origin.Kind == OriginKind.Manifest ? (ByteRange?)null : new ByteRange(0, ProtocolConstants.ProbeBytes);
        using var step = trace.Step("read", ActivityKind.Internal);
        var pieces = 0;
        await using var answer = await services.Origin.ReadAsync(origin with { Urgency = () => user.UrgencyOf(pieces) }, range, cancellationToken);
        services.OpenRepositories.Note(origin, answer);
        var response = answer is { Outcome: OriginOutcome.Ok, TotalSize: null } && origin.Kind == OriginKind.Manifest ? await OriginRun.MeasureAsync(answer, cancellationToken) : answer;
        if (response.Outcome != OriginOutcome.Ok || response.TotalSize is not { } size)
        {
            user.ProbeFailed(origin, response.Outcome == OriginOutcome.Ok
                ? new SourceFailure(HttpStatusCode.BadGateway, "the origin did not tell the size of the content")
                : SourceFailure.Of(response));
            return;
        }

        var layout = new ContentLayout(size);
        pieces = PiecesIn(response, layout);
        if (user.Probed(size, response.MediaType, pieces) is var (reads, read) && pieces > 0)
        {
            await reads.StoreAsync(read, origin, response, layout.Piece(pieces - 1).End, cancellationToken);
        }
    }

    /// <summary>How many whole pieces the answer to a probe holds.</summary>
    private static int PiecesIn(OriginResponse response, ContentLayout layout)
    {
        var end = response.Range.Length < 0 ? layout.Size : Math.Min(layout.Size, response.Range.End);
        return end == layout.Size ? layout.PieceCount : layout.PieceAt(end);
    }
}
