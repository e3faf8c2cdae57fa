namespace Peerd.Node.Membership;

/// <summary>Who this node is, for as long as the process lives.</summary>
/// <param name="Name">Name in the mesh.</param>
/// <param name="Incarnation">Milliseconds since the Unix epoch at the start: grows from start to start.</param>
/// <param name="Zone">Zone; empty when it has none.</param>
internal sealed record NodeIdentity(string Name, ulong Incarnation, string Zone)
{
    /// <summary>The identity of a node that starts now.</summary>
    public static NodeIdentity Create(NodeOptions options, TimeProvider time) =>
        new(options.Name, (ulong)time.GetUtcNow().ToUnixTimeMilliseconds(), options.Zone);
}
