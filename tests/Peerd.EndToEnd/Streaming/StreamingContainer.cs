using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Streaming;

/// <summary>One container that reads a whole blob with as many reads in flight as its client has, and compares every byte.</summary>
internal sealed class StreamingContainer(OverlaybdClient client, string url, GeneratedBlob blob, int seed)
{
    private long _readBytes;

    /// <summary>Right bytes so far.</summary>
    public long ReadBytes => Interlocked.Read(ref _readBytes);

    /// <summary>Its client, for what it counts.</summary>
    public OverlaybdClient Client => client;

    /// <summary>Reads all of the blob once.</summary>
    /// <param name="cancellationToken">Ends it early.</param>
    /// <param name="largest">The largest read.</param>
    /// <exception cref="InvalidDataException">A byte is wrong.</exception>
    /// <inheritdoc cref="OverlaybdClient.OpenAsync" path="/exception"/>
    public async Task RunAsync(CancellationToken cancellationToken, int largest = ReadPattern.Usual)
    {
        var file = await client.OpenAsync(url, cancellationToken);
        Assert.Equal(blob.Size, file.Size);
        var parallel = new ParallelOptions { MaxDegreeOfParallelism = OverlaybdClient.MaxReads, CancellationToken = cancellationToken };
        await Parallel.ForEachAsync(ReadPattern.Cover(file.Size, largest, seed), parallel, async (range, token) =>
        {
            blob.Demand(range.Offset, await file.ReadAsync(range, token));
            Interlocked.Add(ref _readBytes, range.Length);
        });
    }
}
