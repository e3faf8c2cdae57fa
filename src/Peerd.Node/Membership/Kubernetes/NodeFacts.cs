using System.Net;

namespace Peerd.Node.Membership.Kubernetes;

/// <summary>What counts of a Kubernetes node.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Address">Its first InternalIP; null when it has none yet.</param>
/// <param name="Zone">Its zone; empty when it has none.</param>
/// <param name="IsReady">Its kubelet says that it works.</param>
/// <param name="IsExcluded">A label keeps it out of the mesh.</param>
internal sealed record NodeFacts(string Name, IPAddress? Address, string Zone, bool IsReady, bool IsExcluded)
{
    private const string ZoneLabel = "topology.kubernetes.io/zone";

    /// <summary>Reads a node; null when it has no usable name.</summary>
    /// <param name="node">The node.</param>
    /// <param name="excludeLabel">Label that keeps nodes out when it is <c>true</c>.</param>
    public static NodeFacts? Of(NodeDocument node, string excludeLabel)
    {
        if (node.Metadata?.Name is not { } name || !NodeName.IsValid(name))
        {
            return null;
        }

        var labels = node.Metadata.Labels;
        var zone = labels?.GetValueOrDefault(ZoneLabel) ?? string.Empty;
        var address = node.Status?.Addresses?.FirstOrDefault(static address => address is { Type: "InternalIP" } && IPAddress.TryParse(address.Address, out _))?.Address;
        return new NodeFacts(
            name,
            address is null ? null : IPAddress.Parse(address),
            NodeName.IsValidZone(zone) ? zone : string.Empty,
            node.Status?.Conditions?.Exists(static condition => condition is { Type: "Ready", Status: "True" }) ?? false,
            labels?.GetValueOrDefault(excludeLabel) == "true");
    }
}
