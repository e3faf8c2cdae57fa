namespace Peerd.Node.Swarm;

/// <summary>
/// A bucket of tokens, full at first: as many grants at once as in a second, and then so many a second. Pure: it is told the
/// time. Not thread-safe.
/// </summary>
/// <param name="perSecond">Tokens that come back in a second, and tokens of a full bucket.</param>
internal sealed class GrantPace(int perSecond)
{
    private readonly TimeSpan _interval = TimeSpan.FromSeconds(1) / perSecond;

    /// <summary>When the bucket will be full again.</summary>
    private TimeSpan _fullAt = TimeSpan.MinValue;

    /// <summary>There is a token.</summary>
    public bool HasToken(TimeSpan now) => _fullAt <= now || _fullAt - now <= (perSecond - 1) * _interval;

    /// <summary>Takes one.</summary>
    public void Take(TimeSpan now) => _fullAt = (_fullAt > now ? _fullAt : now) + _interval;
}
