using System.Diagnostics.Metrics;

namespace Peerd.Node.Telemetry;

/// <summary>Where bytes came from that were found wrong.</summary>
internal enum WrongBytes
{
    /// <summary>A frame that a peer sent.</summary>
    Peer,

    /// <summary>A whole that does not match its digest.</summary>
    Content,

    /// <summary>A piece in the files of this node's cache.</summary>
    Cache,

    /// <summary>A content in containerd's store on this node.</summary>
    Containerd,

    /// <summary>A frame of the origin that another node, which read it first, has otherwise.</summary>
    Origin,
}

/// <summary>Counts bytes that were found wrong and dropped, wherever that is noticed. Thread-safe.</summary>
internal sealed class IntegrityFailures
{
    public const string Name = "peerd.integrity.failures";

    private readonly Counter<long> _failures;

    public IntegrityFailures(IMeterFactory meters)
    {
        _failures = meters.Create("Peerd").CreateCounter<long>(
            Name,
            "{failure}",
            "Bytes that were found wrong and dropped, by source: peer (a frame that a peer sent), content (a whole that does not match its digest), cache (a piece on this node's disk), containerd (a content in its store) or origin (a frame that another node, which read it there first, has otherwise).");

        // What never happened counts as 0 and not as unknown.
        foreach (var source in Enum.GetValues<WrongBytes>())
        {
            Add(source, 0);
        }
    }

    public void Add(WrongBytes source, int count = 1) => _failures.Add(count, new KeyValuePair<string, object?>("source", source switch
    {
        WrongBytes.Peer => "peer",
        WrongBytes.Content => "content",
        WrongBytes.Cache => "cache",
        WrongBytes.Containerd => "containerd",
        _ => "origin",
    }));
}
