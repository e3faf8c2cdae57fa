namespace Peerd.Node.Membership;

/// <summary>Section <c>Peerd:Node</c>: who this node is.</summary>
internal sealed class NodeOptions
{
    /// <summary>Name of the section.</summary>
    public const string Section = "Peerd:Node";

    /// <summary>Name of the node in the mesh: <see cref="NodeName.Allowed"/>. Default: the machine's name in lower case.</summary>
    public string Name { get; set; } = Environment.MachineName.ToLowerInvariant();

    /// <summary>Zone of the node; empty (default) when it has none.</summary>
    public string Zone { get; set; } = string.Empty;
}
