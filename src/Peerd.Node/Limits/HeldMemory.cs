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
    private long _announced;

    /// <summary>
    /// Waits, while the limit is reached or would be by what others are about to hold, for one of a few places: for a request that is
    /// under way and needs some MiB at once.
    /// </summary>
    /// <param name="bytes">How much it will hold.</param>
    /// <param name="cancellationToken">Nobody waits any more.</param>
    public async ValueTask<HeldPlace> EnterAsync(long bytes, CancellationToken cancellationToken)
    {
        while (_limit > 0 && Bytes + Interlocked.Read(ref _announced) >= _limit)
        {
            if (await _places.WaitAsync(Look, cancellationToken))
            {
                return new HeldPlace(this, announced: 0, hasPlace: true);
            }
        }

        Interlocked.Add(ref _announced, bytes);
        return new HeldPlace(this, bytes, hasPlace: false);
    }

    internal void Forget(long announced) => Interlocked.Add(ref _announced, -announced);

    internal void Leave() => _places.Release();

    /// <summary>Bytes of this moment.</summary>
    public long Bytes => PooledBuffer.HeldBytes + others.Sum(static other => other());

    public void Dispose() => _places.Dispose();
}

/// <summary>One who may hold much. Dispose it when it holds it no more. Not thread-safe.</summary>
internal sealed class HeldPlace(HeldMemory memory, long announced, bool hasPlace) : IDisposable
{
    private long _announced = announced;
    private bool _hasPlace = hasPlace;

    /// <summary>From now on it holds what it said it would, and is counted as others are.</summary>
    public void Holds()
    {
        memory.Forget(_announced);
        _announced = 0;
    }

    public void Dispose()
    {
        Holds();
        if (_hasPlace)
        {
            _hasPlace = false;
            memory.Leave();
        }
    }
}
