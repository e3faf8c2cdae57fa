using Peerd.Contracts;
using Peerd.Node.Content;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>Sends bytes of a content as the body of an answer whose head is set.</summary>
internal static class ContentBody
{
    /// <summary>
    /// Sends a range. When the source fails before the first byte, the answer becomes an error; afterwards the
    /// connection is closed with FIN, on which containerd comes back for the rest: a reset would end its pull.
    /// </summary>
    /// <returns>What became of the answer: an error is a complete one, too.</returns>
    public static async Task<CopyOutcome> SendAsync(HttpContext context, IContentReading reading, ByteRange range) =>
        await SendAsync(context, reading, range, isLast: true) ?? CopyOutcome.Complete;

    /// <summary>The same; null: the size that was told is wrong, and nothing was sent. Not when it is the last attempt.</summary>
    public static async Task<CopyOutcome?> SendAsync(HttpContext context, IContentReading reading, ByteRange range, bool isLast)
    {
        var response = context.Response;
        var outcome = await reading.CopyToAsync(response.BodyWriter, range, context.RequestAborted);
        FacadeRequest.CameFrom(context, reading.Source);
        switch (outcome)
        {
            case CopyOutcome.ReaderGone:
                // Keeps Kestrel from complaining about the bytes that are missing in the answer.
                context.Abort();
                break;
            case CopyOutcome.SourceFailed when !response.HasStarted && response.BodyWriter is { CanGetUnflushedBytes: true, UnflushedBytes: 0 }:
                if (reading.IsSizeDisputed && !isLast)
                {
                    return null;
                }

                var error = reading.Failure is { } failure
                    ? RegistryError.Of(failure, OriginKind.Blob)
                    : RegistryError.BadGateway(RegistryError.Unavailable, "no source has the content, or what they have does not match the digest");
                await RegistryAnswer.WriteErrorAsync(context, error);
                return CopyOutcome.Complete;
            case CopyOutcome.SourceFailed:
                // Kestrel closes with FIN when a handler returns with bytes missing. Had the answer not started, it
                // would make a 500 of it and put our first bytes behind that.
                await response.StartAsync(context.RequestAborted);
                break;
        }

        return outcome;
    }
}
