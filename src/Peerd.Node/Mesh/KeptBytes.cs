using System.Net;

namespace Peerd.Node.Mesh;

/// <summary>Bytes of memory that are kept because of callers, by what each of them counts as. For one at a time; <see cref="All"/> is for everybody.</summary>
internal sealed class KeptBytes
{
    private readonly Dictionary<IPAddress, long> _byCaller = [];
    private long _all;

    public long All => Interlocked.Read(ref _all);

    /// <summary>Because of whom most is kept. Something is.</summary>
    public IPAddress Greediest => _byCaller.MaxBy(caller => caller.Value).Key;

    public long Of(IPAddress caller) => _byCaller.GetValueOrDefault(caller);

    /// <summary>So many more, or fewer.</summary>
    public void Add(IPAddress caller, long bytes)
    {
        Interlocked.Add(ref _all, bytes);
        if ((_byCaller[caller] = Of(caller) + bytes) == 0)
        {
            _byCaller.Remove(caller);
        }
    }
}
