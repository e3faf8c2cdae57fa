using System.Buffers;
using System.Threading.Channels;
using Grpc.Core;
using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Contracts.ContainerdApi;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Storage.Containerd;

/// <summary>
/// Keeps the cache told of what containerd's content store has: lists it when the connection opens, after events and
/// periodically, and connects again with back-off. While containerd is away its files serve on. Also hashes, one at a
/// time, the contents whose bytes went to peers.
/// </summary>
internal sealed class ContainerdWatcher : BackgroundService
{
    /// <summary>Larger blobs are no manifests.</summary>
    private const int MaxManifestSize = 4 << 20;

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
    private readonly Dictionary<Digest, ExternalBytes> _known = [];
    private readonly PieceCache _cache;
    private readonly ContainerdOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly IntegrityFailures _failures;
    private readonly ContainerdClient _client;
    private readonly BlobFetcher _fetcher;
    private bool _hasSaidUnreadable;

    public ContainerdWatcher(PieceCache cache, IOptions<ContainerdOptions> options, TimeProvider time, ILogger<ContainerdWatcher> log, IntegrityFailures failures)
    {
        _cache = cache;
        _options = options.Value;
        _time = time;
        _log = log;
        _failures = failures;
        _client = new ContainerdClient(_options.Socket, _options.Namespace, time);
        _fetcher = new BlobFetcher(_client, time);
    }

