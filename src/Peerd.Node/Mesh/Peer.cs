using System.Collections.Concurrent;
using Grpc.Core;
using Grpc.Health.V1;
using Grpc.Net.Client;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Limits;
using Peerd.Node.Membership;
using Peerd.Node.Mesh.Tls;
using Peerd.Node.Telemetry;
using Polly;
using Polly.CircuitBreaker;
using Member = Peerd.Node.Membership.Member;

namespace Peerd.Node.Mesh;

/// <summary>
/// The connections to one other member: one for control (Announce, Lookup), one for data (FetchRange), so that small
/// answers never wait behind bulk. Connects when first used, and keeps little until then: most members of a large mesh never
/// have to do with each other. Thread-safe.
/// </summary>
internal sealed class Peer : IDisposable
{
    private const int PooledStreams = 32;

    private static readonly TimeSpan SilenceMemory = TimeSpan.FromSeconds(10);

    private readonly Lock _opening = new();
    private readonly MeshOptions _options;
    private readonly MeshTls _tls;
    private readonly ConcurrentStack<RangeStream> _streams = new();
    private readonly ConcurrentStack<RangeLane> _lanes = new();
    private readonly Metadata _headers;
    private readonly PeerTraffic.Counters _traffic;
    private readonly MeshMetrics _metrics;
    private readonly RangeLimits _limits;
    private readonly PeerSockets _sockets = new();
    private readonly PeerLoad _load;
    private readonly PeerEjection _ejection;
    private readonly PeerSilence _silence;
    private readonly TimeProvider _time;
    private GrpcChannel? _control;
    private GrpcChannel? _data;
    private ResiliencePipeline<RangeOutcome>? _breaker;
    private int _controlStreams;
    private long _silentUntil;
    private volatile bool _isRetired;

    public Peer(Member member, string self, MeshOptions options, PeerTraffic.Counters traffic, MeshMetrics metrics, MeshTls tls, TimeProvider time, ByteRate? download = null)
    {
        Member = member;
        _headers = new Metadata { { PeerServer.NodeHeader, self } };
        _traffic = traffic;
        _metrics = metrics;
        _time = time;
        _ejection = new PeerEjection(time);
        _silence = new PeerSilence(time);
        _limits = new RangeLimits(options.IdleTimeoutValue, options.RangeDeadlineValue, download);
        _load = new PeerLoad(() => _sockets.ReceivedBytes);
        _options = options;
        _tls = tls;
    }

    public Member Member { get; }

    /// <summary>An Announce stream to it is open.</summary>
    public bool IsConnected => Volatile.Read(ref _controlStreams) > 0;

    public PeerTraffic.Counters Traffic => _traffic;

    public AsyncDuplexStreamingCall<AnnounceRequest, AnnounceResponse> Announce(CancellationToken cancellationToken) =>
        Open(ref _control).CreateCallInvoker().AsyncDuplexStreamingCall(PeerMethods.Announce, host: null, new CallOptions(_headers, cancellationToken: cancellationToken));

    public AsyncDuplexStreamingCall<LookupRequest, LookupResponse> Lookup(CancellationToken cancellationToken) =>
        Open(ref _control).CreateCallInvoker().AsyncDuplexStreamingCall(PeerMethods.Lookup, host: null, new CallOptions(_headers, cancellationToken: cancellationToken));

    /// <summary>It answers, and says that it serves: by the service of health, which every node has.</summary>
    public async Task<bool> ServesAsync(TimeSpan within, CancellationToken cancellationToken)
    {
        try
        {
            var answer = await new Health.HealthClient(Open(ref _control).CreateCallInvoker()).CheckAsync(
                new HealthCheckRequest(), new CallOptions(_headers, _time.GetUtcNow().UtcDateTime + within, cancellationToken));
            return answer.Status == HealthCheckResponse.Types.ServingStatus.Serving;
        }
        catch (RpcException e) when (e.StatusCode == StatusCode.ResourceExhausted)
        {
            // It is asked too often, by whomever.
            return true;
        }
        catch (Exception e) when (e is RpcException or ObjectDisposedException or InvalidOperationException)
        {
            // It does not answer, or is no member any more.
            return false;
        }
    }

