using System.IO.Pipelines;

namespace Peerd.Node.Limits;

/// <summary>
/// Lets writers of short messages take small blocks of memory: what nobody takes of such a message keeps its block, and thousands may wait
/// at one time. A pool sees only that a thread wants a block, not for what. Thread-safe.
/// </summary>
internal static class SmallBlocks
{
    public const int Size = 4 * 1024;

    [ThreadStatic]
    private static bool _isWanted;

    /// <summary>This thread gets memory for a short message.</summary>
    public static bool IsWanted => _isWanted;

    /// <summary>Memory of a writer, in a small block unless more is asked for at once.</summary>
    public static Memory<byte> GetMemory(PipeWriter writer, int sizeHint)
    {
        _isWanted = true;
        try
        {
            return writer.GetMemory(sizeHint);
        }
        finally
        {
            _isWanted = false;
        }
    }
}
