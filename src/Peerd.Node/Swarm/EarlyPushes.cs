using Peerd.Contracts.V1;
using Peerd.Node.Mesh;

namespace Peerd.Node.Swarm;

/// <summary>
/// What the owner of one content pushes before the size is known, kept until it means something. An owner that does not know the size has
/// little to say. Not thread-safe; the download's lock protects it.
/// </summary>
internal sealed class EarlyPushes
{
    /// <summary>Bytes of memory that are kept, roughly, but for the push that tells the size.</summary>
    public const int MostBytes = 1024 * 1024;

    private readonly List<LookupResponse> _pushes = [];
    private long _bytes;

    public void Add(LookupResponse push)
    {
        // Names may be of any length.
        _bytes += MessageMemory.Of(push) + push.CalculateSize();
        if (push.Size > 0 || _bytes <= MostBytes)
        {
            _pushes.Add(push);
        }
    }

    /// <summary>It was added last, and is kept as it is: whoever brought it leaves it so.</summary>
    public bool Keeps(LookupResponse push) => _pushes is [.., var last] && ReferenceEquals(last, push);

    /// <summary>What was granted is given back, and is not read either when another finds out the size.</summary>
    public void ForgetGrants() => _pushes.ForEach(static push => push.Granted.Clear());

    /// <summary>All of them, which are not kept any more.</summary>
    public IReadOnlyList<LookupResponse> TakeAll()
    {
        LookupResponse[] pushes = [.. _pushes];
        _pushes.Clear();
        return pushes;
    }
}
