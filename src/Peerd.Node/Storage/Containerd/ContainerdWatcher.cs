using System.Buffers;
using System.Threading.Channels;
using Grpc.Core;
using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Contracts.ContainerdApi;

namespace Peerd.Node.Storage.Containerd;

/// <summary>
/// Keeps the cache told of what containerd's content store has: lists it when the connection opens, after events and
/// periodically, and connects again with back-off. While containerd is away its files serve on. Also hashes, one at a
/// time, the files whose bytes went to peers.
/// </summary>
internal sealed class ContainerdWatcher(PieceCache cache, IOptions<ContainerdOptions> options, TimeProvider time, ILogger<ContainerdWatcher> log) : BackgroundService
{
    private const int HashBlock = 1 << 20;

    private static readonly TimeSpan Debounce = TimeSpan.FromMilliseconds(300);

    // Garbage collection tells no event; it ends about a second after the image was deleted.
    private static readonly TimeSpan AfterCollection = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan BusyPause = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan CheckPeriod = TimeSpan.FromSeconds(1);

    // Nodes of one machine image must not knock in step.
    private readonly Random _random = new(Environment.ProcessId);
    private readonly Lock _lock = new();
    private readonly Dictionary<Digest, ExternalFile> _files = [];

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        options.Value.Enabled ? Task.WhenAll(ConnectAsync(stoppingToken), CheckServedAsync(stoppingToken)) : Task.CompletedTask;

