namespace Peerd.Simulation.Mesh;

/// <summary>Numbers that look random and follow from others.</summary>
internal static class Chance
{
    /// <summary>From 0 to 1, not included; evenly spread, and the same on every machine.</summary>
    public static double Of(int seed, int one, int other)
    {
        unchecked
        {
            // The finalizer of SplitMix64.
            var value = ((ulong)(uint)seed << 48) ^ ((ulong)(uint)one << 24) ^ (uint)other;
            value = (value + 0x9E3779B97F4A7C15) * 0xBF58476D1CE4E5B9;
            value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
            return (double)((value ^ (value >> 31)) >> 11) / (1UL << 53);
        }
    }
}
