using Peerd.Contracts;

namespace Peerd.Node.Membership;

/// <summary>Section <c>Peerd:Membership</c>: who is in the mesh. Changes are taken over without a restart.</summary>
internal sealed class MembershipOptions
{
    /// <summary>Name of the section.</summary>
    public const string Section = "Peerd:Membership";

    /// <summary>Value of <see cref="Source"/>: the list <see cref="Members"/>.</summary>
    public const string StaticSource = "static";

    /// <summary>Value of <see cref="Source"/>: the nodes of a Kubernetes cluster.</summary>
    public const string KubernetesSource = "kubernetes";

    /// <summary>Where members come from: <c>static</c> (default) or <c>kubernetes</c>.</summary>
    public string Source { get; set; } = StaticSource;

    /// <summary>All members, this node included. Empty (default): the node is alone.</summary>
    public List<ConfiguredMember> Members { get; set; } = [];

    /// <summary>Of <c>kubernetes</c>: label selector of the nodes that are members. Empty (default): all.</summary>
    public string Selector { get; set; } = string.Empty;

    /// <summary>Of <c>kubernetes</c>: nodes with this label and the value <c>true</c> are no members. Default <c>peerd-exclude</c>.</summary>
    public string ExcludeLabel { get; set; } = "peerd-exclude";

    /// <summary>Of <c>kubernetes</c>: how long a node that is not ready stays a member. Duration, 0s to 1h; default 2m.</summary>
    public string NotReadyGrace { get; set; } = "2m";

    /// <summary>Of <c>kubernetes</c>: after how long at the latest all nodes are listed again, whatever the watch said. Duration, 1m to 1d; default 30m.</summary>
    public string Resync { get; set; } = "30m";

    /// <summary>Of <c>kubernetes</c>: where the last list is kept for a start without the API server. Empty: nowhere.</summary>
    public string StateFile { get; set; } = "/var/lib/peerd/members.json";

    internal TimeSpan NotReadyGraceValue => Duration.Parse(NotReadyGrace);

    internal TimeSpan ResyncValue => Duration.Parse(Resync);
}

/// <summary>One entry of <see cref="MembershipOptions.Members"/>.</summary>
internal sealed class ConfiguredMember
{
    /// <summary>Name of the node, unique in the list: <see cref="NodeName.Allowed"/>.</summary>
    public string Name { get; set; } = string.Empty;

    /// <summary>Its mesh listener: <see cref="MemberAddress.Allowed"/>.</summary>
    public string Address { get; set; } = string.Empty;

    /// <summary>Its zone; empty (default) when it has none.</summary>
    public string Zone { get; set; } = string.Empty;
}
