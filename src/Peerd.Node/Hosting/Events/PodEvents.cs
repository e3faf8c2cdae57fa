using System.Diagnostics.CodeAnalysis;
using System.Diagnostics.Metrics;
using k8s;
using Microsoft.Extensions.Options;
using Peerd.Node.Content;
using Peerd.Node.Facade;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Ring;
using Peerd.Node.Storage;

namespace Peerd.Node.Hosting.Events;

/// <summary>
/// Tells Kubernetes, as events of the node's pod, what has become of the node: looks at it every second, from outside the
/// paths of data. Does nothing outside of Kubernetes.
/// </summary>
internal sealed partial class PodEvents(
    IOptions<EventOptions> options,
    IMembershipSource members,
    RingSource rings,
    NodeIdentity self,
    PeerConnections peers,
    ServedBytes served,
    FacadeMetrics facade,
    Readiness readiness,
    IMeterFactory meters,
    TimeProvider time,
    ILogger<PodEvents> logger) : BackgroundService
{
    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (!options.Value.AreOn)
        {
            return;
        }

        if (!TryConnect(out var api))
        {
            return;
        }

        using var connected = api;
        var sender = new EventSender(api, meters, time, logger);
        try
        {
            await Task.WhenAll(sender.RunAsync(stoppingToken), LookAsync(sender, stoppingToken));
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
        }
    }

    private bool TryConnect([NotNullWhen(true)] out EventApi? api)
    {
        try
        {
            api = new EventApi(KubernetesClientConfiguration.InClusterConfig(), options.Value, self.Name, time);
            return true;
        }
        catch (Exception e)
        {
            // Whatever is wrong with the pod's account, the node does without events.
            Log.NoAccount(logger, e.Message);
            api = null;
            return false;
        }
    }

    private async Task LookAsync(EventSender sender, CancellationToken cancellationToken)
    {
        var rules = new EventRules();
        var reach = new MeshReach(peers, new Random(self.Seed), time);
        var start = time.GetTimestamp();
        var wasSynced = false;
        using var timer = new PeriodicTimer(LookInterval, time);
        while (await timer.WaitForNextTickAsync(cancellationToken))
        {
            // The ring follows a list a little later: it is what the members are when they were known a look ago.
            var isSynced = wasSynced;
            wasSynced = members.IsSynced;
            var ring = rings.Current;
            var others = ring.Count - (ring.IndexOf(self.Name) < 0 ? 0 : 1);
            var state = new NodeState(
                isSynced && ring.Count > 0,
                others,
                others > 0 ? await reach.LookAsync(cancellationToken) : default,
                served.Of(ByteSource.Peer),
                facade.Failures,
                rules.IsConnected || await readiness.FaultAsync(cancellationToken) is null);
            foreach (var news in rules.Look(state, time.GetElapsedTime(start)))
            {
                sender.Send(news);
            }
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "There will be no events of this pod, and nothing else depends on them: {Cause}")]
        public static partial void NoAccount(ILogger logger, string cause);
    }
}
