using Peerd.Contracts;
using Peerd.Node.Origin;
using Peerd.Node.Storage;

namespace Peerd.Node.Swarm;

/// <summary>Cuts the body of one answer of the origin into frames and stores them.</summary>
internal static class OriginRun
{
    /// <summary>A manifest that is longer is no manifest (OCI distribution: registries should accept 4 MiB).</summary>
    private const int LongestManifest = 4 * 1024 * 1024;

    /// <summary>
    /// The same answer with its size: some registries send manifests chunked. An answer without a size when there are
    /// more than 4 MiB.
    /// </summary>
    /// <param name="response">An answer with outcome Ok, from the first byte on. Stays the caller's to dispose.</param>
    /// <param name="cancellationToken">Reaches to the socket.</param>
    /// <exception cref="IOException">The body broke.</exception>
    public static async Task<OriginResponse> MeasureAsync(OriginResponse response, CancellationToken cancellationToken)
    {
        var bytes = new byte[LongestManifest + 1];
        var length = await response.Body.ReadAtLeastAsync(bytes, bytes.Length, throwOnEndOfStream: false, cancellationToken);
        return length > LongestManifest
            ? response
            : new OriginResponse
            {
                Outcome = response.Outcome,
                Status = response.Status,
                TotalSize = length,
                Range = new ByteRange(0, length),
                Body = new MemoryStream(bytes, 0, length),
                MediaType = response.MediaType,
            };
    }

    /// <summary>
    /// Stores the frames of the body that are missing, from the first frame that begins within it up to
    /// <paramref name="end"/>. Returns how many frames were stored; throws <see cref="IOException"/> when the body
    /// breaks, after what came before was stored. Ends early when all that is here is dropped meanwhile.
    /// </summary>
    /// <param name="response">An answer with outcome Ok.</param>
    /// <param name="content">Where the frames go.</param>
    /// <param name="end">The byte before which to stop: the end of a frame or of the content.</param>
    /// <param name="isExpected">Whether a frame may have this checksum; when not, the body counts as broken.</param>
    /// <param name="stored">Called for each frame that was stored, with its checksum.</param>
    /// <param name="cancellationToken">Reaches to the socket.</param>
    public static async Task StoreAsync(OriginResponse response, CachedContent content, long end, Func<int, ulong, bool> isExpected, Action<int> stored, CancellationToken cancellationToken)
    {
        var layout = content.Layout;
        var resets = content.Resets;
        using var buffer = PooledBuffer.Rent(layout.FrameSize);
        for (var offset = response.Range.Offset; offset < end;)
        {
            var frame = layout.FrameAt(offset);
            var bytes = buffer.Memory[..(int)layout.Frame(frame).Length];
            await response.Body.ReadExactlyAsync(bytes, cancellationToken);
            var checksum = FrameChecksum.Compute(bytes.Span);
            if (!isExpected(frame, checksum))
            {
                throw new IOException("the origin sent other bytes than before");
            }

            if (!content.TryWriteFrame(frame, bytes.Span, checksum, resets))
            {
                // Asked for before all was dropped: who still needs it asks anew.
                return;
            }

            stored(frame);
            offset += bytes.Length;
        }
    }
}
