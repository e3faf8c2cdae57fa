using System.Reflection;
using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;
using Peerd.Node.Facade;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Origin;
using Peerd.Node.Ring;
using Peerd.Node.Storage;
using Peerd.Node.Swarm;
using Peer = Peerd.Contracts.V1.Peer;

namespace Peerd.Node.Hosting;

/// <summary>Answers the commands status, ring and peers.</summary>
internal sealed class NodeServer(
    NodeIdentity self,
    RingSource rings,
    PeerConnections peers,
    PieceCache cache,
    Downloads downloads,
    HolderDirectory directory,
    OriginMetrics origin,
    MeshMetrics mesh,
    AskedHosts hosts,
    TimeProvider time) : NodeService.NodeServiceBase
{
    /// <summary>Of this program, as it was built.</summary>
    public static readonly string Version =
        typeof(NodeServer).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    public override Task<GetStatusResponse> GetStatus(GetStatusRequest request, ServerCallContext context)
    {
        var ring = rings.Current;
        return Task.FromResult(new GetStatusResponse
        {
            Node = self.Name,
            Version = Version,
            UptimeSeconds = (time.GetUtcNow().ToUnixTimeMilliseconds() - (long)self.Incarnation) / 1000,
            Members = ring.Count,
            ConnectedPeers = peers.All.Count(peer => peer.IsConnected),
            RingVersion = ring.Version,
            CacheBytes = cache.UsedBytes,
            CacheCapacityBytes = cache.CapacityBytes,
            Contents = cache.Digests.Count,
            Downloads = downloads.Count,
            DirectoryContents = directory.Count,
            OriginBytes = origin.ReadBytes,
            PeerReceivedBytes = mesh.ReceivedBytes,
            PeerSentBytes = mesh.SentBytes,
            CacheWritable = cache.IsWritable,
            TimeUnixMs = time.GetUtcNow().ToUnixTimeMilliseconds(),
            RefusedBlobHosts = { hosts.Refused },
            UnsharedBlobHosts = { hosts.Unshared },
            UnsharedUrlHosts = { hosts.UnsharedUrls },
        });
    }

    public override Task<GetRingResponse> GetRing(GetRingRequest request, ServerCallContext context)
    {
        var ring = rings.Current;
        var response = new GetRingResponse { Version = ring.Version };
        response.Members.AddRange(ring.Members.Members.Select(member => new RingMember { Node = member.Name, Address = MemberAddress.Format(member.Address), Zone = member.Zone }));
        if (request.Digest.Length > 0)
        {
            if (!Digest.TryParseScoped(request.Digest, out var digest))
            {
                throw new RpcException(new Status(StatusCode.InvalidArgument, "'digest' is no digest; expected sha256:<64 lower-case hex digits>, or sha256+<32 of them>:<64 of them>"));
            }

            Span<int> responsible = stackalloc int[ProtocolConstants.Replicas];
            foreach (var index in responsible[..ring.FindResponsible(digest, responsible)])
            {
                response.Responsible.Add(ring[index].Name);
            }
        }

        return Task.FromResult(response);
    }

    public override Task<ListPeersResponse> ListPeers(ListPeersRequest request, ServerCallContext context)
    {
        var response = new ListPeersResponse();
        response.Peers.AddRange(peers.All.OrderBy(peer => peer.Member.Name, StringComparer.Ordinal).Select(peer => new Peer
        {
            Node = peer.Member.Name,
            Address = MemberAddress.Format(peer.Member.Address),
            Connected = peer.IsConnected,
            ReceivedBytes = Interlocked.Read(ref peer.Traffic.ReceivedBytes),
            SentBytes = Interlocked.Read(ref peer.Traffic.SentBytes),
            Failures = Interlocked.Read(ref peer.Traffic.Failures),
        }));
        return Task.FromResult(response);
    }
}
