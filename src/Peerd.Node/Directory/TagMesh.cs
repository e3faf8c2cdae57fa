using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Ring;

namespace Peerd.Node.Directory;

/// <summary>What the mesh knows of tags.</summary>
internal interface ITagMesh
{
    /// <summary>This node has resolved the tag: those responsible for it are told.</summary>
    void Tell(TagKey key);

    /// <summary>Where the tag pointed last as those responsible for it know; null when none of them knows or answers soon.</summary>
    Task<TagTarget?> AskAsync(TagKey key, CancellationToken cancellationToken);
}

/// <inheritdoc cref="ITagMesh"/>
/// <remarks>Thread-safe.</remarks>
internal sealed partial class TagMesh(TagDirectory tags, RingSource rings, NodeIdentity self, PeerConnections peers, Announcer announcer, TimeProvider time, ILogger<TagMesh> logger) : ITagMesh
{
    /// <summary>How long one member may take to answer.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(500);

    public void Tell(TagKey key) => announcer.Resolved(key);

    public async Task<TagTarget?> AskAsync(TagKey key, CancellationToken cancellationToken)
    {
        foreach (var name in Responsible(key))
        {
            if (name != self.Name && peers.Find(name) is { IsSilent: false } peer && await AskAsync(peer, key, cancellationToken) is { } target)
            {
                return target;
            }
        }

        return null;
    }

    private string[] Responsible(TagKey key)
    {
        var ring = rings.Current;
        Span<int> indexes = stackalloc int[ProtocolConstants.Replicas];
        var count = ring.FindResponsible(key.Place, indexes);
        return [.. indexes[..count].ToArray().Select(index => ring[index].Name)];
    }

    private async Task<TagTarget?> AskAsync(Mesh.Peer peer, TagKey key, CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(Patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, patience.Token);
        try
        {
            using var call = peer.Lookup(either.Token);
            await call.RequestStream.SendAsync(new LookupRequest { Tag = new WantTag { Registry = key.Registry, Repository = key.Repository, Tag = key.Tag } }, either.Token);
            return await call.ResponseStream.MoveNext(either.Token) && call.ResponseStream.Current.Tag is { } told && tags.TryRead(told, out var named, out var target) && named == key
                ? target
                : null;
        }
        catch (Exception e) when (e is RpcException or IOException or InvalidOperationException or OperationCanceledException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            Log.NotTold(logger, peer.Member.Name, key, e is RpcException rpc ? rpc.Status.Detail : e.Message);
            return null;
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Debug, "{Node} does not tell where {Tag} points: {Reason}")]
        public static partial void NotTold(ILogger logger, string node, TagKey tag, string reason);
    }
}
