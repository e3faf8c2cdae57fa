namespace Peerd.Contracts;

/// <summary>Numbers that all nodes of a mesh must agree on beside the layout of contents.</summary>
public static class ProtocolConstants
{
    /// <summary>
    /// A grant of segment 0 of a content of unknown size covers the first bytes up to here, so that small contents
    /// need one request to the origin: 1 MiB.
    /// </summary>
    public const int ProbeBytes = 1024 * 1024;

    /// <summary>How many pieces the order in which a container needs a content at its start has at most.</summary>
    public const int MaxStartupOrder = 4096;

    /// <summary>Characters of a node's name at most: as many as a DNS name has.</summary>
    public const int MaxNodeName = 253;

    /// <summary>
    /// Bytes of one message to a node at most: 1 MiB. Messages may take many times their size in memory, so what has more to tell
    /// is told in several.
    /// </summary>
    public const int MaxRequestBytes = 1024 * 1024;

    /// <summary>Bytes of one answer on a stream that reads ranges at most: 512 KiB, twice the frames of the longest.</summary>
    public const int MaxRangeAnswerBytes = 512 * 1024;

    /// <summary>Runs of pieces that a lookup begins with, which is one message; what has more is announced, too.</summary>
    public const int MaxHeldRuns = 32 * 1024;

    /// <summary>How many members are responsible for a content: the owner and one replica.</summary>
    public const int Replicas = 2;
}
