using System.Diagnostics;
using System.Threading.Channels;
using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Ring;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Swarm;

/// <summary>What a download tells and hears through its <see cref="OwnerLink"/>.</summary>
internal interface IOwnerLinkUser
{
    /// <summary>The span of asking one member until it answers; null when nobody traces it.</summary>
    Activity? BeginAsking();

    /// <summary>The first message of a new session.</summary>
    Want CreateWant();

    /// <summary>The member says something. True when the message is kept: else what another member said is emptied.</summary>
    bool Pushed(LookupResponse push);

    /// <summary>Neither owner nor replica answers; both are tried again while this lasts.</summary>
    void OwnerLost();
}

/// <summary>
/// The Lookup session of one download: with the content's owner, with its replica when the owner is silent, and again
/// with the owner when the ring changes. Owned by the download.
/// </summary>
internal sealed partial class OwnerLink : IAsyncDisposable
{
    private const int QueuedReports = 1024;

    /// <summary>An owner that has not said a word after this long is taken for dead.</summary>
    internal static readonly TimeSpan FirstPushTimeout = TimeSpan.FromSeconds(3);

    /// <summary>A connection that fails only after this long leads to a machine that is gone: it would fail as slowly again.</summary>
    private static readonly TimeSpan SlowFailure = TimeSpan.FromSeconds(1);

    /// <summary>For so long after a ring change the former owner hears all the same: it should know of the change before somebody leaves who reads.</summary>
    internal static readonly TimeSpan Lingering = TimeSpan.FromMilliseconds(100);

    internal static readonly TimeSpan RetryPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LeaveTimeout = TimeSpan.FromSeconds(1);

    /// <summary>A former owner that does not take leave for so long is left without.</summary>
    internal static readonly TimeSpan MoveTimeout = TimeSpan.FromMilliseconds(300);

    private readonly Digest _digest;
    private readonly IOwnerLinkUser _user;
    private readonly RingSource _rings;
    private readonly NodeIdentity _self;
    private readonly PeerConnections _peers;
    private readonly ILookupHandler _local;
    private readonly MeshDrain _drain;
    private readonly LookupMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _running;
    private volatile string _partner = string.Empty;
    private volatile bool _isTalking;
    private volatile bool _isMoving;

    // A report that does not fit is not lost for the directory: the announcement of its pieces follows.
    private readonly Channel<LookupRequest> _reports = Channel.CreateBounded<LookupRequest>(new BoundedChannelOptions(QueuedReports) { FullMode = BoundedChannelFullMode.DropWrite });

    public OwnerLink(
        Digest digest, IOwnerLinkUser user, RingSource rings, NodeIdentity self, PeerConnections peers, ILookupHandler local, MeshDrain drain, LookupMetrics metrics, TimeProvider time, ILogger logger)
    {
        _digest = digest;
        _user = user;
        _rings = rings;
        _self = self;
        _peers = peers;
        _local = local;
        _drain = drain;
        _metrics = metrics;
        _time = time;
        _logger = logger;
        _running = Detached.Run(() => RunAsync(_stop.Token));
    }

    /// <summary>The member that it talks with, or did last; empty when none.</summary>
    public string Partner => _partner;

    /// <summary>Asks again: something in what is wanted has changed.</summary>
    public void AskAgain(Want want) => _reports.Writer.TryWrite(new LookupRequest { Want = want });

    public void Report(GrantReport report) => _reports.Writer.TryWrite(new LookupRequest { Report = report });

