using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Peerd.Node.Facade;
using Peerd.Node.Limits;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Mesh.Tls;
using Peerd.Node.Ring;

namespace Peerd.Node.Hosting;

/// <summary>What a connection came in through.</summary>
internal enum ListenerKind
{
    Facade,
    Mesh,
    Metrics,
}

/// <summary>The three listeners of the node. The end points tell the real ports once the node has started.</summary>
internal sealed partial class Listeners
{
    private readonly Dictionary<ListenerKind, ListenOptions> _listeners = [];
    private readonly List<Socket> _shared = [];
    private readonly HashSet<ListenerKind> _withoutIPv6 = [];
    private ILogger _logger = NullLogger.Instance;
    private bool _isShared;

    public IPEndPoint Facade => _listeners[ListenerKind.Facade].IPEndPoint!;

    public IPEndPoint Mesh => _listeners[ListenerKind.Mesh].IPEndPoint!;

    public IPEndPoint Metrics => _listeners[ListenerKind.Metrics].IPEndPoint!;

    /// <summary>The listener that this request came in through.</summary>
    public static ListenerKind Of(HttpContext context) => context.Features.Get<ListenerFeature>()!.Kind;

    public void Configure(KestrelServerOptions kestrel)
    {
        // The first place that reads options: it would fail of the first fault, and this tells all of them.
        kestrel.ApplicationServices.GetRequiredService<IStartupValidator>().Validate();
        _logger = kestrel.ApplicationServices.GetRequiredService<ILogger<Listeners>>();
        _isShared = kestrel.ApplicationServices.GetRequiredService<IOptions<HandoverOptions>>().Value.Enabled;
        var listen = kestrel.ApplicationServices.GetRequiredService<IOptions<ListenerOptions>>().Value;
        var mesh = kestrel.ApplicationServices.GetRequiredService<IOptions<MeshOptions>>().Value;
        var facade = kestrel.ApplicationServices.GetRequiredService<IOptions<FacadeOptions>>().Value;
        kestrel.AddServerHeader = false;
        FacadeLimits.Apply(kestrel.Limits, facade);

        var limits = kestrel.ApplicationServices.GetRequiredService<IOptions<LimitOptions>>().Value;

        // Each content that a peer asks for is a stream for as long as it downloads.
        kestrel.Limits.Http2.MaxStreamsPerConnection = limits.StreamsPerConnectionValue;
        // A peer that vanished without a word frees its streams.
        kestrel.Limits.Http2.KeepAlivePingDelay = TimeSpan.FromSeconds(20);
        kestrel.Limits.Http2.KeepAlivePingTimeout = TimeSpan.FromSeconds(10);

        Listen(kestrel, ListenerKind.Facade, listen.FacadeEndPoint, listener => FacadeLimits.Apply(listener, facade));
        var tls = kestrel.ApplicationServices.GetRequiredService<MeshTls>();
        var certified = kestrel.ApplicationServices.GetRequiredService<CertifiedConnections>();
        var counts = kestrel.ApplicationServices.GetRequiredService<MeshMetrics>();
        var own = kestrel.ApplicationServices.GetRequiredService<OwnConnections>();
        var halfSent = kestrel.ApplicationServices.GetRequiredService<HalfSentMessages>();
        var members = kestrel.ApplicationServices.GetRequiredService<RingSource>();
        var signals = kestrel.ApplicationServices.GetRequiredService<StopSignals>();
        Listen(kestrel, ListenerKind.Mesh, ListenAddress.Parse(mesh.Listen), listener =>
        {
            listener.Protocols = HttpProtocols.Http2;
            new ConnectionCap(limits.MeshConnectionsValue, limits.MeshConnectionsPerAddressValue, limits.MeshConnectionsPerAddressValue, members.CountedAs)
                .Apply(listener, () => counts.Refused(MeshRefusal.Connection), own);
            listener.Use(next => connection => signals.LinkAsync(connection, next));
            listener.UseMeshTls(tls, certified);
            listener.Use(next => connection => halfSent.WatchAsync(connection, next));
        });
        Listen(kestrel, ListenerKind.Metrics, listen.MetricsEndPoint, listener =>
        {
            listener.Protocols = HttpProtocols.Http1;
            // Nobody takes the places of those who ask how the node is. They are no members, and one network may be that of all pods.
            var most = Math.Max(4, limits.MetricsConnectionsValue / 8);
            new ConnectionCap(limits.MetricsConnectionsValue, most, Math.Max(most, limits.MetricsConnectionsValue / 2), members.CountedAs).Apply(listener, static () => { });
        });
    }

    /// <summary>
    /// Tries all addresses before anything is started: a host that fails at this in the middle of its start says so in
    /// many lines.
    /// </summary>
    /// <param name="besideAnother">Another process of this node listens there, too.</param>
    /// <exception cref="IOException">See <see cref="Bind(EndPoint)"/>.</exception>
    public void Check(bool besideAnother = false)
    {
        foreach (var listener in _listeners.Values)
        {
            Bind(listener.IPEndPoint!, besideAnother).Dispose();
        }
    }

    /// <summary>New connections go to the process that began to listen last. Without effect when addresses are not shared.</summary>
    public void PreferTheNewest() => _shared.ForEach(SharedPort.PreferTheNewest);

    /// <summary>Makes the socket of a listener.</summary>
    /// <exception cref="IOException">The machine refuses: the port is in use or not ours to take, or the address is another machine's.</exception>
    public Socket Bind(EndPoint endPoint)
    {
        var socket = Bind(endPoint, _isShared);
        if (_isShared)
        {
            _shared.Add(socket);
        }

        if (endPoint.Equals(_listeners[ListenerKind.Mesh].IPEndPoint))
        {
            UnsentBytes.Limit(socket);
        }

        return socket;
    }

    private Socket Bind(EndPoint endPoint, bool isShared)
    {
        var kind = _listeners.First(listener => endPoint.Equals(listener.Value.IPEndPoint)).Key;
        try
        {
            return EveryAddress.Bind((IPEndPoint)endPoint, isShared ? SharedPort.Bind : SocketTransportOptions.CreateDefaultBoundListenSocket, TellOnce);
        }
        catch (SocketException e)
        {
            throw new IOException($"Peerd:{kind}:Listen is '{endPoint}', where this node cannot listen: {e.Message}", e);
        }

        void TellOnce(SocketError error)
        {
            if (_withoutIPv6.Add(kind))
            {
                Log.WithoutIPv6(_logger, kind, endPoint, error);
            }
        }
    }

    private void Listen(KestrelServerOptions kestrel, ListenerKind kind, IPEndPoint endPoint, Action<ListenOptions> configure) =>
        kestrel.Listen(endPoint, listener =>
        {
            _listeners[kind] = listener;
            var feature = new ListenerFeature(kind);
            listener.Use(next => connection =>
            {
                connection.Features.Set(feature);
                return next(connection);
            });
            configure(listener);
        });

    private sealed record ListenerFeature(ListenerKind Kind);

    private static partial class Log
    {
        [LoggerMessage(3, LogLevel.Information, "Peerd:{Kind}:Listen is '{EndPoint}', and this machine has no IPv6 ({Error}): all its IPv4 addresses are listened on")]
        public static partial void WithoutIPv6(ILogger logger, ListenerKind kind, EndPoint endPoint, SocketError error);
    }
}
