namespace Peerd.Benchmarks.Ranges;

/// <summary>In which order connections read.</summary>
internal enum RangePattern
{
    Random,

    /// <summary>Each connection in order through a part of its own.</summary>
    Sequential,
}
