using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Faults;

/// <summary>A client of one node that reads whole blobs as containerd does, compares each byte as it comes, and retries nothing by itself.</summary>
internal sealed class BlobReader(HttpClient client, Uri facade) : IDisposable
{
    private const int ChunkSize = 64 * 1024;

    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(50);

    private long _readBytes;

    /// <summary>Right bytes since <see cref="StartCounting"/>, of all reads.</summary>
    public long ReadBytes => Interlocked.Read(ref _readBytes);

    /// <summary>Counts from 0 again.</summary>
    public void StartCounting() => Interlocked.Exchange(ref _readBytes, 0);

    /// <summary>Reads once.</summary>
    /// <param name="blob">What is to come.</param>
    /// <param name="path">Where it is.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <param name="mayBeCutWhenWrong">
    /// Wrong bytes are a failure like others when the answer is cut behind them: a digest can be compared only at the end, and who gets no
    /// last byte has no blob. Else each wrong byte is one too many.
    /// </param>
    /// <returns>Null when all of it is here, else why not.</returns>
    /// <exception cref="InvalidDataException">A byte is wrong.</exception>
    public async Task<string?> TryReadAsync(GeneratedBlob blob, string path, CancellationToken cancellationToken, bool mayBeCutWhenWrong = false)
    {
        var offset = 0L;
        InvalidDataException? wrong = null;
        try
        {
            using var response = await client.GetAsync(new Uri(facade, path), HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            if (!response.IsSuccessStatusCode)
            {
                return $"{facade} answers {(int)response.StatusCode}: {await response.Content.ReadAsStringAsync(cancellationToken)}";
            }

            await using var body = await response.Content.ReadAsStreamAsync(cancellationToken);
            var buffer = new byte[ChunkSize];
            int read;
            while ((read = await body.ReadAsync(buffer, cancellationToken)) > 0)
            {
                try
                {
                    blob.Demand(offset, buffer.AsSpan(0, read));
                    Interlocked.Add(ref _readBytes, read);
                }
                catch (InvalidDataException e) when (mayBeCutWhenWrong)
                {
                    wrong ??= e;
                }

                offset += read;
            }

            return offset < blob.Size ? $"{facade} ended its answer after {offset} of {blob.Size} bytes" : wrong is null ? null : throw wrong;
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            return $"{facade} broke off after {offset} of {blob.Size} bytes: {e.Message}";
        }
    }

    /// <summary>Reads until it succeeds, as kubelet does.</summary>
    /// <inheritdoc cref="TryReadAsync"/>
    public async Task ReadUntilDoneAsync(GeneratedBlob blob, string path, CancellationToken cancellationToken, bool mayBeCutWhenWrong = false)
    {
        while (await TryReadAsync(blob, path, cancellationToken, mayBeCutWhenWrong) is not null)
        {
            await Task.Delay(RetryPause, cancellationToken);
        }
    }

    /// <inheritdoc />
    public void Dispose() => client.Dispose();
}
