using Peerd.Contracts;

namespace Peerd.EndToEnd.Harness;

/// <summary>A blob whose size is known. Thread-safe.</summary>
internal sealed class OverlaybdFile(OverlaybdClient client, string blobUrl, long size)
{
    /// <summary>Bytes of the blob.</summary>
    public long Size => size;

    /// <summary>Reads a range, clipped to the blob.</summary>
    /// <inheritdoc cref="OverlaybdClient.OpenAsync"/>
    public async Task<byte[]> ReadAsync(ByteRange range, CancellationToken cancellationToken) =>
        (await client.ReadAsync(blobUrl, range.Intersect(new ByteRange(0, size)), size, cancellationToken)).Body;
}
