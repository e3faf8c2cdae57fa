using System.Globalization;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Headers;
using Peerd.Contracts;

namespace Peerd.Tests.Origin;

/// <summary>
/// A content that no test would keep, for <see cref="FakeRegistry.Intercept"/>: each of its bytes follows from where it is. It has no
/// digest of its own; what is never read whole can have any. Thread-safe.
/// </summary>
/// <param name="size">Its bytes.</param>
internal sealed class GeneratedContent(long size)
{
    // Of a prime length: what comes from a wrong place, be that blocks of any size away, is other bytes.
    private static readonly byte[] Pattern = OriginSetup.Bytes(1_048_573);

    private long _sent;
    private int _requests;

    public long Size => size;

    /// <summary>What it is called.</summary>
    public Digest Digest { get; } = Digest.OfSha256(BitConverter.GetBytes(size));

    /// <summary>Bytes that were sent so far.</summary>
    public long Sent => Interlocked.Read(ref _sent);

    /// <summary>Requests that were answered, or are being answered.</summary>
    public int Requests => Volatile.Read(ref _requests);

    /// <summary>The bytes from this offset on.</summary>
    public static void Read(long offset, Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            var part = Pattern.AsSpan((int)(offset % Pattern.Length));
            part = part[..Math.Min(part.Length, destination.Length)];
            part.CopyTo(destination);
            destination = destination[part.Length..];
            offset += part.Length;
        }
    }

    /// <summary>True when these are the bytes from this offset on.</summary>
    public static bool Has(long offset, ReadOnlySpan<byte> bytes)
    {
        var expected = new byte[bytes.Length];
        Read(offset, expected);
        return bytes.SequenceEqual(expected);
    }

    /// <summary>Answers a request for one closed range; leaves all others to whom it was for.</summary>
    public async Task<bool> SendAsync(HttpContext context)
    {
        if (!context.Request.Path.Value!.Contains(Digest.Hex, StringComparison.Ordinal) || new RequestHeaders(context.Request.Headers).Range?.Ranges.SingleOrDefault() is not { From: { } first, To: { } to })
        {
            return false;
        }

        Interlocked.Increment(ref _requests);
        var last = Math.Min(to, size - 1);
        context.Response.StatusCode = StatusCodes.Status206PartialContent;
        context.Response.ContentLength = last - first + 1;
        context.Response.Headers.ContentRange = string.Create(CultureInfo.InvariantCulture, $"bytes {first}-{last}/{size}");
        var block = new byte[64 * 1024];
        for (var offset = first; offset <= last;)
        {
            var part = block.AsMemory(0, (int)Math.Min(block.Length, last + 1 - offset));
            Read(offset, part.Span);
            await context.Response.Body.WriteAsync(part, context.RequestAborted);
            Interlocked.Add(ref _sent, part.Length);
            offset += part.Length;
        }

        return true;
    }
}