    private async Task ConnectAsync(CancellationToken cancellationToken)
    {
        var pause = FirstPause;
        var hasSaidAbsent = false;
        while (!cancellationToken.IsCancellationRequested)
        {
            var reason = "the stream of events has ended";
            try
            {
                using var client = new ContainerdClient(options.Value.Socket, options.Value.Namespace, time);
                await FollowAsync(client, () => (pause, hasSaidAbsent) = (FirstPause, false), cancellationToken);
            }
            catch (Exception exception) when (exception is RpcException or IOException or UnauthorizedAccessException or HttpRequestException)
            {
                reason = exception is RpcException { Status: var status } ? $"{status.StatusCode}: {status.Detail}" : exception.Message;
            }

            cancellationToken.ThrowIfCancellationRequested();
            if (!hasSaidAbsent)
            {
                Log.ContainerdAbsent(log, options.Value.Socket, reason, LongestPause);
                hasSaidAbsent = true;
            }

            await Task.Delay(pause * (0.75 + (0.5 * _random.NextDouble())), time, cancellationToken);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    // Until the events end.
    private async Task FollowAsync(ContainerdClient client, Action followed, CancellationToken cancellationToken)
    {
        var root = await client.FindRootAsync(cancellationToken) ?? throw new IOException("it does not tell the folder of its content store");
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);

        // Events are not repeated: first subscribe, then list.
        using var events = client.Subscribe(stop.Token);
        var wake = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
        var reading = ReadEventsAsync(events, wake.Writer, stop.Token);
        try
        {
            var areAll = await ResyncAsync(client, root, cancellationToken);
            followed();
            Log.ContainerdFollowed(log, root, Count());
            while (true)
            {
                var isWoken = await WaitAsync(wake.Reader, areAll ? options.Value.ResyncValue : BusyPause, cancellationToken);
                if (reading.IsCompleted)
                {
                    await reading;
                    return;
                }

                if (isWoken)
                {
                    await Task.Delay(Debounce, time, cancellationToken);
                    wake.Reader.TryRead(out _);
                    await ResyncAsync(client, root, cancellationToken);
                    await Task.Delay(AfterCollection, time, cancellationToken);
                }

                areAll = await ResyncAsync(client, root, cancellationToken);
            }
        }
        finally
        {
            await stop.CancelAsync();
            await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private static async Task ReadEventsAsync(AsyncServerStreamingCall<EventEnvelope> events, ChannelWriter<bool> wake, CancellationToken cancellationToken)
    {
        try
        {
            while (await events.ResponseStream.MoveNext(cancellationToken))
            {
                wake.TryWrite(true);
            }
        }
        finally
        {
            wake.TryComplete();
        }
    }

    // True when an event came or the events have ended.
    private async Task<bool> WaitAsync(ChannelReader<bool> wake, TimeSpan period, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(period, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            await wake.WaitToReadAsync(either.Token);
            return true;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return false;
        }
    }

    // False when the cache could not take one yet.
    private async Task<bool> ResyncAsync(ContainerdClient client, string root, CancellationToken cancellationToken)
    {
        var listed = await client.ListAsync(cancellationToken);
        foreach (var (digest, file) in Known())
        {
            if (!listed.ContainsKey(digest) || HasChanged(file))
            {
                Forget(digest, file);
            }
            else if (file.IsDistrusted)
            {
                cache.Detach(digest, file);
            }
        }

        var areAll = true;
        foreach (var (digest, size) in listed)
        {
            cancellationToken.ThrowIfCancellationRequested();
            areAll &= TryAttach(digest, size, Path.Combine(root, "blobs", digest.Algorithm, digest.Hex));
        }

        return areAll;
    }

    private bool TryAttach(Digest digest, long size, string path)
    {
        ExternalFile? file;
        lock (_lock)
        {
            _files.TryGetValue(digest, out file);
        }

        if (file is { IsDistrusted: true })
        {
            return true;
        }

        try
        {
            file ??= new FileInfo(path) is { Exists: true } found && found.Length == size ? new ExternalFile(path, size) : null;
            if (file is null || (cache.TryPeek(digest, out var content) && content.IsExternal))
            {
                return true;
            }

            if (!cache.TryAttach(digest, file, MediaTypeOf(path, size)))
            {
                return false;
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Log.EntryUnusable(log, path, exception.Message);
            return true;
        }

        lock (_lock)
        {
            _files[digest] = file;
        }

        return true;
    }

    private static string? MediaTypeOf(string path, long size) => size <= ManifestType.MaxSize && StartsAsObject(path) ? ManifestType.Of(File.ReadAllBytes(path)) : null;

    private static bool StartsAsObject(string path)
    {
        using var file = File.OpenHandle(path);
        Span<byte> first = stackalloc byte[1];
        return RandomAccess.Read(file, first, 0) == 1 && first[0] == (byte)'{';
    }

    private static bool HasChanged(ExternalFile file) => !File.Exists(file.Path) || File.GetLastWriteTimeUtc(file.Path) != file.Written;

    private void Forget(Digest digest, ExternalFile file)
    {
        lock (_lock)
        {
            _files.Remove(digest);
        }

        cache.Detach(digest, file);
    }

    private int Count()
    {
        lock (_lock)
        {
            return _files.Count;
        }
    }

    private KeyValuePair<Digest, ExternalFile>[] Known()
    {
        lock (_lock)
        {
            return [.. _files];
        }
    }

    private async Task CheckServedAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            await Task.Delay(CheckPeriod, time, cancellationToken);
            foreach (var (digest, file) in Known().Where(known => known.Value is { IsServed: true, IsChecked: false, IsDistrusted: false }))
            {
                await CheckAsync(digest, file, cancellationToken);
            }
        }
    }

    // containerd has checked the bytes when it got them, not since.
    private async Task CheckAsync(Digest digest, ExternalFile file, CancellationToken cancellationToken)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(HashBlock);
        try
        {
            using var hash = digest.CreateHash();
            using var handle = File.OpenHandle(file.Path, options: FileOptions.Asynchronous);
            for (var offset = 0L; await RandomAccess.ReadAsync(handle, buffer, offset, cancellationToken) is > 0 and var read; offset += read)
            {
                hash.AppendData(buffer, 0, read);
            }

            if (!digest.Matches(hash))
            {
                file.Distrust();
                cache.Detach(digest, file);
                Log.ContainerdCorrupt(log, digest.ToString());
            }

            file.IsChecked = true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Forget(digest, file);
            Log.ExternalLost(log, digest.ToString(), exception.Message);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
