using System.Threading.Channels;
using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;

namespace Peerd.Node.Directory;

/// <summary>
/// Keeps one member informed of what this node holds for it: over an Announce stream that is opened again with a
/// growing pause when it breaks, or straight into the directory when the member is this node itself.
/// </summary>
internal sealed partial class AnnounceTarget : IAsyncDisposable
{
    private const int UnacknowledgedBatches = 16;
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan LeaveTimeout = TimeSpan.FromSeconds(1);

    private readonly string _name;
    private readonly NodeIdentity _self;
    private readonly PeerConnections _peers;
    private readonly HolderDirectory _directory;
    private readonly Func<string, Digest, HeldContent?> _held;
    private readonly Func<string, IEnumerable<TagKey>> _tagsOf;
    private readonly Func<TagKey, TagPointer?> _describe;
    private readonly Action<Digest> _discard;
    private readonly TimeProvider _time;
    private readonly ILogger<AnnounceTarget> _logger;
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _running;
    private readonly Channel<bool> _signal = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly HashSet<Digest> _all = [];
    private readonly HashSet<Digest> _mismatched = [];
    private readonly HashSet<TagKey> _tags = [];
    private readonly HashSet<Digest> _repeated = [];
    private HashSet<Digest> _changed = [];
    private bool _hasSpoken;

    public AnnounceTarget(
        string name,
        NodeIdentity self,
        PeerConnections peers,
        HolderDirectory directory,
        Func<string, Digest, HeldContent?> held,
        Func<string, IEnumerable<TagKey>> tagsOf,
        Func<TagKey, TagPointer?> describe,
        Action<Digest> discard,
        TimeProvider time,
        ILogger<AnnounceTarget> logger)
    {
        _tagsOf = tagsOf;
        _describe = describe;
        _discard = discard;
        _name = name;
        _self = self;
        _peers = peers;
        _directory = directory;
        _held = held;
        _time = time;
        _logger = logger;
        _running = Task.Run(() => RunAsync(_stop.Token));
    }

    /// <summary>Contents that this member was told of; a copy.</summary>
    public IReadOnlyCollection<Digest> Said
    {
        get
        {
            lock (_lock)
            {
                return [.. _all];
            }
        }
    }

    /// <summary>What is held of these contents, or who is responsible for them, may have changed.</summary>
    public void Changed(IEnumerable<Digest> digests)
    {
        lock (_lock)
        {
            _changed.UnionWith(digests);
            _all.UnionWith(_changed);
        }

        _signal.Writer.TryWrite(true);
    }

    /// <summary>This content was here as a whole, and did not match its digest.</summary>
    public void Mismatched(Digest digest)
    {
        lock (_lock)
        {
            _mismatched.Add(digest);
        }

        _signal.Writer.TryWrite(true);
    }