    /// <summary>Records that a control stream has been answered (true) or has ended (false).</summary>
    public void ControlStream(bool open) => Interlocked.Add(ref _controlStreams, open ? 1 : -1);

    /// <summary>It could not be reached a moment ago, or said nothing, and it took long to find out: asking again costs the same wait, for each content anew.</summary>
    public bool IsSilent
    {
        get => _time.GetTimestamp() < Volatile.Read(ref _silentUntil);
        set => Volatile.Write(ref _silentUntil, value ? _time.GetTimestamp() + (long)(SilenceMemory.TotalSeconds * _time.TimestampFrequency) : 0);
    }

    /// <summary>It sent wrong bytes of a content.</summary>
    /// <param name="content">The content.</param>
    /// <param name="isProven">Nobody else can have been the one who lied.</param>
    public void Blame(Digest content, bool isProven)
    {
        if (_ejection.Corrupt(content, isProven))
        {
            _metrics.Ejected();
        }
    }

    /// <summary>It was right where it contradicted what others said of the content.</summary>
    public void Pardon(Digest content) => _ejection.Pardon(content);

    /// <summary>It sent wrong bytes a short time ago, and is not asked for any.</summary>
    public bool IsEjected => _ejection.IsEjected;

    /// <summary>Reads a range. Never throws for what the peer or the network does.</summary>
    public async Task<RangeOutcome> FetchAsync(RangeRequest request, IRangeSink sink, CancellationToken cancellationToken)
    {
        if (_ejection.IsEjected)
        {
            return RangeOutcome.Failed("it sent wrong bytes, and is left alone for a while");
        }

        if (!_silence.MayAsk())
        {
            return RangeOutcome.Failed("it said nothing again and again, and is left alone for a while");
        }

        try
        {
            return await Breaker.ExecuteAsync(
                static async (state, cancellation) => await state.Peer.FetchAtOnceAsync(state.Request, state.Sink, cancellation), (Peer: this, Request: request, Sink: sink), cancellationToken);
        }
        catch (BrokenCircuitException)
        {
            return RangeOutcome.Failed("it failed again and again, and is left alone for a while");
        }
    }

    private ResiliencePipeline<RangeOutcome> Breaker =>
        Volatile.Read(ref _breaker) ?? Interlocked.CompareExchange(ref _breaker, PeerBreaker.Create(_time), null) ?? _breaker;

    private async Task<RangeOutcome> FetchAtOnceAsync(RangeRequest request, IRangeSink sink, CancellationToken cancellationToken)
    {
        var counting = new CountingSink(sink, _traffic, _metrics);
        var started = _time.GetTimestamp();
        var received = _load.ReceivedBytes;
        var reused = WakeStream();
        var outcome = await FetchAsync(reused ?? OpenStream(), request, counting, cancellationToken);
        if (reused is { BrokeAtOnce: true })
        {
            // The peer was restarted, and all streams to its former process have died with this one.
            while (_streams.TryPop(out var dead))
            {
                Discard(dead);
            }

            outcome = await FetchAsync(OpenStream(), request, counting, cancellationToken);
        }

        _silence.Ended(started, hasSpoken: outcome.Kind is not (RangeOutcomeKind.Failed or RangeOutcomeKind.Cancelled) || _load.ReceivedBytes != received);
        _metrics.RangeFetched(outcome.Kind, _time.GetElapsedTime(started));
        if (outcome.Kind is RangeOutcomeKind.Failed or RangeOutcomeKind.Corrupt)
        {
            Interlocked.Increment(ref _traffic.Failures);
        }

        if (outcome.Kind == RangeOutcomeKind.Corrupt)
        {
            Blame(request.Digest, isProven: !outcome.IsContradicted);
        }

        return outcome;
    }

