namespace Peerd.Benchmarks.Herd;

/// <summary>Who pulls through whom, and what is done to them meanwhile.</summary>
internal enum HerdMode
{
    /// <summary>All from the registry, without peerd.</summary>
    Direct,

    /// <summary>All through one docker-registry that keeps what it has read, with the link of a node.</summary>
    Proxy,

    /// <summary>All through their own node, nothing cached anywhere.</summary>
    Cold,

    /// <summary>The same, and a node that coordinates no layer is killed on the way.</summary>
    Killed,

    /// <summary>The same, and the node that coordinates the first layer is killed on the way.</summary>
    OwnerKilled,

    /// <summary>The same, and a node that coordinates no layer has 5 % of a link.</summary>
    Slow,

    /// <summary>The same, and the nodes start one after the other within half the time that one link needs.</summary>
    Staggered,

    /// <summary>The same, and half of the nodes are in another zone.</summary>
    Zones,

    /// <summary>One node without a mesh, and one direct pull to compare it with.</summary>
    Alone,
}
