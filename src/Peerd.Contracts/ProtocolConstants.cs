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

    /// <summary>How many members are responsible for a content: the owner and one replica.</summary>
    public const int Replicas = 2;
}