    /// <summary>It is no member any more: no bytes come from it, and nothing is opened. What Lookup and Announce streams are open take leave.</summary>
    public void Retire()
    {
        lock (_opening)
        {
            _isRetired = true;
        }

        while (_streams.TryPop(out var stream))
        {
            stream.Dispose();
        }

        _data?.Dispose();
    }

    public void Dispose()
    {
        Retire();
        _control?.Dispose();
    }

    private async Task<RangeOutcome> FetchAsync(RangeStream stream, RangeRequest request, IRangeSink sink, CancellationToken cancellationToken)
    {
        var isUsable = false;
        try
        {
            var outcome = await stream.ReadAsync(request, sink, _limits, _load, _time, cancellationToken);
            isUsable = !stream.IsBroken && !_isRetired && _streams.Count < PooledStreams;
            return outcome;
        }
        finally
        {
            if (isUsable)
            {
                stream.Rest(request.Digest, SpokeUnasked);
                _streams.Push(stream);
            }
            else
            {
                Discard(stream);
            }
        }
    }

    private void Discard(RangeStream stream)
    {
        stream.Dispose();

        // What came unasked is not the next stream's.
        stream.Lane.End();
        _lanes.Push(stream.Lane);
    }

    /// <summary>Takes a stream that rests; null when there is none.</summary>
    private RangeStream? WakeStream()
    {
        while (_streams.TryPop(out var stream))
        {
            if (stream.TryWake())
            {
                return stream;
            }

            Discard(stream);
        }

        return null;
    }

    private void SpokeUnasked(Digest content)
    {
        Interlocked.Increment(ref _traffic.Failures);
        Blame(content, isProven: true);
    }

    private RangeStream OpenStream()
    {
        if (!_lanes.TryPop(out var lane))
        {
            lane = new RangeLane();
        }

        // Many readers use it, one after the other.
        return new RangeStream(lane, Detached.Begin(() => Open(ref _data, isForData: true).CreateCallInvoker().AsyncDuplexStreamingCall(lane.Method, host: null, new CallOptions(_headers))));
    }

    /// <exception cref="ObjectDisposedException">It is no member any more.</exception>
    private GrpcChannel Open(ref GrpcChannel? channel, bool isForData = false)
    {
        if (!_isRetired && Volatile.Read(ref channel) is { } open)
        {
            return open;
        }

        lock (_opening)
        {
            // What is opened after that nobody would close.
            ObjectDisposedException.ThrowIf(_isRetired, this);
            return channel ??= CreateChannel(isForData);
        }
    }

    private GrpcChannel CreateChannel(bool isForData) =>
        MeshChannel.Open(MemberAddress.Format(Member.Address), _tls, Member.Name, () => new SocketsHttpHandler
        {
            // Streams are shared: a request on one tells of its own trace.
            ActivityHeadersPropagator = null,
            ConnectCallback = isForData ? _sockets.ConnectAsync : null,
            ConnectTimeout = _options.ConnectTimeoutValue,
            EnableMultipleHttp2Connections = true,
            // A stream starts with this window instead of growing from 64 KiB by a round trip at a time.
            InitialHttp2StreamWindowSize = 4 * 1024 * 1024,
            KeepAlivePingDelay = TimeSpan.FromSeconds(10),
            KeepAlivePingTimeout = TimeSpan.FromSeconds(5),
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
            PooledConnectionIdleTimeout = TimeSpan.FromMinutes(2),
            UseProxy = false,
            UseCookies = false,
        }, isForData ? ProtocolConstants.MaxRangeAnswerBytes : MeshChannel.MostReceived);

    private sealed class CountingSink(IRangeSink inner, PeerTraffic.Counters traffic, MeshMetrics metrics) : IRangeSink
    {
        public bool Accept(int frame, ReadOnlySpan<byte> data, ulong checksum)
        {
            metrics.Received(data.Length);
            Interlocked.Add(ref traffic.ReceivedBytes, data.Length);
            return inner.Accept(frame, data, checksum);
        }

        public void Told(string mediaType) => inner.Told(mediaType);

        public void Waiting() => inner.Waiting();

        public void HeldBack(bool isHeld) => inner.HeldBack(isHeld);
    }
}
