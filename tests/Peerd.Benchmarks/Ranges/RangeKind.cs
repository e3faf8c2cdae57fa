namespace Peerd.Benchmarks.Ranges;

/// <summary>What is measured: mostly, where the bytes are that a node is asked for.</summary>
internal enum RangeKind
{
    /// <summary>All in its own cache; beside nginx with the same file on disk.</summary>
    Local,

    /// <summary>All at another node, none of its own; beside nginx with the same file where that node is.</summary>
    Peer,

    /// <summary>At the origin only; beside nginx that reads slices through from the same origin.</summary>
    Cold,

    /// <summary>What a container reads at its start, on three nodes one after the other.</summary>
    Order,
}
