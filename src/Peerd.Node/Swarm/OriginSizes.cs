using Peerd.Contracts;

namespace Peerd.Node.Swarm;

/// <summary>
/// Sizes that origins told and the mesh had otherwise: nobody can make contents fail for good by telling a wrong size. Remembered for a
/// while, for an origin may be wrong, too. Thread-safe.
/// </summary>
internal sealed class OriginSizes(TimeProvider time)
{
    private const int Most = 1024;

    private static readonly TimeSpan Memory = TimeSpan.FromMinutes(10);

    private readonly Lock _lock = new();
    private readonly Dictionary<Digest, (long Size, long At)> _sizes = [];

    /// <summary>The size that the origin told last; null when there was no doubt, or that was long ago.</summary>
    public long? Find(Digest content)
    {
        lock (_lock)
        {
            return _sizes.TryGetValue(content, out var told) && time.GetElapsedTime(told.At) < Memory ? told.Size : null;
        }
    }

    public void Told(Digest content, long size)
    {
        lock (_lock)
        {
            if (_sizes.Count >= Most && !_sizes.ContainsKey(content))
            {
                _sizes.Remove(_sizes.MinBy(pair => pair.Value.At).Key);
            }

            _sizes[content] = (size, time.GetTimestamp());
        }
    }
}
