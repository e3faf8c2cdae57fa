using Microsoft.Extensions.Options;
using Peerd.Contracts;

namespace Peerd.Node.Limits;

/// <summary>
/// How many bytes of contents are in the buffers of what is under way, of whatever kind. When they are too many nothing is cut off,
/// and nothing new is begun until enough has ended. Thread-safe.
/// </summary>
/// <param name="options">Has the limit.</param>
/// <param name="others">Bytes in buffers of their own kind, beside those of <see cref="PooledBuffer"/>.</param>
internal sealed class HeldMemory(IOptions<LimitOptions> options, params Func<long>[] others)
{
    private readonly long _limit = options.Value.MemoryValue;

    /// <summary>There is a limit, and it is reached.</summary>
    public bool IsOver => _limit > 0 && Bytes >= _limit;

    /// <summary>Bytes of this moment.</summary>
    public long Bytes => PooledBuffer.HeldBytes + others.Sum(static other => other());
}
