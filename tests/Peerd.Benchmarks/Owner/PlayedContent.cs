using System.Security.Cryptography;
using Peerd.Contracts;

namespace Peerd.Benchmarks.Owner;

/// <summary>A content that does not exist, on links of a certain rate.</summary>
/// <param name="Digest">Its name: nobody has heard of it before.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Rate">Bits per second that a requester receives.</param>
internal sealed record PlayedContent(Digest Digest, long Size, long Rate)
{
    /// <summary>Segments that share a link.</summary>
    private const int Sharing = 8;

    public ContentLayout Layout { get; } = new(Size);

    /// <summary>How long the whole takes when the link is always full.</summary>
    public TimeSpan Ideal { get; } = TimeSpan.FromSeconds(8.0 * Size / Rate);

    /// <summary>How long a segment takes that shares the link.</summary>
    public TimeSpan OfSegment(int segment) => TimeSpan.FromSeconds(8.0 * Sharing * Layout.Segment(segment).Length / Rate);

    public static PlayedContent Create(long size, long rate) => new(Digest.OfSha256(RandomNumberGenerator.GetBytes(32)), size, rate);
}
