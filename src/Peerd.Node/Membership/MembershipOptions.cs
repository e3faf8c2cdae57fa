namespace Peerd.Node.Membership;

/// <summary>Section <c>Peerd:Membership</c>: who is in the mesh. Changes are taken over without a restart.</summary>
internal sealed class MembershipOptions
{
    /// <summary>Name of the section.</summary>
    public const string Section = "Peerd:Membership";

    /// <summary>The only value of <see cref="Source"/> so far.</summary>
    public const string StaticSource = "static";

    /// <summary>Where members come from: <c>static</c> (default) is the list <see cref="Members"/>.</summary>
    public string Source { get; set; } = StaticSource;

    /// <summary>All members, this node included. Empty (default): the node is alone.</summary>
    public List<ConfiguredMember> Members { get; set; } = [];
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