    /// <summary>This node has resolved these tags, for which the member is responsible.</summary>
    public void Resolved(IEnumerable<TagKey> tags)
    {
        lock (_lock)
        {
            AddTags(tags);
        }

        _signal.Writer.TryWrite(true);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    private async Task RunAsync(CancellationToken cancellationToken)
    {
        var pause = FirstPause;
        while (!cancellationToken.IsCancellationRequested)
        {
            try
            {
                if (_name == _self.Name)
                {
                    await AnnounceLocallyAsync(cancellationToken);
                }
                else if (_peers.Find(_name) is { } peer)
                {
                    await AnnounceAsync(peer, () => pause = FirstPause, cancellationToken);
                }
            }
            catch (Exception) when (cancellationToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e) when (e is RpcException or IOException or OperationCanceledException or InvalidOperationException)
            {
                Log.StreamBroken(_logger, _name, e is RpcException rpc ? rpc.Status.Detail : e.Message);
            }
            catch (Exception e)
            {
                // Whatever it is: a member that is told nothing more leads others past this node.
                Log.Failed(_logger, _name, e);
            }

            await Task.Delay(pause, _time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    private async Task AnnounceLocallyAsync(CancellationToken cancellationToken)
    {
        using var lease = _directory.OpenLease(Member()) ?? throw new InvalidOperationException("a newer process of this node has announced already");
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var discarding = DiscardAsync(lease, ended.Token);
        try
        {
            await SayAsync(
                batch =>
                {
                    lease.Apply(batch);
                    return Task.CompletedTask;
                },
                cancellationToken);
        }
        finally
        {
            await ended.CancelAsync();
            await discarding.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task DiscardAsync(HolderDirectory.Lease lease, CancellationToken cancellationToken)
    {
        while (true)
        {
            Discard(await lease.NextDiscardAsync(cancellationToken));
        }
    }

    /// <summary>The member says that some of what is here of a content is wrong.</summary>
    private void Discard(Digest digest)
    {
        if (_held(_name, digest) is null)
        {
            // It is not responsible for it, so that nobody can have told it, or nothing is here.
            return;
        }

        _discard(digest);
        lock (_lock)
        {
            // It has forgotten who holds a part. Not all of those drop that.
            _repeated.Add(digest);
        }

        Changed([digest]);
    }

    private async Task AnnounceAsync(Mesh.Peer peer, Action connected, CancellationToken cancellationToken)
    {
        using var ended = new CancellationTokenSource();
        using var call = peer.Announce(ended.Token);
        using var window = new SemaphoreSlim(UnacknowledgedBatches);
        var isOpen = false;
        var acknowledged = 0UL;
        var saying = SayAndLeaveAsync(call.RequestStream, window, ended, cancellationToken);
        try
        {
            while (await call.ResponseStream.MoveNext(ended.Token))
            {
                var response = call.ResponseStream.Current;
                if (response.Leaving)
                {
                    // Whoever comes after it hears everything.
                    connected();
                    break;
                }

                if (response.Acknowledged > acknowledged)
                {
                    acknowledged++;
                    window.Release();
                }

                foreach (var discarded in response.Discarded)
                {
                    if (Digest.TryParseScoped(discarded, out var digest))
                    {
                        Discard(digest);
                    }
                }

                // The next one may be long in coming.
                response.Discarded.Clear();

                if (!isOpen)
                {
                    isOpen = true;
                    peer.ControlStream(open: true);
                    connected();
                }
            }
        }
        catch when (ended.IsCancellationRequested)
        {
            // What could not be said has ended the stream, and tells why.
            await saying;
            throw;
        }
        finally
        {
            await ended.CancelAsync();
            await saying.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (isOpen)
            {
                peer.ControlStream(open: false);
            }
        }

        throw new InvalidOperationException("the member closed the stream");
    }

    private async Task SayAndLeaveAsync(IClientStreamWriter<AnnounceRequest> requests, SemaphoreSlim window, CancellationTokenSource ended, CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ended.Token, cancellationToken);
        try
        {
            await SayAsync(
                async batch =>
                {
                    // A member that does not acknowledge is not sent more and more.
                    await window.WaitAsync(either.Token);
                    await requests.SendAsync(batch, ended.Token);
                },
                either.Token);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested && !ended.IsCancellationRequested)
        {
            // Ending the stream in an orderly way withdraws everything at once.
            ended.CancelAfter(LeaveTimeout);
            await requests.CompleteAsync();
        }
        catch
        {
            await ended.CancelAsync();
            throw;
        }
    }

    /// <summary>Everything first, then what changes, until cancelled.</summary>
    private async Task SayAsync(Func<AnnounceRequest, Task> send, CancellationToken cancellationToken)
    {
        AnnouncementLog log;
        var sequence = 0UL;
        var synchronized = false;
        lock (_lock)
        {
            _changed = [.. _all];
            log = new AnnouncementLog(_hasSpoken ? new HashSet<Digest>(_changed) : []);
            _hasSpoken = true;
            // The member may have been started anew.
            AddTags(_tagsOf(_name));
        }

        while (true)
        {
            HashSet<Digest> changed;
            lock (_lock)
            {
                changed = _changed;
                _changed = [];
                foreach (var digest in _repeated)
                {
                    log.Repeat(digest);
                }

                _repeated.Clear();
            }

            foreach (var batch in log.Batches(changed, digest => _held(_name, digest)))
            {
                await SendAsync(batch);
            }

            if (TakeMismatched() is { Count: > 0 } mismatched)
            {
                await SendAsync(new AnnounceRequest { Mismatched = { mismatched.Select(digest => digest.ToString()) } });
            }

            foreach (var some in TakeTags().Chunk(TagDirectory.MaxInMessage))
            {
                await SendAsync(new AnnounceRequest { Tags = { some } });
            }

            if (!synchronized)
            {
                synchronized = true;
                await SendAsync(new AnnounceRequest { Synchronized = true });
            }

            lock (_lock)
            {
                _all.Clear();
                _all.UnionWith(log.Said);
                _all.UnionWith(_changed);
            }

            await _signal.Reader.ReadAsync(cancellationToken);
        }

        Task SendAsync(AnnounceRequest batch)
        {
            batch.Sequence = ++sequence;
            batch.Member = sequence == 1 ? Member() : null;
            return send(batch);
        }
    }

    private void AddTags(IEnumerable<TagKey> tags)
    {
        foreach (var tag in tags)
        {
            if (_tags.Count < TagDirectory.MaxTags)
            {
                _tags.Add(tag);
            }
        }
    }

    private List<TagPointer> TakeTags()
    {
        lock (_lock)
        {
            var pointers = _tags.Select(_describe).OfType<TagPointer>().ToList();
            _tags.Clear();
            return pointers;
        }
    }

    private List<Digest> TakeMismatched()
    {
        lock (_lock)
        {
            var mismatched = _mismatched.ToList();
            _mismatched.Clear();
            return mismatched;
        }
    }

    private Contracts.V1.Member Member() => new() { Node = _self.Name, Incarnation = _self.Incarnation };

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Debug, "Announcing to {Node} was interrupted: {Reason}")]
        public static partial void StreamBroken(ILogger logger, string node, string reason);

        [LoggerMessage(2, LogLevel.Warning, "Announcing to {Node} failed, and begins anew")]
        public static partial void Failed(ILogger logger, string node, Exception exception);
    }
}
