using Microsoft.Extensions.Options;
using Peerd.Contracts;

namespace Peerd.Node.Limits;

/// <summary>
/// How many bytes of contents are in the buffers of what is under way, of whatever kind. When they are too many nothing is cut off,
/// and nothing new is begun until enough has ended. Thread-safe.
/// </summary>
/// <param name="options">Has the limit.</param>
/// <param name="others">Bytes in buffers of their own kind, beside those of <see cref="PooledBuffer"/>.</param>
internal sealed class HeldMemory(IOptions<LimitOptions> options, params Func<long>[] others) : IDisposable
{
    private readonly long _limit = options.Value.MemoryValue;

    /// <summary>There is a limit, and it is reached.</summary>
    public bool IsOver => _limit > 0 && Bytes >= _limit;

    /// <summary>So many may hold much for a client when the limit is reached, see <see cref="EnterAsync"/>.</summary>
    private const int PlacesWhenOver = 4;

    /// <summary>How often who waits for a place looks whether the limit is reached still.</summary>
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(50);

    private readonly SemaphoreSlim _places = new(PlacesWhenOver);

    /// <summary>
    /// Waits, while the limit is reached, for one of a few places: for a request that is under way and needs some MiB at once.
    /// Dispose what is returned when it needs them no more.
    /// </summary>
    public async ValueTask<IDisposable?> EnterAsync(CancellationToken cancellationToken)
    {
        while (IsOver)
        {
            if (await _places.WaitAsync(Look, cancellationToken))
            {
                return new Place(_places);
            }
        }

        return null;
    }

    /// <summary>Bytes of this moment.</summary>
    public long Bytes => PooledBuffer.HeldBytes + others.Sum(static other => other());

    public void Dispose() => _places.Dispose();

    private sealed class Place(SemaphoreSlim places) : IDisposable
    {
        private int _left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _left, 1) == 0)
            {
                places.Release();
            }
        }
    }
}
