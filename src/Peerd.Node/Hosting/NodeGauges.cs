using System.Diagnostics.Metrics;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Ring;
using Peerd.Node.Swarm;

namespace Peerd.Node.Hosting;

/// <summary>What can be said of the node as a whole whenever somebody asks.</summary>
internal sealed class NodeGauges : IHostedService
{
    private const string OpenFiles = "/proc/self/fd";

    public NodeGauges(NodeIdentity self, RingSource rings, PeerConnections peers, Downloads downloads, IMeterFactory meters)
    {
        var meter = meters.Create("Peerd");
        meter.CreateObservableGauge("peerd.ring.members", () => rings.Current.Count, "{member}", "Members of the ring, this node included; 0 before the first list of members.");
        meter.CreateObservableGauge("peerd.peers.connected", () => peers.All.Count(peer => peer.IsConnected), "{peer}", "Other members to which this node has a control stream open.");
        meter.CreateObservableGauge("peerd.downloads", () => downloads.Count, "{content}", "Contents that are being fetched.");
        meter.CreateObservableGauge("peerd.pieces.in_flight", () => downloads.PiecesInFlight, "{piece}", "Pieces that were asked of peers or of the origin and are not here.");
        meter.CreateObservableGauge("peerd.start_time", () => self.Incarnation / 1000.0, "s", "When the node was started, as seconds since the Unix epoch.");
        meter.CreateObservableGauge("peerd.build", () => new Measurement<int>(1, new KeyValuePair<string, object?>("version", NodeServer.Version)), unit: null, "Always 1; the label tells the version.");
        if (System.IO.Directory.Exists(OpenFiles))
        {
            meter.CreateObservableGauge("peerd.open_files", () => System.IO.Directory.EnumerateFileSystemEntries(OpenFiles).Count(), "{file}", "Files and sockets that the process has open.");
        }
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