    /// <summary>Ends the session after all reports were sent: an owner that misses one would grant the same segment again.</summary>
    public async ValueTask DisposeAsync()
    {
        _reports.Writer.TryComplete();
        if (_isTalking)
        {
            _stop.CancelAfter(LeaveTimeout);
        }
        else
        {
            await _stop.CancelAsync();
        }

        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    private async Task RunAsync(CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            if (_drain.HasLeft)
            {
                // What is under way here comes to its end without an owner: from peers, or from the origin.
                _user.OwnerLost();
                await Task.Delay(RetryPause, _time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                continue;
            }

            var responsible = Responsible(_rings.Current);
            var vocal = Vocal(responsible);
            var hasMoved = false;
            var isAskedAnew = false;
            for (var i = 0; i < vocal.Length; i += isAskedAnew ? 0 : 1)
            {
                var node = vocal[i];
                var peer = _peers.Find(node);
                isAskedAnew = await TalkAsync(node, peer, responsible[0], cancellationToken) && !isAskedAnew;
                _isTalking = false;
                if (cancellationToken.IsCancellationRequested || _reports.Reader.Completion.IsCompleted)
                {
                    return;
                }

                // The ring may name the same one again by now; a member that was off the list for a moment has new connections.
                if (_isMoving || Responsible(_rings.Current).FirstOrDefault() != responsible[0] || (peer is not null && _peers.Find(node) is { } current && current != peer))
                {
                    hasMoved = true;
                    break;
                }
            }

            if (hasMoved)
            {
                continue;
            }

            _user.OwnerLost();
            await Task.Delay(RetryPause, _time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private string[] Responsible(HashRing ring)
    {
        Span<int> indexes = stackalloc int[ProtocolConstants.Replicas];
        var count = ring.FindResponsible(_digest, indexes);
        var names = new string[count];
        for (var i = 0; i < count; i++)
        {
            names[i] = ring[indexes[i]].Name;
        }

        return names;
    }

    /// <summary>Without those that were silent a moment ago, unless all of them were.</summary>
    private string[] Vocal(string[] responsible)
    {
        var vocal = Array.FindAll(responsible, node => _peers.Find(node) is not { IsSilent: true });
        return vocal.Length > 0 ? vocal : responsible;
    }

    /// <summary>
    /// Talks with one member until it fails, or until the ring names another owner. True when the member has answered and then ended the
    /// session without a word: it goes on, and only the connection had to go.
    /// </summary>
    private async Task<bool> TalkAsync(string node, Mesh.Peer? peer, string owner, CancellationToken cancellationToken)
    {
        var started = _time.GetTimestamp();
        var isAnswered = false;
        var isEnded = false;
        _partner = node;
        _isMoving = false;
        var asking = _user.BeginAsking()?.SetTag(Traces.Peer, node);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _drain.Current.Leaving);
        using var moving = CancellationTokenSource.CreateLinkedTokenSource(ended.Token);
        var watching = WatchRingAsync(owner, moving, ended);
        try
        {
            if (node == _self.Name)
            {
                await TalkLocallyAsync(Answered, moving.Token, ended.Token);
            }
            else if (peer is not null)
            {
                isEnded = await TalkRemotelyAsync(peer, asking, Answered, moving.Token, ended.Token);
            }
        }
        catch (Exception e)
        {
            // Whatever it was: without a link there must be a word of it, and another attempt.
            if (!moving.IsCancellationRequested && !_reports.Reader.Completion.IsCompleted)
            {
                if (!isAnswered)
                {
                    _metrics.Failed();
                }

                Log.LookupBroken(_logger, _digest, node, e is RpcException rpc ? rpc.Status.Detail : e.Message);
            }
        }
        finally
        {
            await ended.CancelAsync();
            await watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!isAnswered)
            {
                asking?.SetTag(Traces.Outcome, "failed");
                Traces.End(asking);
            }
        }

        return isAnswered && isEnded;

        bool Answered(LookupResponse push)
        {
            if (!isAnswered)
            {
                isAnswered = true;
                _metrics.Answered(push, _time.GetElapsedTime(started));
                asking?.SetTag(Traces.Outcome, LookupMetrics.LabelOf(push));
                Traces.End(asking);
            }

            return _user.Pushed(push);
        }
    }

    private async Task WatchRingAsync(string owner, CancellationTokenSource moving, CancellationTokenSource ended)
    {
        await foreach (var ring in _rings.WatchAsync(ended.Token))
        {
            if (Responsible(ring).FirstOrDefault() == owner)
            {
                continue;
            }

            await Task.Delay(Lingering, _time, ended.Token);
            if (Responsible(_rings.Current).FirstOrDefault() != owner)
            {
                _isMoving = true;
                await moving.CancelAsync();
                await Task.Delay(MoveTimeout, _time, ended.Token);
                await ended.CancelAsync();
                return;
            }
        }
    }

    private async Task TalkLocallyAsync(Func<LookupResponse, bool> pushed, CancellationToken moving, CancellationToken cancellationToken)
    {
        using var session = _local.Open(_user.CreateWant());
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        _isTalking = true;
        var reporting = ReportAsync(
            report =>
            {
                session.Apply(report);
                return Task.CompletedTask;
            },
            ended.CancelAsync,
            moving,
            ended.Token);
        try
        {
            while (true)
            {
                pushed(await session.NextAsync(ended.Token));
            }
        }
        finally
        {
            await ended.CancelAsync();
            await reporting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>True when the member ended the session without saying that it leaves.</summary>
    private async Task<bool> TalkRemotelyAsync(Mesh.Peer peer, Activity? asking, Func<LookupResponse, bool> pushed, CancellationToken moving, CancellationToken cancellationToken)
    {
        using var mute = new CancellationTokenSource(FirstPushTimeout, _time);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, mute.Token);
        using var call = peer.Lookup(ended.Token);
        var start = _time.GetTimestamp();
        var isVocal = false;
        var reporting = Task.CompletedTask;
        try
        {
            var want = _user.CreateWant();
            want.Traceparent = Traces.TraceparentOf(asking);
            await call.RequestStream.SendAsync(new LookupRequest { Want = want }, ended.Token);

            // It hears, whether it answers or not: a small content may be here before it has said anything.
            _isTalking = true;
            reporting = ReportAsync(report => call.RequestStream.SendAsync(report, ended.Token), call.RequestStream.CompleteAsync, moving, ended.Token);
            while (await call.ResponseStream.MoveNext(ended.Token))
            {
                mute.CancelAfter(Timeout.InfiniteTimeSpan);
                (isVocal, peer.IsSilent) = (true, false);
                if (call.ResponseStream.Current.Leaving)
                {
                    return false;
                }

                if (!pushed(call.ResponseStream.Current))
                {
                    Forget(call.ResponseStream.Current);
                }
            }

            return true;
        }
        catch (Exception) when (!isVocal && !cancellationToken.IsCancellationRequested)
        {
            // Not reached, or reached and mute: a process that hangs takes connections all the same.
            peer.IsSilent = mute.IsCancellationRequested || _time.GetElapsedTime(start) > SlowFailure;
            throw;
        }
        finally
        {
            await ended.CancelAsync();
            await reporting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>What was heard is not kept until the next push comes, which may never be.</summary>
    internal static void Forget(LookupResponse push)
    {
        push.MediaType = string.Empty;
        push.Tag = null;
        push.Holders.Clear();
        push.Gone.Clear();
        push.Granted.Clear();
        push.Revoked.Clear();
        push.Reclaimed.Clear();
        push.Assigned.Clear();
        push.Checksums.Clear();
        push.StartupOrder.Clear();
    }

    private async Task ReportAsync(Func<LookupRequest, Task> send, Func<Task> complete, CancellationToken moving, CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(moving, cancellationToken);
        try
        {
            await foreach (var report in _reports.Reader.ReadAllAsync(either.Token))
            {
                await send(report);
            }
        }
        catch (OperationCanceledException) when (moving.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            await send(new LookupRequest { Report = new GrantReport { Moving = true } });
        }

        await complete();
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "Looking up {Digest} at {Node} was interrupted: {Reason}")]
        public static partial void LookupBroken(ILogger logger, Digest digest, string node, string reason);
    }
}
