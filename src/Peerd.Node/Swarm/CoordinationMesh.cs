using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Ring;

namespace Peerd.Node.Swarm;

/// <summary>What coordinating needs of the mesh around it.</summary>
internal interface ICoordinationMesh
{
    /// <summary>Zone of a node; empty when unknown.</summary>
    string ZoneOf(string node);

    /// <summary>The ring has changed a short time ago: another member may know more of a content than its owner does.</summary>
    bool HasChangedLately { get; }

    /// <summary>The node comes before this one in the order of those responsible for the content, whatever ring they see.</summary>
    bool IsNearer(Digest content, string node);

    /// <summary>The ring has changed a short time ago, and since then another member is the content's owner and is not known to be silent.</summary>
    bool HasMovedLately(Digest content);

    /// <summary>Asks the other member that is responsible for the content what it knows; null when it does not answer in time.</summary>
    Task<OtherOwner?> AskOtherOwnerAsync(Digest content, CancellationToken cancellationToken);
}

/// <summary>What another responsible member answered.</summary>
/// <param name="Node">Its name.</param>
/// <param name="Known">What it knows.</param>
/// <param name="IsNearer">It comes before this node in the order of those responsible.</param>
internal sealed record OtherOwner(string Node, LookupResponse Known, bool IsNearer);

/// <inheritdoc cref="ICoordinationMesh"/>
/// <remarks>Thread-safe.</remarks>
internal sealed partial class CoordinationMesh(RingSource rings, NodeIdentity self, PeerConnections peers, ILogger<CoordinationMesh> logger) : ICoordinationMesh
{
    /// <summary>For so long after a ring change former owners may know more; after it all holders have announced themselves.</summary>
    internal static readonly TimeSpan Lately = TimeSpan.FromSeconds(30);

    public bool HasChangedLately => rings.HasChangedWithin(Lately);

    public bool IsNearer(Digest content, string node) => HashRing.IsNearer(content, node, self.Name);

    public string ZoneOf(string node)
    {
        var ring = rings.Current;
        var index = ring.IndexOf(node);
        return index < 0 ? string.Empty : ring[index].Zone;
    }

    public bool HasMovedLately(Digest content)
    {
        if (!HasChangedLately)
        {
            return false;
        }

        var ring = rings.Current;
        Span<int> owner = stackalloc int[1];
        return ring.FindResponsible(content, owner) == 1 && ring[owner[0]].Name != self.Name && peers.Find(ring[owner[0]].Name) is { IsSilent: false };
    }

    public async Task<OtherOwner?> AskOtherOwnerAsync(Digest content, CancellationToken cancellationToken)
    {
        if (FindOtherOwner(content) is not { } name || peers.Find(name) is not { IsSilent: false } peer)
        {
            return null;
        }

        try
        {
            using var call = peer.Lookup(cancellationToken);
            var member = new Contracts.V1.Member { Node = self.Name, Incarnation = self.Incarnation };
            await call.RequestStream.SendAsync(new LookupRequest { Want = new Want { Member = member, Digest = content.ToString(), Observes = true } }, cancellationToken);
            return await call.ResponseStream.MoveNext(cancellationToken) ? new OtherOwner(name, call.ResponseStream.Current, IsNearer(content, name)) : null;
        }
        catch (Exception e) when (e is RpcException or IOException or InvalidOperationException or OperationCanceledException)
        {
            Log.NotTold(logger, name, content, e is RpcException rpc ? rpc.Status.Detail : e.Message);
            return null;
        }
    }

    private string? FindOtherOwner(Digest content)
    {
        var ring = rings.Current;
        Span<int> responsible = stackalloc int[ProtocolConstants.Replicas];
        foreach (var index in responsible[..ring.FindResponsible(content, responsible)])
        {
            if (ring[index].Name != self.Name)
            {
                return ring[index].Name;
            }
        }

        return null;
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Debug, "{Node} does not tell what it knows of {Digest}: {Reason}")]
        public static partial void NotTold(ILogger logger, string node, Digest digest, string reason);
    }
}
