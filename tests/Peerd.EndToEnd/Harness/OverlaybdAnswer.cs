using System.Net.Http.Headers;
using Peerd.Contracts;

namespace Peerd.EndToEnd.Harness;

/// <summary>How one try of a read was answered.</summary>
/// <param name="Status">206, or what went wrong.</param>
/// <param name="Body">The bytes that were asked for, or what the server says of a failure.</param>
/// <param name="Size">Bytes of the whole blob, of a 206.</param>
internal sealed record OverlaybdAnswer(int Status, byte[] Body, long Size)
{
    /// <summary>The size of the blob by an answer that must be exactly the range that was asked for.</summary>
    /// <param name="head">Status and headers.</param>
    /// <param name="asked">What was asked for; all of it lies within the blob.</param>
    /// <param name="size">Size of the blob, if it is known by now.</param>
    /// <exception cref="BrokenAnswerException">It is something else, which the real client does not notice.</exception>
    public static long DemandRange(WireHead head, ByteRange asked, long? size)
    {
        if (head.Status == 200)
        {
            throw new BrokenAnswerException($"200 to the range {asked}: the beginning of the blob would be taken for it");
        }

        if (head.Find("Content-Range") is not { } text
            || !ContentRangeHeaderValue.TryParse(text, out var range)
            || range is not { Unit: "bytes", From: { } from, To: { } to, Length: { } total })
        {
            throw new BrokenAnswerException($"206 with the Content-Range '{head.Find("Content-Range")}'");
        }

        if (from != asked.Offset || to != asked.End - 1 || total != (size ?? total))
        {
            throw new BrokenAnswerException($"206 with the Content-Range '{text}' to the range {asked} of {size}");
        }

        if (!head.IsChunked && head.ContentLength != asked.Length)
        {
            throw new BrokenAnswerException($"206 with the Content-Length '{head.ContentLength}' to the range {asked}, and not chunked");
        }

        return head.Find("Content-Encoding") is { } coding ? throw new BrokenAnswerException($"206 with the Content-Encoding '{coding}'") : total;
    }
}
