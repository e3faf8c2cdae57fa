using System.Buffers;

namespace Peerd.Node.Origin;

/// <summary>Small bodies that are needed as a whole.</summary>
internal static class BoundedBody
{
    private const int ChunkSize = 16 * 1024;

    /// <summary>All bytes; null when there are more than <paramref name="limit"/>.</summary>
    public static async Task<byte[]?> ReadAsync(Stream body, int limit, CancellationToken cancellationToken)
    {
        var bytes = new ArrayBufferWriter<byte>();
        int read;
        while ((read = await body.ReadAsync(bytes.GetMemory(ChunkSize), cancellationToken)) > 0)
        {
            bytes.Advance(read);
            if (bytes.WrittenCount > limit)
            {
                return null;
            }
        }

        return bytes.WrittenSpan.ToArray();
    }
}
