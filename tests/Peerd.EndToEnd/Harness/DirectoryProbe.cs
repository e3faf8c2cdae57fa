using Grpc.Core;
using Grpc.Net.Client;
using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.EndToEnd.Harness;

/// <summary>Asks the owner of a content what the mesh knows of it, and wants nothing of it.</summary>
internal static class DirectoryProbe
{
    /// <summary>Returns when the owner of the content knows that this node holds all of it.</summary>
    public static Task UntilCompleteAsync(IReadOnlyList<PeerdNode> nodes, Digest content, PeerdNode holder, TimeSpan timeout) =>
        UntilAsync(nodes, content, holder, isHolder: true, timeout);

    /// <summary>Returns when the owner of the content does not count this node among those that hold all of it.</summary>
    public static Task UntilWithdrawnAsync(IReadOnlyList<PeerdNode> nodes, Digest content, PeerdNode holder, TimeSpan timeout) =>
        UntilAsync(nodes, content, holder, isHolder: false, timeout);

    private static async Task UntilAsync(IReadOnlyList<PeerdNode> nodes, Digest content, PeerdNode holder, bool isHolder, TimeSpan timeout)
    {
        var owner = PeerdNode.FindOwner(nodes, content);
        using var channel = GrpcChannel.ForAddress(owner.Mesh);
        var client = new PeerService.PeerServiceClient(channel);
        await Wait.UntilAsync($"{owner.Name} knows that {holder.Name} {(isHolder ? "holds" : "does not hold")} {content}", owner.Process, IsSoAsync, timeout);

        async Task<bool> IsSoAsync()
        {
            using var lookup = client.Lookup(deadline: TimeProvider.System.GetUtcNow().UtcDateTime + timeout);
            await lookup.RequestStream.WriteAsync(new LookupRequest
            {
                Want = new Want { Member = new Member { Node = "probe", Incarnation = 1 }, Digest = content.ToString(), Wanted = { new PieceRun() } },
            });
            return await lookup.ResponseStream.MoveNext() && lookup.ResponseStream.Current.Holders.Any(known => known.Node == holder.Name && known.Complete) == isHolder;
        }
    }
}
