using Peerd.Node.Telemetry;

namespace Peerd.Node.Storage.Containerd;

/// <summary>
/// Has containerd read blobs whose files this process cannot read: in parts that all readers share, each asked for once.
/// Thread-safe.
/// </summary>
internal sealed class BlobFetcher(ContainerdClient client, TimeProvider time) : IDisposable
{
    private const int MostAtOnce = 8;
    private const long Budget = 32L << 20;

    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _slots = new(MostAtOnce);
    private readonly Dictionary<(ContainerdBlob, int), Task> _fetching = [];

    public BlobParts Parts { get; } = new(Budget);

    public ContainerdClient Client => client;

    public TimeProvider Time => time;

    /// <summary>Completes when the part is in <see cref="Parts"/>; fails with what the call to containerd fails with.</summary>
    public Task FetchAsync(ContainerdBlob blob, int part, int length, CancellationToken cancellationToken)
    {
        Task? fetching;
        lock (_lock)
        {
            if (!_fetching.TryGetValue((blob, part), out fetching))
            {
                // Others wait for it, too: it ends by its own deadline, not with the first that leaves.
                fetching = Detached.Run(() => ReadAsync(blob, part, length));
                _fetching.Add((blob, part), fetching);
            }
        }

        return fetching.WaitAsync(cancellationToken);
    }

    /// <summary>The client is disposed before: what is under way fails.</summary>
    public void Dispose() => _slots.Dispose();

    private async Task ReadAsync(ContainerdBlob blob, int part, int length)
    {
        try
        {
            await _slots.WaitAsync();
            try
            {
                if (!Parts.Has(blob, part))
                {
                    Parts.Add(blob, part, await client.ReadAsync(blob.Digest, (long)part * BlobParts.PartSize, length, CancellationToken.None));
                }
            }
            finally
            {
                _slots.Release();
            }
        }
        finally
        {
            lock (_lock)
            {
                _fetching.Remove((blob, part));
            }
        }
    }
}
