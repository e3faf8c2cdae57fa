namespace Peerd.Benchmarks.Herd;

/// <summary>What a herd of real nodes is to reach, as far as it is promised for its size.</summary>
internal static class HerdTargets
{
    private const long MiB = 1 << 20;
    private const long GiB = 1 << 30;

    /// <summary>Nodes from which on it counts as a large herd.</summary>
    private const int ManyNodes = 50;

    /// <summary>Nodes up to which it counts as a small one.</summary>
    private const int FewNodes = 3;

    /// <summary>The largest content that is measured by what one link needs for it, not by its part of the bound.</summary>
    public const long SmallSize = MiB;

    /// <summary>How many times as long as one link needs a content of at most <see cref="SmallSize"/> may take.</summary>
    public const double SmallRatio = 6;

    /// <summary>Percent of the bound; null where nothing is promised.</summary>
    /// <param name="mode">What is done.</param>
    /// <param name="nodes">How many pull.</param>
    /// <param name="size">Bytes of the image.</param>
    /// <param name="uplink">Links of the registry, in links of a node.</param>
    public static double? OfBound(HerdMode mode, int nodes, long size, int uplink) => (mode, nodes, size, uplink) switch
    {
        (_, _, <= SmallSize, _) => null,
        (HerdMode.Staggered, <= FewNodes, _, _) => 65,
        (HerdMode.Staggered, _, _, 1) => 75,
        (HerdMode.Staggered, _, _, _) => 80,
        (HerdMode.Cold, < ManyNodes, _, 1) => 80,
        (HerdMode.Cold, < ManyNodes, _, _) => 85,
        (HerdMode.Cold, _, >= GiB, 1) => 75,
        (HerdMode.Cold, _, >= GiB, _) => 80,
        (HerdMode.Cold, _, >= 256 * MiB, 1) => 70,
        (HerdMode.Cold, _, >= 256 * MiB, _) => 75,
        (HerdMode.Cold, _, >= 64 * MiB, 1) => 65,
        _ => null,
    };
}
