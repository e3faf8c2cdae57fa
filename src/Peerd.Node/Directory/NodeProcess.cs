using System.Net;

namespace Peerd.Node.Directory;

/// <summary>A process that speaks in the name of a node, as the directory has come to know it. Not thread-safe.</summary>
/// <param name="incarnation">Grows from start to start of the node.</param>
/// <param name="from">Where it calls from, if nothing proves its name; null when something does, or when it is this node itself.</param>
internal sealed class NodeProcess(ulong incarnation, IPAddress? from)
{
    public ulong Incarnation => incarnation;

    public IPAddress? From => from;

    /// <summary>Its streams that are open, or have ended a short while ago.</summary>
    public HashSet<HolderDirectory.Lease> Leases { get; } = [];
}
