using Google.Protobuf.Collections;
using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Mesh;

/// <summary>
/// What a message takes of memory, roughly, told by how much is in its lists. What is not parsed yet is told by its bytes: see
/// <see cref="ParsedSize"/>.
/// </summary>
internal static class MessageMemory
{
    /// <summary>Of a push with nothing in its lists.</summary>
    private const int PushBytes = 512;

    /// <summary>Of a content, a tag or a digest that is announced.</summary>
    private const int AnnouncedBytes = 256;

    /// <summary>Of any other entry of a list.</summary>
    private const int EntryBytes = 64;

    /// <summary>Numbers that take as much as an entry.</summary>
    private const int NumbersPerEntry = 8;

    public static long Of(LookupResponse push) => PushBytes + (EntryBytes * (
        push.Holders.Sum(static holder => 4L + holder.Pieces.Count + holder.Receiving.Count)
        + EntriesOf(push.Assigned) + EntriesOf(push.Checksums)
        + push.Gone.Count + push.Granted.Count + push.Revoked.Count + push.Reclaimed.Count + (push.StartupOrder.Count / NumbersPerEntry)));

    public static long Of(LookupRequest request) => EntryBytes * (request switch
    {
        { Want: { } want } => (long)want.Have.Count + want.Reading.Count + want.Wanted.Count + EntriesOf(want.Fetching),
        { Report: { } report } => (long)report.Arrived.Count + report.GivenBack.Count + report.Reading.Count + (2 * report.Failed.Count) + EntriesOf(report.Checksums),
        _ => 0,
    });

    public static long Of(AnnounceRequest request) =>
        (AnnouncedBytes * ((long)request.Contents.Count + request.Withdrawn.Count + request.Mismatched.Count + request.Tags.Count))
        + (EntryBytes * request.Contents.Sum(static content => (long)content.Pieces.Count + (content.StartupOrder.Count / NumbersPerEntry)));

    private static long EntriesOf(RepeatedField<Assignment> assigned) => assigned.Sum(static assignment => 2L + assignment.Segments.Count);

    private static long EntriesOf(RepeatedField<PieceChecksums> checksums) => checksums.Sum(static piece => 2L + (piece.Frames.Count / 4));
}