    public override void Dispose()
    {
        base.Dispose();
        _client.Dispose();
        _fetcher.Dispose();
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        _options.Enabled ? Task.WhenAll(ConnectAsync(stoppingToken), CheckServedAsync(stoppingToken)) : Task.CompletedTask;

    private async Task ConnectAsync(CancellationToken cancellationToken)
    {
        var pause = FirstPause;
        var hasSaidAbsent = false;
        while (!cancellationToken.IsCancellationRequested)
        {
            var reason = "the stream of events has ended";
            try
            {
                await FollowAsync(() => (pause, hasSaidAbsent) = (FirstPause, false), cancellationToken);
            }
            catch (Exception exception)
            {
                // Whatever it is: a node that stopped to look would share nothing new, and offer what has gone.
                reason = exception is RpcException { Status: var status } ? $"{status.StatusCode}: {status.Detail}" : exception.Message;
            }

            // A call that was cancelled says so in an exception of its own.
            cancellationToken.ThrowIfCancellationRequested();
            if (!hasSaidAbsent)
            {
                Log.ContainerdAbsent(_log, _options.Socket, reason, LongestPause);
                hasSaidAbsent = true;
            }

            await Task.Delay(pause * (0.75 + (0.5 * _random.NextDouble())), _time, cancellationToken);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    // Until the events end.
    private async Task FollowAsync(Action followed, CancellationToken cancellationToken)
    {
        var root = await _client.FindRootAsync(cancellationToken) ?? throw new IOException("it does not tell the folder of its content store");
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);

        // Events are not repeated: first subscribe, then list.
        using var events = _client.Subscribe(stop.Token);
        var wake = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
        var reading = ReadEventsAsync(events, wake.Writer, stop.Token);
        try
        {
            var areAll = await ResyncAsync(root, cancellationToken);
            followed();
            Log.ContainerdFollowed(_log, root, Count());
            while (true)
            {
                var isWoken = await WaitAsync(wake.Reader, areAll ? _options.ResyncValue : BusyPause, cancellationToken);
                if (reading.IsCompleted)
                {
                    await reading;
                    return;
                }

                if (isWoken)
                {
                    await Task.Delay(Debounce, _time, cancellationToken);
                    wake.Reader.TryRead(out _);
                    await ResyncAsync(root, cancellationToken);
                    await Task.Delay(AfterCollection, _time, cancellationToken);
                }

                areAll = await ResyncAsync(root, cancellationToken);
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
        using var timeout = new CancellationTokenSource(period, _time);
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
    private async Task<bool> ResyncAsync(string root, CancellationToken cancellationToken)
    {
        var listed = await _client.ListAsync(cancellationToken);
        foreach (var (digest, file) in Known())
        {
            if (!listed.ContainsKey(digest) || file.IsStale)
            {
                Forget(digest, file);
            }
            else if (file.IsDistrusted)
            {
                _cache.Detach(digest, file);
            }
        }

        var areAll = true;
        foreach (var (digest, size) in listed)
        {
            cancellationToken.ThrowIfCancellationRequested();
            areAll &= await TryAttachAsync(digest, size, Path.Combine(root, "blobs", digest.Algorithm, digest.Hex), cancellationToken);
        }

        return areAll;
    }

    // False when the cache cannot take it yet.
    private async ValueTask<bool> TryAttachAsync(Digest digest, long size, string path, CancellationToken cancellationToken)
    {
        ExternalBytes? known;
        lock (_lock)
        {
            _known.TryGetValue(digest, out known);
        }

        // What was found wrong stays so until it is listed no more, or changes.
        if (known is { IsDistrusted: true } || (_cache.TryPeek(digest, out var content) && content.IsExternal))
        {
            return true;
        }

        try
        {
            var blob = known is { IsRetired: false } ? known : Find(digest, size, path);
            if (blob is null)
            {
                return true;
            }

            if (!_cache.TryAttach(digest, blob, await MediaTypeAsync(digest, blob, cancellationToken)))
            {
                return false;
            }

            lock (_lock)
            {
                _known[digest] = blob;
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException || (exception is RpcException { StatusCode: var code } && !ContainerdClient.IsAway(code)))
        {
            // It was there a moment ago: the next look finds it gone, or whole.
            Log.BlobUnusable(_log, digest.ToString(), exception.Message);
        }

        return true;
    }

    // Null when the file is not what containerd told a moment ago, or has gone since.
    private ExternalBytes? Find(Digest digest, long size, string path)
    {
        try
        {
            using var file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            return RandomAccess.GetLength(file) == size ? new ExternalFile(path, size) : null;
        }
        catch (FileNotFoundException)
        {
            // Its folder is there: it is not hidden from us.
            return null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            if (!_hasSaidUnreadable)
            {
                _hasSaidUnreadable = true;
                Log.ContainerdUnreadable(_log, exception.Message);
            }

            return new ContainerdBlob(digest, size, _fetcher);
        }
    }

    private async ValueTask<string?> MediaTypeAsync(Digest digest, ExternalBytes blob, CancellationToken cancellationToken)
    {
        if (blob.Size is 0 or > MaxManifestSize)
        {
            return null;
        }

        if (blob is ExternalFile { Path: var path })
        {
            return StartsAsObject(path) ? ManifestMediaType.Detect(new ReadOnlySequence<byte>(await File.ReadAllBytesAsync(path, cancellationToken))) : null;
        }

        using var first = await _client.ReadAsync(digest, 0, 1, cancellationToken);
        if (first.Memory.Span[0] != (byte)'{')
        {
            return null;
        }

        using var all = await _client.ReadAsync(digest, 0, (int)blob.Size, cancellationToken);
        return ManifestMediaType.Detect(new ReadOnlySequence<byte>(all.Memory));
    }

    private static bool StartsAsObject(string path)
    {
        using var file = File.OpenHandle(path);
        Span<byte> first = stackalloc byte[1];
        return RandomAccess.Read(file, first, 0) == 1 && first[0] == (byte)'{';
    }

    private void Forget(Digest digest, ExternalBytes file)
    {
        lock (_lock)
        {
            _known.Remove(digest);
        }

        _cache.Detach(digest, file);
    }

    private int Count()
    {
        lock (_lock)
        {
            return _known.Count;
        }
    }

    private KeyValuePair<Digest, ExternalBytes>[] Known()
    {
        lock (_lock)
        {
            return [.. _known];
        }
    }

    private async Task CheckServedAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            await Task.Delay(CheckPeriod, _time, cancellationToken);
            foreach (var (digest, file) in Known().Where(known => known.Value.IsToBeChecked(_time)))
            {
                await CheckAsync(digest, file, cancellationToken);
            }
        }
    }

    // containerd has checked the bytes when it got them, not since.
    private async Task CheckAsync(Digest digest, ExternalBytes file, CancellationToken cancellationToken)
    {
        try
        {
            var doubts = file.Doubts;
            using var hash = digest.CreateHash();
            await file.HashAsync(hash, cancellationToken);
            if (!digest.Matches(hash))
            {
                file.Distrust();
                _cache.Detach(digest, file);
                _failures.Add(WrongBytes.Containerd);
                Log.ContainerdCorrupt(_log, digest.ToString());
            }

            file.MarkChecked(doubts, _time);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Forget(digest, file);
            Log.ExternalLost(_log, digest.ToString(), exception.Message);
        }
        catch (Exception exception)
        {
            cancellationToken.ThrowIfCancellationRequested();

            // containerd is away, as a rule. One content must not end the checks of the others.
            file.Postpone(_time);
            Log.BlobUnusable(_log, digest.ToString(), exception.Message);
        }
    }
}
