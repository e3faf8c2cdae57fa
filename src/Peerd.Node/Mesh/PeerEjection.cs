using Peerd.Contracts;

namespace Peerd.Node.Mesh;

/// <summary>
/// Leaves a peer alone that sent wrong bytes, whatever content is wanted: one liar would otherwise spoil each content anew.
/// What the peer's own checksums prove counts at once. That it contradicts what others say of a content counts when it does
/// so with several contents, for it may be the others who lie; where that turns out it never counted. Thread-safe.
/// </summary>
internal sealed class PeerEjection(TimeProvider time)
{
    /// <summary>Contents with which a peer must contradict others.</summary>
    public const int ContradictedContents = 3;

    public static readonly TimeSpan First = TimeSpan.FromSeconds(10);
    public static readonly TimeSpan Longest = TimeSpan.FromMinutes(10);

    /// <summary>A peer that behaved for so long begins anew.</summary>
    private static readonly TimeSpan Forgiven = TimeSpan.FromMinutes(30);

    /// <summary>Contents that are remembered as those with which a peer was right.</summary>
    private const int MostPardoned = 64;

    /// <summary>For so long.</summary>
    private static readonly TimeSpan PardonMemory = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private readonly HashSet<Digest> _contradicted = [];

    /// <summary>With which it turned out to be right; ranges that were under way meanwhile may end only then.</summary>
    private readonly Dictionary<Digest, TimeSpan> _pardoned = [];

    /// <summary>Those for which it is left alone now.</summary>
    private readonly HashSet<Digest> _ejectedFor = [];
    private TimeSpan _contradictedSince;
    private TimeSpan _until = TimeSpan.MinValue;
    private int _ejections;

    /// <summary>Not to be asked now.</summary>
    public bool IsEjected
    {
        get
        {
            lock (_lock)
            {
                return Now < _until;
            }
        }
    }

    /// <summary>It sent wrong bytes of a content; true when it is left alone from now on because of that.</summary>
    /// <param name="content">The content.</param>
    /// <param name="isProven">The answer is wrong in itself, whatever anybody else says.</param>
    public bool Corrupt(Digest content, bool isProven)
    {
        lock (_lock)
        {
            // Ranges that were under way together end together, and say no more than one of them.
            if (Now < _until || (!isProven && _pardoned.TryGetValue(content, out var since) && Now - since < PardonMemory))
            {
                return false;
            }

            if (_until != TimeSpan.MinValue && Now - _until > Forgiven)
            {
                _ejections = 0;
            }

            if (Now - _contradictedSince > Forgiven)
            {
                _contradicted.Clear();
            }

            _contradictedSince = _contradicted.Count == 0 ? Now : _contradictedSince;
            _contradicted.Add(content);
            if (!isProven && _contradicted.Count < ContradictedContents)
            {
                return false;
            }

            _ejectedFor.Clear();
            _ejectedFor.UnionWith(isProven ? [] : _contradicted);
            _contradicted.Clear();
            var pause = First * Math.Pow(2, Math.Min(10, _ejections++));
            _until = Now + (pause < Longest ? pause : Longest);
            return true;
        }
    }

    /// <summary>The content is here, checked, and the peer was right about it where it contradicted others.</summary>
    public void Pardon(Digest content)
    {
        lock (_lock)
        {
            if (_pardoned.Count == MostPardoned && !_pardoned.ContainsKey(content))
            {
                _pardoned.Remove(_pardoned.MinBy(pardoned => pardoned.Value).Key);
            }

            _pardoned[content] = Now;
            _contradicted.Remove(content);
            if (_ejectedFor.Remove(content))
            {
                // Too few are left.
                _contradicted.UnionWith(_ejectedFor);
                _ejectedFor.Clear();
                // Forgiven meanwhile, it does not count any more.
                _ejections = Math.Max(0, _ejections - 1);
                _until = Now < _until ? Now : _until;
            }
        }
    }

    private TimeSpan Now => time.GetElapsedTime(0);
}
