using System.Text;
using Peerd.Contracts;

namespace Peerd.Node.Membership;

/// <summary>Who this node is, for as long as the process lives.</summary>
/// <param name="Name">Name in the mesh.</param>
/// <param name="Incarnation">Milliseconds since the Unix epoch at the start: grows from start to start.</param>
/// <param name="Zone">Zone; empty when it has none.</param>
internal sealed record NodeIdentity(string Name, ulong Incarnation, string Zone)
{
    /// <summary>For what nodes are to do by chance: of its own for each node, so that not all of them do the same.</summary>
    public int Seed => (int)FrameChecksum.Compute(Encoding.UTF8.GetBytes(Name));

    /// <summary>The identity of a node that starts now.</summary>
    public static NodeIdentity Create(NodeOptions options, TimeProvider time) =>
        new(options.Name, (ulong)time.GetUtcNow().ToUnixTimeMilliseconds(), options.Zone);
}
