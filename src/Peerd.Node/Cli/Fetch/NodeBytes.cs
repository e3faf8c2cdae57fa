using Grpc.Core;
using Peerd.Contracts.V1;

namespace Peerd.Node.Cli.Fetch;

/// <summary>Bytes that a node has read from the origin and from peers since it started.</summary>
internal readonly record struct NodeBytes(long Origin, long Peers)
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(2);

    /// <summary>Asks the node over gRPC; null when it does not answer, which keeps no pull from going on.</summary>
    public static async Task<NodeBytes?> ReadAsync(NodeAccess node, TimeProvider time, CancellationToken cancellationToken)
    {
        using var channel = node.Open();
        try
        {
            var deadline = time.GetUtcNow().UtcDateTime + Limit;
            var status = await new NodeService.NodeServiceClient(channel).GetStatusAsync(new GetStatusRequest(), deadline: deadline, cancellationToken: cancellationToken);
            return new NodeBytes(status.OriginBytes, status.PeerReceivedBytes);
        }
        catch (RpcException) when (!cancellationToken.IsCancellationRequested)
        {
            return null;
        }
        catch (RpcException)
        {
            throw new OperationCanceledException(cancellationToken);
        }
    }
}
