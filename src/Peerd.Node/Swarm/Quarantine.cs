using Peerd.Contracts;

namespace Peerd.Node.Swarm;

/// <summary>
/// Contents whose origin sends something else than their digest says, again and again. For a while they are neither brought here
/// nor shared: each client reads its own URL, or what the registry sends it, and nobody is handed bytes that were found wrong
/// twice. Thread-safe.
/// </summary>
internal sealed class Quarantine(TimeProvider time)
{
    /// <summary>Once may be somebody's bad memory or line.</summary>
    private const int Enough = 2;

    // How often each was wrong.
    private readonly RecentContents<int> _mismatches = new(time);

    /// <summary>How long: an origin may be mended.</summary>
    public static TimeSpan Memory => RecentContents<int>.Memory;

    /// <summary>Contents that were found wrong, be it only once.</summary>
    public int Count => _mismatches.Count;

    /// <summary>The content is not to be brought here. It may still be here, as something that was checked.</summary>
    public bool Contains(Digest content) => _mismatches.TryFind(content, out var mismatches) && mismatches >= Enough;

    /// <summary>The origin alone sent all of a content, and it does not match. True when it is not to be brought here any more.</summary>
    /// <param name="content">The content.</param>
    /// <param name="isAgain">It is known that this is not the first time.</param>
    public bool Mismatched(Digest content, bool isAgain) => _mismatches.Set(content, before => isAgain ? Enough : before + 1) >= Enough;

    /// <summary>The origin sends the right bytes.</summary>
    public void Matched(Digest content) => _mismatches.Remove(content);
}
